"""What is read from disk is checked before anything scores with it."""

import json
from pathlib import Path

import pytest

from recommender.config.classic import ItemKnn as ItemKnnConfig
from recommender.config.training import Training
from recommender.errors import ArtifactError
from recommender.models.item_knn import ItemKnn
from recommender.models.registry import load_model
from tests.models.worlds import checkerboard, rows_of


def saved(folder: Path) -> Path:
    model, dataset = ItemKnn(ItemKnnConfig(), Training()), checkerboard()
    model.fit(dataset, rows_of(dataset))
    model.save(folder)
    return folder / "model.json"


def test_a_model_is_read_by_its_kind(tmp_path: Path) -> None:
    saved(tmp_path)
    assert isinstance(load_model("item_knn", tmp_path), ItemKnn)


@pytest.mark.parametrize("change", [{"config": {"kind": "item_knn", "of_later": 1}}, {"config": None}])
def test_what_another_version_of_the_program_wrote_is_one_line(tmp_path: Path, change: dict[str, object]) -> None:
    file = saved(tmp_path)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtifactError, match="was written by another version of this program .*: train again"):
        load_model("item_knn", tmp_path)
