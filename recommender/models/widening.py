"""Candidates beside a batch's own targets: drawn ones, or all items."""

import dataclasses

import numpy as np
import numpy.typing as npt
import torch

from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset, TrainingRows
from recommender.training.batches import Batch
from recommender.training.losses import inclusion_log_probability
from recommender.training.negatives import Sampler

Ints = npt.NDArray[np.int64]


class Widening:
    """Adds candidates to batches, and says how likely each candidate was to be there.

    Only items with a training row are added. Their features are those of one of their rows, drawn at random: the
    ones they have now would tell them from targets, whose features are from before their event.

    Parameters
    ----------
    shares
        (items,) share of the training rows that each item has.
    """

    def __init__(
        self, dataset: Dataset, rows: TrainingRows, shares: npt.NDArray[np.float32], config: TwoTowerConfig
    ) -> None:
        self._seen = dataset.seen
        self._per_positive = config.negatives_per_positive
        self._all = np.flatnonzero(shares > 0) if config.loss == "full_softmax" else None
        self._sampler = None if config.negatives == "in_batch" else Sampler(config.negatives, shares, dataset.seen)
        self._shares = torch.from_numpy(shares)
        if self._all is not None or self._sampler is not None:
            item = dataset.item[rows.event]
            self._rows = np.argsort(item, kind="stable")
            counts = np.bincount(item, minlength=len(shares))
            self._first, self._counts = np.cumsum(counts) - counts, counts

    def __call__(self, batch: Batch, rng: np.random.Generator) -> tuple[Batch, npt.NDArray[np.float32]]:
        """The batch with more candidates, and the (c,) log probability of each to be among them."""
        log_q = inclusion_log_probability(self._shares[torch.from_numpy(batch.candidates)], batch.draws).numpy()
        if self._all is not None:
            batch = self._widened(batch, self._all, rng)
            return batch, np.zeros(len(batch.candidates), np.float32)
        if self._sampler is None:
            return batch, log_q
        draws = self._per_positive * len(batch.weights)
        batch = self._widened(batch, self._sampler.shared(rng, draws), rng)
        in_batch = inclusion_log_probability(self._shares[torch.from_numpy(batch.candidates)], batch.draws).numpy()
        return batch, _either(in_batch, self._sampler.log_q(draws)[batch.candidates])

    def _widened(self, batch: Batch, more: Ints, rng: np.random.Generator) -> Batch:
        more = more[self._counts[more] > 0]
        candidates = np.union1d(batch.candidates, more)
        place = np.searchsorted(candidates, batch.candidates)
        candidate_rows = self._rows[self._first[candidates] + rng.integers(0, self._counts[candidates])]
        candidate_rows[place] = batch.candidate_rows
        met = self._seen[batch.users][:, candidates].tocoo()
        return dataclasses.replace(
            batch,
            candidates=candidates,
            candidate_rows=candidate_rows,
            targets=(batch.targets[0], place[batch.targets[1]]),
            forbidden=(met.row.astype(np.int64), met.col.astype(np.int64)),
        )


def _either(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log probability that at least one of two independent events happens, from theirs."""
    with np.errstate(divide="ignore"):
        missed = np.log1p(-np.exp(first.astype(np.float64))) + np.log1p(-np.exp(second.astype(np.float64)))
    either: npt.NDArray[np.float32] = np.log(-np.expm1(missed)).astype(np.float32)
    return either
