"""One data set as the two towers read it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recommender.training.batches import Histories

if TYPE_CHECKING:
    from recommender.models.explaining.towers import Removals


@dataclass(eq=False)
class Attached:
    """Index and encoded metadata of each user and item; ids unknown to training have index 0."""

    user: npt.NDArray[np.int64]
    user_numbers: npt.NDArray[np.float32]
    user_categories: npt.NDArray[np.int32]
    item: Tensor
    item_numbers: Tensor
    item_categories: Tensor
    content: Tensor | None = None
    """(items, dimension) what histories pool, once somebody asked for it."""
    vectors: npt.NDArray[np.float32] | None = None
    """(items, vector_width) likewise."""
    removals: "Removals | None" = None
    """The towers taken apart, likewise."""

    def user_tensors(self, users: npt.NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, categories and numbers of some users, as the user tower takes them."""
        parts = (self.user[users], self.user_categories[users].astype(np.int64), self.user_numbers[users])
        ids, categories, numbers = (torch.from_numpy(part).to(device) for part in parts)
        return ids, categories, numbers

    def user_inputs(self, users: npt.NDArray[np.int64], histories: Histories) -> dict[str, npt.NDArray[Any]]:
        """What `user_tower.onnx` reads of some users, by name; see `export.export_towers`."""
        items, categories = self.item.cpu().numpy(), self.item_categories.cpu().numpy()
        return {
            "history_items": items[histories.items],
            "history_categories": categories[histories.items],
            "history_age": histories.age,
            "history_present": histories.present,
            "user": self.user[users],
            "categories": self.user_categories[users].astype(np.int64),
            "numbers": self.user_numbers[users],
        }

    def item_inputs(self) -> dict[str, npt.NDArray[Any]]:
        """What `item_tower.onnx` reads of all items."""
        parts = {"item": self.item, "categories": self.item_categories, "numbers": self.item_numbers}
        return {name: values.cpu().numpy() for name, values in parts.items()}


def history_tensors(histories: Histories) -> tuple[Tensor, Tensor, Tensor]:
    """Items, ages and presence as tensors."""
    return (
        torch.from_numpy(histories.items),
        torch.from_numpy(histories.age),
        torch.from_numpy(histories.present),
    )
