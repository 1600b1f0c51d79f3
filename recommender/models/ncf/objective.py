"""What the network is trained on: positives with negatives drawn for each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recommender.config.ncf import Ncf as NcfConfig
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import TrainingError
from recommender.models.ncf.fitted import Attached, Fitted
from recommender.models.ncf.network import Part
from recommender.training import pairwise
from recommender.training.batches import first_meetings
from recommender.training.distributed import shard
from recommender.training.negatives import Sampler

Ints = npt.NDArray[np.int64]
VALIDATION_USERS = 2000
"""Most users looked at after each epoch: every item is run through the network for each of them."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Positives with their negatives."""

    rows: Ints
    """(n,) which positives."""
    items: Ints
    """(n, 1 + m) the chosen item, then those that weren't."""
    user_hidden: npt.NDArray[np.bool_]
    """(n,) True for users taken for unknown."""
    hidden: npt.NDArray[np.bool_]
    """(n, 1 + m) True for items taken for unknown."""


class Objective:
    """Losses of one epoch's batches.

    Only rows in which a user meets an item for the first time are positives, and only those of users who have
    something left to meet.

    Raises
    ------
    TrainingError
        There is no such row.
    """

    def __init__(
        self, fitted: Fitted, config: NcfConfig, dataset: Dataset, rows: TrainingRows, state: Attached
    ) -> None:
        first = first_meetings(dataset)
        counts = np.bincount(dataset.item[rows.event], minlength=len(dataset.item_ids))
        self._sampler = Sampler(config.negatives, (counts / max(1, counts.sum())).astype(np.float32), dataset.seen)
        kept = np.flatnonzero(first[rows.event] == rows.event)
        kept = kept[self._sampler.has_negatives[dataset.user[rows.event[kept]]]]
        if len(kept) == 0:
            raise TrainingError(
                "no training row in which a user meets a new item and has others left to meet: "
                "widen training.window_days"
            )
        event = rows.event[kept]
        self._user, self._item = dataset.user[event].astype(np.int64), dataset.item[event].astype(np.int64)
        self._weight = dataset.weight[event]
        self._user_categories = fitted.encoders[0].transform(rows.user_features)[1][kept]
        self._fitted, self._config, self._state = fitted, config, state
        self._log_q = np.log(np.maximum(self._sampler.shares * config.negatives_per_positive, 1e-30)).astype(np.float32)

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._user) // self._config.batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        """The loss of each batch, and how many pairs, positives and negatives, it is of."""
        for batch in shard(self._draw(rng)):
            yield self._loss(batch), batch.hidden.size

    def _draw(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(len(self._user))
        for start in range(0, len(order), self._config.batch_size):
            rows = order[start : start + self._config.batch_size]
            negatives = self._sampler.for_users(rng, self._user[rows], self._config.negatives_per_positive)
            items = np.column_stack([self._item[rows], negatives])
            user_hidden, hidden = (np.less(rng.random(part.shape), self._config.id_dropout) for part in (rows, items))
            yield Batch(rows, items, user_hidden, hidden)

    def _loss(self, batch: Batch) -> Tensor:
        rows = batch.rows
        users = self._fitted.part(
            "user", self._state.user[self._user[rows]] * ~batch.user_hidden, self._user_categories[rows]
        )
        # an item's part is computed once a batch, hidden or not, however often it is drawn
        needed, place = np.unique(2 * batch.items + batch.hidden, return_inverse=True)
        items = self._fitted.part(
            "item", self._state.item[needed >> 1] * (1 - (needed & 1)), self._state.item_categories[needed >> 1]
        )
        places = torch.from_numpy(place.reshape(batch.items.shape)).to(items.factors.device)
        drawn = Part(*(torch.nn.functional.embedding(places, part) for part in items))
        logits = self._fitted.network.pairs(Part(*(part.unsqueeze(1) for part in users)), drawn)
        positive, negative = logits[:, 0], logits[:, 1:]
        weights = torch.from_numpy(self._weight[rows]).to(logits.device)
        if self._config.loss == "bce":
            count = float(self._config.negatives_per_positive)
            return pairwise.binary_cross_entropy(positive, negative, weights, negative_weight=count)
        if self._config.loss == "bpr":
            return pairwise.bpr(positive, negative, weights)
        log_q = torch.from_numpy(self._log_q[batch.items[:, 1:]]).to(logits.device)
        return pairwise.sampled_softmax(positive, negative, log_q, weights)


def sample_of(truth: Truth) -> Truth:
    """At most `VALIDATION_USERS` of its users, always the same ones."""
    if len(truth.users) <= VALIDATION_USERS:
        return truth
    chosen = np.sort(np.random.default_rng(0).permutation(len(truth.users))[:VALIDATION_USERS])
    return Truth(truth.users[chosen], truth.relevant[chosen])
