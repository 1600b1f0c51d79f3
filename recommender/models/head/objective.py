"""What the head learns from beside two towers: batches of theirs become pairs of vectors with a target."""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recommender.config.head import Head as HeadConfig
from recommender.models.head.network import HeadNetwork
from recommender.models.head.prediction import pair_loss
from recommender.models.objective import Objective
from recommender.training.batches import Batch
from recommender.training.losses import inclusion_log_probability


class Pairs:
    """Pairs of an epoch: users as they were before what they chose, the items chosen, and others of the batch.

    The others are as popular as what is chosen. So that the head says how an item compares with any other, and not
    with popular ones, their logits are shifted in training as if all items had been drawn alike (noise contrast,
    Gutmann and Hyvärinen, AISTATS 2010).

    Parameters
    ----------
    examples
        The towers' own batches.
    """

    def __init__(self, examples: Objective, config: HeadConfig) -> None:
        self._examples, self._config = examples, config
        self._shares = torch.from_numpy(examples.shares)

    @property
    def batches(self) -> int:
        """About how many an epoch has."""
        return self._examples.batches_an_epoch

    def losses(self, network: HeadNetwork, rng: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        """(loss, pairs) of each batch."""
        for users, items, targets, weights, offset in self._pairs(rng):
            yield pair_loss(network, users, items, targets, weights, offset), len(targets)

    @torch.no_grad()
    def start(self, network: HeadNetwork, rng: np.random.Generator) -> None:
        """Give a fresh head the mean of the targets, so that its first steps need not learn that."""
        users, items, targets, _, offset = next(self._pairs(rng))
        if network.classifies:
            network.centre(network.raw(users, items) + offset, targets)

    @torch.no_grad()
    def predictions(
        self, network: HeadNetwork, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The head's answers for every pair of an epoch, and what they should be."""
        parts = [
            (network(users, items).cpu().numpy(), targets.cpu().numpy())
            for users, items, targets, _, _ in self._pairs(rng)
        ]
        return np.concatenate([found for found, _ in parts]), np.concatenate([right for _, right in parts])

    def _pairs(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        encoded = self._examples.encoded(rng)
        while True:
            with nullcontext() if self._config.train_towers else torch.no_grad():
                batch, users, items = next(encoded, (None, None, None))
            if batch is None or users is None or items is None:
                return
            rows, columns = batch.targets
            weights = batch.weights
            targets = np.ones(len(rows), np.float32)
            if self._config.target == "regression":
                targets, weights = weights, targets
            else:
                others = self._negatives(batch, rng)
                targets = np.append(targets, np.zeros(len(others[0]), np.float32))
                weights = np.append(weights, weights[others[2]])
                rows, columns = np.append(rows, others[0]), np.append(columns, others[1])
            row, column, target, weight = (
                torch.from_numpy(part).to(users.device) for part in (rows, columns, targets, weights)
            )
            yield users[row], items[column], target, weight, self._offset(batch).to(users.device)[column]

    def _negatives(
        self, batch: Batch, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows and columns of items the user has never met, and which target each was drawn for."""
        of = np.repeat(np.arange(len(batch.targets[0])), self._config.negatives_per_positive)
        row, count = batch.targets[0][of], len(batch.candidates)
        column = rng.integers(0, count, len(of))
        met = np.concatenate([np.stack(batch.forbidden), np.stack(batch.targets)], axis=1)
        free = ~np.isin(row * count + column, met[0] * count + met[1])
        return row[free], column[free], of[free]

    def _offset(self, batch: Batch) -> Tensor:
        """(c,) minus the log of how much oftener each candidate is drawn than if all items were drawn alike."""
        log_q = inclusion_log_probability(self._shares[torch.from_numpy(batch.candidates)], batch.draws)
        return float(np.log(len(batch.candidates) / len(self._shares))) - log_q
