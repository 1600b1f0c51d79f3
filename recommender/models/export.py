"""Both towers as ONNX files, checked against PyTorch before anyone relies on them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.features.encoding import FeatureEncoder
from recommender.models.onnx import export_checked
from recommender.models.towers import ItemTower, UserTower

USER_FILE = "user_tower.onnx"
ITEM_FILE = "item_tower.onnx"
VECTOR = "vector"
PARITY_RANGE = 3.0
"""Numbers compared lie within plus and minus this, where standardised ones end."""
_SOME_IDS = 1000
"""Ids compared where a tower has no table of them and reads none."""


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


class UserTowerWithoutHistory(nn.Module):
    """The user tower that reads no history."""

    def __init__(self, user_tower: UserTower) -> None:
        super().__init__()
        self.user_tower = user_tower

    def forward(self, user: Tensor, categories: Tensor, numbers: Tensor) -> Tensor:
        vectors: Tensor = self.user_tower(None, None, None, user, categories, numbers)
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
    `history_age` (n, h) days, `history_present` (n, h) bool, `user` (n,), `categories`, `numbers`. An input
    that a tower doesn't read is not there. Output of each: `vector` (n, d). The score of a pair is the dot product.

    Returns
    -------
    `onnx_max_abs_diff`, the largest difference from PyTorch on random inputs, and `files`.
    """
    rng = np.random.default_rng(0)
    item_count, user_count = (_rows_of_ids(tower) for tower in (item_tower, user_tower))

    def described(rows: int, encoder: FeatureEncoder) -> dict[str, Tensor]:
        return {"categories": _categories(rng, (rows,), encoder), "numbers": _numbers(rng, rows, encoder)}

    def history_inputs(rows: int) -> dict[str, Tensor]:
        present = rng.integers(0, history_length + 1, (rows, 1)) > np.arange(history_length)
        return {
            "history_items": torch.from_numpy(rng.integers(0, item_count, (rows, history_length))),
            "history_categories": _categories(rng, (rows, history_length), item_encoder),
            "history_age": torch.from_numpy(rng.exponential(90, (rows, history_length)).astype(np.float32)),
            "history_present": torch.from_numpy(present),
        }

    def user_inputs(rows: int) -> dict[str, Tensor]:
        history = {} if user_tower.history is None else history_inputs(rows)
        user = torch.from_numpy(rng.integers(0, user_count, rows))
        return {**history, "user": user, **described(rows, user_encoder)}

    def item_inputs(rows: int) -> dict[str, Tensor]:
        return {"item": torch.from_numpy(rng.integers(0, item_count, rows)), **described(rows, item_encoder)}

    users = (
        UserTowerWithoutHistory(user_tower) if user_tower.history is None else UserTowerFromIds(user_tower, item_tower)
    )
    largest = max(
        export_checked(users, user_inputs, VECTOR, folder / USER_FILE),
        export_checked(item_tower, item_inputs, VECTOR, folder / ITEM_FILE),
    )
    return {"onnx_max_abs_diff": largest, "files": [USER_FILE, ITEM_FILE]}


def _rows_of_ids(tower: ItemTower | UserTower) -> int:
    return _SOME_IDS if tower.ids is None else tower.ids.num_embeddings


def _categories(rng: np.random.Generator, shape: tuple[int, ...], encoder: FeatureEncoder) -> Tensor:
    sizes = [indices for indices, columns in encoder.category_inputs for _ in range(columns)]
    return torch.from_numpy(rng.integers(0, sizes, (*shape, len(sizes)))) if sizes else torch.zeros(*shape, 0).long()


def _numbers(rng: np.random.Generator, rows: int, encoder: FeatureEncoder) -> Tensor:
    values = rng.uniform(-PARITY_RANGE, PARITY_RANGE, (rows, encoder.numeric_width))
    return torch.from_numpy(values.astype(np.float32))
