"""Smaller ONNX files, and what they say they lose."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.errors import NotReadyError
from recommender.models.export_variants import overlap
from recommender.models.two_tower import TwoTower
from tests.models.worlds import ITEM_FEATURES, USER_FEATURES, checkerboard, rows_of


def fitted(**keys: object) -> TwoTower:
    small = {"dimension": 32, "history_length": 6, "batch_size": 64, "max_epochs": 4}
    config = TwoTowerConfig.model_validate({**small, "export_variants": ["fp16", "int8"], **keys})
    model, dataset = TwoTower(config, Training(device="cpu"), USER_FEATURES, ITEM_FEATURES), checkerboard()
    model.fit(dataset, rows_of(dataset))
    return model


@pytest.mark.parametrize("keys", [{}, {"fusion": "gated", "history": "attention", "hidden": (8,)}, {"history": "none"}])
def test_each_is_smaller_and_says_what_it_loses(keys: dict[str, object], tmp_path: Path) -> None:
    result = fitted(**keys).export_onnx(tmp_path)
    assert sorted(result["files"]) == sorted(path.name for path in tmp_path.iterdir())
    assert result["variants"].keys() == {"fp16", "int8"}
    for variant, loss in result["variants"].items():
        written = sum((tmp_path / f"{tower}_tower.{variant}.onnx").stat().st_size for tower in ("user", "item"))
        assert loss["bytes"] == written
        assert loss["bytes_share"] < 1
        assert 0 < loss["max_abs_diff"] < 0.05
        assert loss["overlap_at_20"] > 0.95


def test_half_precision_has_the_inputs_and_outputs_of_the_whole(tmp_path: Path) -> None:
    fitted().export_onnx(tmp_path)
    whole, half = (onnx.load(tmp_path / name) for name in ("item_tower.onnx", "item_tower.fp16.onnx"))
    assert list(whole.graph.input) == list(half.graph.input)
    assert half.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert {tensor.data_type for tensor in half.graph.initializer} >= {onnx.TensorProto.FLOAT16}


def test_nothing_is_compared_without_data(tmp_path: Path) -> None:
    model = fitted()
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    with pytest.raises(NotReadyError, match="attach"):
        TwoTower.load(tmp_path / "model").export_onnx(tmp_path)


def test_overlap_is_the_share_of_the_first_list_found_in_the_second() -> None:
    first = np.array([[1, 2, 3, 4], [5, 6, -1, -1], [-1, -1, -1, -1]], np.int32)
    second = np.array([[4, 9, 8, 1], [6, 5, -1, -1], [1, 2, 3, 4]], np.int32)
    assert overlap(first, second) == pytest.approx((0.5 + 1) / 2)
