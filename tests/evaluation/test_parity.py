"""ONNX files that answer as their model, and every way in which one may not."""

import copy
import json
import math
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pydantic import TypeAdapter

from recommender.config.models import ModelConfig
from recommender.config.profile import Profile
from recommender.config.yaml12 import load_yaml
from recommender.evaluation.parity import Parity, onnx_parity
from recommender.models.base import Model
from recommender.models.popularity import Popularity
from recommender.models.registry import load_model, new_model
from tests.models.worlds import PROFILE, checkerboard, rows_of, tomorrow_with_newcomers

TOWER = {"kind": "two_tower", "dimension": 8, "history_length": 4, "batch_size": 64, "max_epochs": 2}
NCF = {"kind": "ncf", "dimension": 8, "layers": [8], "batch_size": 64, "max_epochs": 2}
POPULAR = {"kind": "popularity"}
KINDS: dict[str, dict[str, Any]] = {
    "two_tower": TOWER,
    "two_tower of other shape": {**TOWER, "dimension": 6},
    "two_tower without history": {**TOWER, "history": "none"},
    "two_tower with copies": {**TOWER, "export_variants": ["fp16", "int8"]},
    "head": {"kind": "head", "towers": {k: v for k, v in TOWER.items() if k != "kind"}, "layers": [8], "max_epochs": 2},
    "ncf": NCF,
    "ncf with metadata": {**NCF, "metadata": True},
    "ranking": {"kind": "ranking", "candidates": {"tower": TOWER, "popular": POPULAR}, "depth": 6},
    "blend": {"kind": "blend", "models": {"one": TOWER, "other": NCF}},
}
TOLERANCE = 1e-5
"""Arithmetic in another order."""


@cache
def fitted(name: str) -> Model:
    config: Any = TypeAdapter(ModelConfig).validate_python(copy.deepcopy(KINDS[name]))
    profile = Profile.model_validate(load_yaml(PROFILE))
    training = profile.training.model_copy(update={"device": "cpu", "threads": 1})
    model = new_model(config, profile.model_copy(update={"training": training}))
    model.fit(checkerboard(), rows_of(checkerboard()))
    return model


def exported(name: str, folder: Path) -> tuple[Model, dict[str, Any]]:
    """The artifact as a night would find it."""
    folder.mkdir(exist_ok=True)
    fitted(name).save(folder)
    export = fitted(name).export_onnx(folder)
    model = load_model(fitted(name).kind, folder)
    model.attach(tomorrow_with_newcomers())
    return model, json.loads(json.dumps(export))


@pytest.mark.parametrize("name", KINDS)
def test_files_answer_as_the_model_for_real_users_and_items(name: str, tmp_path: Path) -> None:
    model, export = exported(name, tmp_path / "artifact")
    found = onnx_parity(model, tmp_path / "artifact", export, seed=0)
    assert found.problems == []
    assert 0 <= found.figures["onnx_max_abs_diff"] < TOLERANCE
    assert found == onnx_parity(model, tmp_path / "artifact", export, seed=0)


def test_a_model_without_files_has_no_figure(tmp_path: Path) -> None:
    model = Popularity()
    model.attach(checkerboard())
    assert onnx_parity(model, tmp_path, model.export_onnx(tmp_path), seed=0) == Parity()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_word(path: Path) -> None:
    """Output by another name."""
    model = onnx.load(path)
    before = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["renamed" if name == before else name for name in node.output]
    model.graph.output[0].name = "renamed"
    onnx.save(model, path)


def no_numbers(path: Path) -> None:
    change_weights(path, lambda values: values * np.nan)


def change_weights(path: Path, change: Callable[[Any], Any]) -> None:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim == 2:
            tensor.CopyFrom(numpy_helper.from_array(change(values).astype(np.float32), tensor.name))
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (cut_off, "gives no answer: Load model from [a-z_]+.onnx failed:Protobuf parsing failed"),
        (empty, "gives no answer: "),
        (another_word, "gives no answer: .*vector"),
        (no_numbers, "gives no answer: it gives numbers that are infinite or none"),
        (Path.unlink, "gives no answer: the file is missing"),
    ],
)
@pytest.mark.parametrize("file", ["user_tower.onnx", "item_tower.onnx"])
def test_a_broken_file_is_named(file: str, spoil: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    model, export = exported("two_tower", tmp_path / "artifact")
    spoil(tmp_path / "artifact" / file)
    found = onnx_parity(model, tmp_path / "artifact", export, seed=0)
    assert found.figures == {"onnx_max_abs_diff": math.inf}
    (problem,) = found.problems
    assert problem.startswith(f"{file} ")
    assert re.search(why, problem), problem


@pytest.mark.parametrize(
    ("other", "file"),
    [("two_tower of other shape", "user_tower.onnx"), ("ncf", "ncf.onnx"), ("two_tower", "item_tower.onnx")],
)
def test_another_models_file_is_named(other: str, file: str, tmp_path: Path) -> None:
    model, export = exported("two_tower", tmp_path / "artifact")
    _, _ = exported(other, tmp_path / "other")
    shutil.copy(tmp_path / "other" / file, tmp_path / "artifact" / "user_tower.onnx")
    found = onnx_parity(model, tmp_path / "artifact", export, seed=0)
    assert found.figures == {"onnx_max_abs_diff": math.inf}
    assert [problem.split()[0] for problem in found.problems] == ["user_tower.onnx"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("two_tower", "item_tower.onnx"),
        ("head", "head.onnx"),
        ("ncf", "ncf.onnx"),
        ("ranking", "candidates/tower/user_tower.onnx"),
        ("blend", "models/other/ncf.onnx"),
    ],
)
def test_changed_weights_give_a_difference(name: str, file: str, tmp_path: Path) -> None:
    model, export = exported(name, tmp_path / "artifact")
    change_weights(tmp_path / "artifact" / file, lambda values: values + 0.05 * np.sign(values) * (values.size > 1))
    found = onnx_parity(model, tmp_path / "artifact", export, seed=0)
    assert found.problems == []
    assert 1e-3 < found.figures["onnx_max_abs_diff"] < math.inf


def test_a_part_of_a_composite_is_named_by_its_place(tmp_path: Path) -> None:
    model, export = exported("ranking", tmp_path / "artifact")
    cut_off(tmp_path / "artifact" / "candidates" / "tower" / "item_tower.onnx")
    found = onnx_parity(model, tmp_path / "artifact", export, seed=0)
    assert [problem.split()[0] for problem in found.problems] == ["candidates/tower/item_tower.onnx"]


def test_copies_of_lower_precision_count_for_nothing(tmp_path: Path) -> None:
    model, export = exported("two_tower with copies", tmp_path / "artifact")
    cut_off(tmp_path / "artifact" / "user_tower.int8.onnx")
    assert "user_tower.int8.onnx" in export["files"]
    assert onnx_parity(model, tmp_path / "artifact", export, seed=0).figures["onnx_max_abs_diff"] < TOLERANCE


def test_a_file_that_no_such_model_writes_is_refused(tmp_path: Path) -> None:
    model, export = exported("two_tower", tmp_path / "artifact")
    found = onnx_parity(model, tmp_path / "artifact", {"files": [*export["files"], "more.onnx"]}, seed=0)
    assert found.figures == {"onnx_max_abs_diff": math.inf}
    assert found.problems == ["more.onnx is no file that a model of kind two_tower writes"]
