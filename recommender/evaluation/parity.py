"""Whether the ONNX files of an artifact answer as the model does, for real users and items."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from recommender.config.two_tower import ExportVariant
from recommender.errors import first_line
from recommender.evaluation.findings import Figures
from recommender.evaluation.vectors import some_of
from recommender.models.base import Model
from recommender.models.composite import Composite
from recommender.models.export import ITEM_FILE, USER_FILE, VECTOR
from recommender.models.head.model import Head
from recommender.models.head.prediction import ONNX as HEAD_FILE
from recommender.models.ncf.export import FILE as NCF_FILE
from recommender.models.ncf.model import Ncf
from recommender.models.two_tower import TwoTower
from recommender.training.batches import latest_histories

FIGURE = "onnx_max_abs_diff"
ROWS = 256
"""Users and items that are compared, at most."""
_REFUSALS = (
    ValueError,
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
)
"""What ONNX Runtime raises for a file that it can't read, or can't run on these inputs."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parity:
    """What comparing an artifact's ONNX files with its model found."""

    figures: Figures = field(default_factory=dict)
    """`onnx_max_abs_diff` over all files, infinite where one gives no answer; empty for an artifact without ONNX."""
    problems: list[str] = field(default_factory=list)
    """A sentence for each file that gives no answer: which it is and why."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What one file shall say."""

    inputs: Mapping[str, npt.NDArray[Any]]
    """By name, (n, …); the file may read some of them alone."""
    output: str
    expected: npt.NDArray[np.floating]


Answers = dict[str, Answer]
"""By the file's path within the artifact."""


def onnx_parity(model: Model, folder: Path, export: Mapping[str, Any], seed: int) -> Parity:
    """Run every file that an export names on some of the attached data set's users and items.

    Copies of lower precision are left out.

    Parameters
    ----------
    model
        What the artifact holds, with data attached.
    folder
        The artifact.
    export
        What `export_onnx` returned when it was written.
    """
    files = [name for name in export.get("files", ()) if not _is_variant(name)]
    if not files:
        return Parity()
    dataset, rng = model.dataset, np.random.default_rng(seed)
    users, items = (some_of(np.arange(len(ids)), ROWS, rng) for ids in (dataset.user_ids, dataset.item_ids))
    answers = expected_answers(model, users, items)
    differences, problems = [], []
    for name in files:
        if name not in answers:
            problems.append(f"{name} is no file that a model of kind {model.kind} writes")
            continue
        try:
            differences.append(_difference(folder / name, answers[name]))
        except _REFUSALS as error:
            problems.append(f"{name} gives no answer: {_reason(error, folder)}")
    return Parity({FIGURE: math.inf if problems else max(differences)}, problems)


@singledispatch
def expected_answers(_model: Model, _users: Ints, _items: Ints) -> Answers:
    """What the files of a model shall say of some users and items of its data set; nothing where it writes none."""
    return {}


@expected_answers.register
def _(model: TwoTower, users: Ints, items: Ints) -> Answers:
    state, histories = model._state(), latest_histories(model.dataset, users, model.config.history_length)
    of_items = {name: values[items] for name, values in state.item_inputs().items()}
    return {
        USER_FILE: Answer(state.user_inputs(users, histories), VECTOR, model.user_vectors(users)),
        ITEM_FILE: Answer(of_items, VECTOR, model.item_vectors()[items]),
    }


@expected_answers.register
def _(model: Head, users: Ints, items: Ints) -> Answers:
    user_vectors = model.towers.user_vectors(users)
    item_vectors = model.towers.item_vectors()[np.resize(items, len(users))]
    inputs = {"user_vector": user_vectors, "item_vector": item_vectors}
    prediction = Answer(inputs, "prediction", model.prediction.score(user_vectors, item_vectors))
    return {**expected_answers(model.towers, users, items), HEAD_FILE: prediction}


@expected_answers.register
def _(model: Ncf, users: Ints, items: Ints) -> Answers:
    state, user = model._state(), users[model.knows(users)]  # others get what is popular, not what the network says
    item = np.resize(items, len(user))
    inputs = {
        "user": state.user[user],
        "item": state.item[item],
        "user_categories": state.user_categories[user].astype(np.int64),
        "item_categories": state.item_categories[item].astype(np.int64),
    }
    return {NCF_FILE: Answer(inputs, "probability", 1 / (1 + np.exp(-model.score(user, item).astype(np.float64))))}


@expected_answers.register
def _(model: Composite, users: Ints, items: Ints) -> Answers:
    return {
        f"{model.folder}/{name}/{file}": answer
        for name, part in model._models.items()
        for file, answer in expected_answers(part, users, items).items()
    }


def _difference(path: Path, answer: Answer) -> float:
    """The largest absolute difference between what a file says and what it shall say.

    Raises
    ------
    ValueError, or another of `_REFUSALS`
        The file gives no numbers of the expected shape.
    """
    if not path.is_file():
        raise ValueError("the file is missing")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    used = {node.name for node in session.get_inputs()}
    if lacking := used - answer.inputs.keys():
        raise ValueError(f"it asks for {', '.join(sorted(lacking))}, which the model's own file does not")
    (found,) = session.run([answer.output], {name: answer.inputs[name] for name in used})
    if found.shape != answer.expected.shape:
        raise ValueError(f"it gives numbers of shape {found.shape} where the model has {answer.expected.shape}")
    if not (np.isfinite(found).all() and np.isfinite(answer.expected).all()):
        raise ValueError("it gives numbers that are infinite or none")
    return float(np.abs(found - answer.expected).max(initial=0.0))


def _reason(error: Exception, folder: Path) -> str:
    """What an error says first, without ONNX Runtime's codes and where the artifact lies."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", first_line(error)).replace(f"{folder}/", "")


def _is_variant(name: str) -> bool:
    """Whether a file is a copy as `variant_file` names it."""
    return any(name.endswith(f".{variant}.onnx") for variant in get_args(ExportVariant))
