"""Smaller copies of the towers' ONNX files, and what they lose on lists of real users."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from recommender.config.two_tower import ExportVariant
from recommender.data.dataset import Dataset
from recommender.models.export import ITEM_FILE, USER_FILE, VECTOR
from recommender.retrieval.exact import top_k

LIST_LENGTH = 20
LISTS = 1000
"""Users whose lists are compared, at most."""
_ROWS = 256
"""Rows run at one time; histories' vectors are the bulk of the memory."""

Inputs = Mapping[str, npt.NDArray[Any]]


def write_variants(
    folder: Path,
    variants: tuple[ExportVariant, ...],
    users: Callable[[npt.NDArray[np.int64]], Inputs],
    items: Inputs,
    dataset: Dataset,
) -> dict[str, dict[str, float]]:
    """Write both towers once more for each variant, and compare their lists with those of the float32 files.

    Parameters
    ----------
    folder
        Holds what `export_towers` wrote.
    variants
        `fp16` keeps weights and arithmetic in half precision; `int8` keeps tables and the weights of products as
        integers with a scale, activations being scaled as they come. Inputs and outputs stay float32.
    users, items
        The user tower's inputs of some users, and the item tower's of all items, by name.
    dataset
        Whose users and items these are; lists leave out what a user has met.

    Returns
    -------
    For each variant: `bytes` of both files, `bytes_share` of the float32 ones, `max_abs_diff` over all numbers of
    the vectors compared, and `overlap_at_20`, the mean share of a user's float32 list that is in the variant's.
    """
    active = dataset.active_users
    chosen = active[np.linspace(0, len(active) - 1, min(LISTS, len(active)), dtype=np.int64)]
    seen = dataset.seen[chosen]
    names = (USER_FILE, ITEM_FILE)
    whole = sum((folder / name).stat().st_size for name in names)
    exact = _vectors(folder, names, users, items, chosen)
    expected = top_k(*exact, LIST_LENGTH, seen=seen).items
    losses: dict[str, dict[str, float]] = {}
    for variant in variants:
        written = tuple(variant_file(name, variant) for name in names)
        for name, copy in zip(names, written, strict=True):
            _WRITERS[variant](folder / name, folder / copy)
        found = _vectors(folder, written, users, items, chosen)
        size = sum((folder / name).stat().st_size for name in written)
        losses[variant] = {
            "bytes": size,
            "bytes_share": round(size / whole, 4),
            "max_abs_diff": max(float(np.abs(a - b).max(initial=0)) for a, b in zip(found, exact, strict=True)),
            "overlap_at_20": overlap(expected, top_k(*found, LIST_LENGTH, seen=seen).items),
        }
    return losses


def variant_file(name: str, variant: str) -> str:
    """`user_tower.onnx` as `user_tower.int8.onnx`."""
    return f"{Path(name).stem}.{variant}.onnx"


def overlap(first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> float:
    """Mean over rows of the share of the first's entries that are anywhere in the second's; -1 is no entry."""
    present = first >= 0
    shared = (first[:, :, None] == second[:, None, :]).any(2) & present
    lengths = present.sum(1)
    return float((shared.sum(1)[lengths > 0] / lengths[lengths > 0]).mean()) if lengths.any() else 1.0


def _write_fp16(source: Path, target: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16  # imports much that nobody else needs

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def _write_int8(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _without_advice():
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)


_WRITERS: dict[str, Callable[[Path, Path], None]] = {"fp16": _write_fp16, "int8": _write_int8}


def _vectors(
    folder: Path,
    names: tuple[str, ...],
    users: Callable[[npt.NDArray[np.int64]], Inputs],
    items: Inputs,
    chosen: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What the two files make of the chosen users and of all items."""
    user_session, item_session = (
        onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"]) for name in names
    )
    of_users = [_run(user_session, users(chosen[n : n + _ROWS])) for n in range(0, len(chosen), _ROWS)]
    of_items = [
        _run(item_session, {name: values[n : n + _ROWS] for name, values in items.items()})
        for n in range(0, len(items["item"]), _ROWS)
    ]
    return np.concatenate(of_users), np.concatenate(of_items)


def _run(session: Any, inputs: Inputs) -> npt.NDArray[np.float32]:
    used = {node.name for node in session.get_inputs()}
    vectors: npt.NDArray[np.float32] = session.run([VECTOR], {k: v for k, v in inputs.items() if k in used})[0]
    return vectors


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without the quantizer's advice to optimise the graph first, which it gives to the root logger."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
