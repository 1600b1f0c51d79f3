"""What the two towers are trained on: batches of indices become tensors, vectors and a loss."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import TrainingRows
from recommender.features.encoding import FeatureEncoder
from recommender.training.batches import Batch, BatchMaker, Histories
from recommender.training.losses import in_batch_softmax, inclusion_log_probability


@dataclass(eq=False)
class Attached:
    """One data set as the towers read it; ids unknown to training are 0."""

    user: npt.NDArray[np.int64]
    user_numbers: npt.NDArray[np.float32]
    user_categories: npt.NDArray[np.int32]
    item: Tensor
    item_numbers: Tensor
    item_categories: Tensor
    content: Tensor | None = None
    vectors: npt.NDArray[np.float32] | None = None


class Objective:
    """Losses of one epoch's batches."""

    def __init__(
        self,
        towers: nn.ModuleDict,
        config: TwoTowerConfig,
        batches: BatchMaker,
        rows: TrainingRows,
        encoders: tuple[FeatureEncoder, FeatureEncoder],
        state: Attached,
        device: torch.device,
    ) -> None:
        self._towers, self._config, self._batches, self._device = towers, config, batches, device
        self._state = state
        self._user_numbers, self._user_categories = encoders[0].transform(rows.user_features)
        self._item_numbers, _ = encoders[1].transform(rows.item_features)
        self._shares = torch.from_numpy(batches.shares)

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        for batch in self._batches.epoch(rng):
            yield self._loss(batch, rng), len(batch.weights)

    def _loss(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        tower_user: Any = self._towers["user"]
        tower_item: Any = self._towers["item"]
        history, age, present = history_tensors(batch.histories)
        # one row of the content table for each item that occurs in the batch
        candidates = torch.from_numpy(batch.candidates)
        needed, place = torch.unique(torch.cat([history.ravel(), candidates]), return_inverse=True)
        ids = self._state.item[needed.to(self._device)]
        ids = ids * self._keep(len(ids), rng)
        content = tower_item.content(ids, self._state.item_categories[needed.to(self._device)])
        place = place.to(self._device)
        history_place, candidate_place = place[: history.numel()].view(history.shape), place[history.numel() :]
        user_vectors = tower_user(
            nn.functional.embedding(history_place, content),
            age.to(self._device),
            present.to(self._device),
            self._on_device(self._state.user[batch.users]) * self._keep(len(batch.users), rng),
            self._on_device(self._user_categories[batch.user_rows].astype(np.int64)),
            self._on_device(self._user_numbers[batch.user_rows]),
        )
        item_vectors = tower_item.finish(
            content[candidate_place], ids[candidate_place], self._on_device(self._item_numbers[batch.candidate_rows])
        )
        log_q = inclusion_log_probability(self._shares[candidates], batch.draws).to(self._device)
        return in_batch_softmax(
            user_vectors,
            item_vectors,
            log_q,
            (self._on_device(batch.targets[0]), self._on_device(batch.targets[1])),
            (self._on_device(batch.forbidden[0]), self._on_device(batch.forbidden[1])),
            self._on_device(batch.weights),
            self._config.temperature,
        )

    def _keep(self, count: int, rng: np.random.Generator) -> Tensor:
        """0 for the ids hidden this time, else 1."""
        return self._on_device((rng.random(count) >= self._config.id_dropout).astype(np.int64))

    def _on_device(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def history_tensors(histories: Histories) -> tuple[Tensor, Tensor, Tensor]:
    """Items, ages and presence as tensors."""
    return (
        torch.from_numpy(histories.items),
        torch.from_numpy(histories.age),
        torch.from_numpy(histories.present),
    )
