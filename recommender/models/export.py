"""Both towers as ONNX files, checked against PyTorch before anyone relies on them."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.features.encoding import FeatureEncoder
from recommender.models.towers import ItemTower, UserTower

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

USER_FILE = "user_tower.onnx"
ITEM_FILE = "item_tower.onnx"
OPSET = 17
PARITY_ROWS = (1, 2, 257)
"""Batch sizes compared: a lone row, the smallest batch, and an odd one."""
PARITY_RANGE = 3.0
"""Numbers compared lie within plus and minus this, where standardised ones end."""


class UserTowerFromIds(nn.Module):
    """The user tower with a history of item ids and categories in place of vectors."""

    def __init__(self, user_tower: UserTower, item_tower: ItemTower) -> None:
        super().__init__()
        self.user_tower = user_tower
        self.item_tower = item_tower

    def forward(
        self,
        history_items: Tensor,
        history_categories: Tensor,
        history_age: Tensor,
        history_present: Tensor,
        user: Tensor,
        categories: Tensor,
        numbers: Tensor,
    ) -> Tensor:
        content = self.item_tower.content(history_items, history_categories)
        vectors: Tensor = self.user_tower(content, history_age, history_present, user, categories, numbers)
        return vectors


def export_towers(
    user_tower: UserTower,
    item_tower: ItemTower,
    user_encoder: FeatureEncoder,
    item_encoder: FeatureEncoder,
    history_length: int,
    folder: Path,
) -> dict[str, Any]:
    """Write `user_tower.onnx` and `item_tower.onnx`, the number of rows left open.

    Inputs of the item tower: `item` (n,) 1 + row of the id map, 0 unknown; `categories` (n, c) and `numbers`
    (n, f) as encoded. Of the user tower: `history_items` (n, h), `history_categories` (n, h, c),
    `history_age` (n, h) days, `history_present` (n, h) bool, `user` (n,), `categories`, `numbers`.
    Output of each: `vector` (n, d). The score of a pair is the dot product.

    Returns
    -------
    `onnx_max_abs_diff`, the largest difference from PyTorch on random inputs, and `files`.
    """
    rng = np.random.default_rng(0)
    users = UserTowerFromIds(user_tower, item_tower).eval()
    items = item_tower.eval()
    item_count = item_tower.ids.num_embeddings
    user_count = user_tower.ids.num_embeddings

    def user_inputs(rows: int) -> dict[str, Tensor]:
        present = rng.integers(0, history_length + 1, (rows, 1)) > np.arange(history_length)
        return {
            "history_items": torch.from_numpy(rng.integers(0, item_count, (rows, history_length))),
            "history_categories": _categories(rng, (rows, history_length), item_encoder),
            "history_age": torch.from_numpy(rng.exponential(90, (rows, history_length)).astype(np.float32)),
            "history_present": torch.from_numpy(present),
            "user": torch.from_numpy(rng.integers(0, user_count, rows)),
            "categories": _categories(rng, (rows,), user_encoder),
            "numbers": _numbers(rng, rows, user_encoder),
        }

    def item_inputs(rows: int) -> dict[str, Tensor]:
        return {
            "item": torch.from_numpy(rng.integers(0, item_count, rows)),
            "categories": _categories(rng, (rows,), item_encoder),
            "numbers": _numbers(rng, rows, item_encoder),
        }

    largest = 0.0
    for module, inputs, name in ((users, user_inputs, USER_FILE), (items, item_inputs, ITEM_FILE)):
        _export(module, inputs(PARITY_ROWS[-1]), folder / name)
        session = onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
        used = {node.name for node in session.get_inputs()}
        for rows in PARITY_ROWS:
            example = inputs(rows)
            with torch.inference_mode():
                expected = module(*(value.to(_device(module)) for value in example.values())).cpu().numpy()
            fed = {key: value.numpy() for key, value in example.items() if key in used}
            (actual,) = session.run(["vector"], fed)
            largest = max(largest, float(np.abs(actual - expected).max()))
    return {"onnx_max_abs_diff": largest, "files": [USER_FILE, ITEM_FILE]}


def _export(module: nn.Module, example: dict[str, Tensor], path: Path) -> None:
    # the TorchScript exporter: one file with the weights inside, and 80 times quicker than dynamo's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it says at length that dynamo is the default now
        torch.onnx.export(
            module,
            tuple(value.to(_device(module)) for value in example.values()),
            str(path),
            input_names=list(example),
            output_names=["vector"],
            dynamic_axes={name: {0: "rows"} for name in (*example, "vector")},
            opset_version=OPSET,
            dynamo=False,
        )


def _categories(rng: np.random.Generator, shape: tuple[int, ...], encoder: FeatureEncoder) -> Tensor:
    sizes = [indices for indices, columns in encoder.category_inputs for _ in range(columns)]
    return torch.from_numpy(rng.integers(0, sizes, (*shape, len(sizes)))) if sizes else torch.zeros(*shape, 0).long()


def _numbers(rng: np.random.Generator, rows: int, encoder: FeatureEncoder) -> Tensor:
    values = rng.uniform(-PARITY_RANGE, PARITY_RANGE, (rows, encoder.numeric_width))
    return torch.from_numpy(values.astype(np.float32))


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
