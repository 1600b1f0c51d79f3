"""What is kept of every kind of model, and that nothing of it may change unseen."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from recommender.config.candidates import STAND_ALONE
from recommender.config.models import ModelConfig
from recommender.config.profile import Profile
from recommender.errors import ArtifactError
from recommender.models.registry import MODELS, new_model
from recommender.nightly.artifact import is_whole, keep
from recommender.progress import quiet
from recommender.storage.artifacts import checksum, verify
from tests.models.worlds import PROFILE, checkerboard, rows_of

METRICS = {"data": {"fingerprint": "f" * 64}}
SMALL = {"dimension": 8, "max_epochs": 1, "batch_size": 64}
LEARNT = {"two_tower": {"weights.safetensors", "user_ids.parquet", "item_ids.parquet", "user_encoder.json"}}


@pytest.mark.parametrize("kind", STAND_ALONE)
def test_an_artifact_is_complete_and_a_flipped_byte_is_refused(kind: str, tmp_path: Path) -> None:
    profile = Profile.model_validate(yaml.safe_load(f"{PROFILE}\nrivals: [{{kind: popularity}}]"))
    plain = TypeAdapter(ModelConfig).validate_python({"kind": kind})
    keys = {key: value for key, value in SMALL.items() if key in type(plain).model_fields}
    config = TypeAdapter(ModelConfig).validate_python({"kind": kind, **keys})
    dataset = checkerboard()
    model = new_model(config, profile)
    model.fit(dataset, rows_of(dataset), epochs=1)
    folder = tmp_path / "version"
    metrics = keep(model, config, profile, METRICS, folder, quiet)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"checksums.json", "metrics.json", "profile.json", "model.json"} <= files
    assert LEARNT.get(kind, set()) <= files
    assert not {path for path in files if Path(path).suffix in {".pkl", ".pickle", ".pt", ".npy", ".joblib"}}
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert metrics.items() >= METRICS.items()
    kept = Profile.model_validate_json((folder / "profile.json").read_text())
    assert (kept.model, kept.rivals) == (config, ())
    expected = checksum(folder)
    verify(folder, expected)
    for name in sorted(files - {"checksums.json"}):
        path = folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=f"{path.name} is missing or corrupt"):
            verify(folder, expected)
        path.write_bytes(whole)
    assert is_whole(folder, expected)
    loaded = MODELS[kind].load(folder)
    loaded.attach(dataset)
    np.testing.assert_array_equal(loaded.scores(dataset.active_users), model.scores(dataset.active_users))
