"""An epoch of two towers against its matrix products alone, the share spent on batches, and what the trainer adds.

All in seconds of one thread's own work, whatever else the machine does.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.measure import Measurement
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, night_end
from recommender.features.definitions import Feature
from recommender.models.two_tower import TwoTower
from recommender.training.batches import Batch, BatchMaker
from recommender.training.losses import in_batch_softmax
from recommender.training.trainer import Trainer

USERS, ITEMS, EVENTS = 4_000, 6_000, 200_000
THREADS = 1
HEADS = 2
"""Poolings of a history."""
STEPS, ROUNDS = 40, 4


def run() -> Iterator[Measurement]:
    config = TwoTowerConfig()
    dataset = _world()
    rows = TrainingRows(
        np.arange(EVENTS),
        dataset.user_features.iloc[dataset.user].reset_index(drop=True),
        dataset.item_features.iloc[dataset.item].reset_index(drop=True),
    )
    features = [Feature("events_total", side, "numeric", True, "events_total", None, "") for side in ("user", "item")]
    model = TwoTower(config, Training(threads=THREADS, device="cpu"), features[:1], features[1:])
    with _watched() as epoch:
        model.fit(dataset, rows, epochs=1)
    examples, count = sum(len(batch.weights) for batch in epoch.batches), len(epoch.batches)
    name = f"two towers, {EVENTS:,} events, d={config.dimension}, {THREADS} thread"
    products = _worked(lambda: _products(epoch.batches, config.dimension))
    yield Measurement(
        f"{name}: training", examples / epoch.seconds, "examples/s", "its matrix products alone", examples / products
    )
    yield Measurement(f"{name}: time spent on batches", epoch.making, "s", "the epoch", epoch.seconds)
    ours, bare = (min(_worked(work) for _ in range(ROUNDS)) for work in (_train, _bare))
    yield Measurement(
        f"{name}: what averaging and bookkeeping add",
        (ours - bare) / STEPS * 1e3,
        "ms a step",
        "the step",
        epoch.seconds / count * 1e3,
    )


def _worked(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@dataclass
class _Epoch:
    batches: list[Batch] = field(default_factory=list)
    making: float = 0.0
    seconds: float = 0.0


@contextmanager
def _watched() -> Iterator[_Epoch]:
    """Every batch that is made inside, the seconds that took, and those of all that was done with them."""
    seen = _Epoch()
    made = BatchMaker.epoch

    def epoch(maker: BatchMaker, rng: np.random.Generator) -> Iterator[Batch]:
        begun = time.process_time()
        iterator = made(maker, rng)
        while True:
            started = time.process_time()
            batch = next(iterator, None)
            seen.making += time.process_time() - started
            if batch is None:
                seen.seconds = time.process_time() - begun
                return
            seen.batches.append(batch)
            yield batch

    BatchMaker.epoch = epoch  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        BatchMaker.epoch = made  # type: ignore[method-assign]


def _products(batches: list[Batch], dimension: int) -> None:
    """Scores of every user and candidate, pooled histories, and both products that each needs backwards."""
    users, length = np.max([batch.histories.items.shape for batch in batches], axis=0).tolist()
    all_vectors, all_weights = torch.ones(users, dimension + 1), torch.ones(users, HEADS, length)
    all_items = torch.ones(max(len(batch.candidates) for batch in batches), dimension + 1)
    all_histories = torch.ones(users, length, dimension)
    for batch in batches:
        count = len(batch.users)
        vectors, items = all_vectors[:count], all_items[: len(batch.candidates)]
        scores = vectors @ items.T
        _ = scores @ items, scores.T @ vectors
        weights, histories = all_weights[:count], all_histories[:count]
        pooled = torch.bmm(weights, histories)
        _ = torch.bmm(pooled, histories.transpose(1, 2)), torch.bmm(weights.transpose(1, 2), pooled)


class _Products(nn.Module):
    """As many weights as the towers have, under the same loss, on batches that cost nothing to make."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.users, self.items = nn.Embedding(USERS, 256), nn.Embedding(ITEMS, 256)

    def losses(self) -> Iterator[tuple[Tensor, int]]:
        users, items, weights = torch.arange(400), torch.arange(700), torch.ones(400)
        none = torch.zeros(0, dtype=torch.long)
        for _ in range(STEPS):
            vectors = self.users(users), self.items(items)
            yield in_batch_softmax(*vectors, torch.zeros(700), (users, users), (none, none), weights, 0.07), 400


def _train() -> None:
    module = _Products()
    Trainer(module, lambda _epoch: module.losses(), TwoTowerConfig(), epochs=1).run()


def _bare() -> None:
    module, config = _Products(), TwoTowerConfig()
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    for loss, _ in module.losses():
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()


def _world() -> Dataset:
    """Users who meet items at random, some items far more often than others."""
    rng = np.random.default_rng(0)
    until = int(night_end(date(2025, 6, 30)).timestamp())
    user = rng.integers(USERS, size=EVENTS)
    item = (ITEMS * rng.random(EVENTS) ** 2).astype(np.int64)
    ts = until - rng.integers(1, 700 * SECONDS_A_DAY, EVENTS)
    order = np.lexsort((ts, user))
    user, item, ts = user[order], item[order], ts[order]
    counts = [np.bincount(side, minlength=size).astype(np.float32) for side, size in ((user, USERS), (item, ITEMS))]
    return Dataset(
        ds=date(2025, 6, 30),
        user_ids=np.array([f"u{n:05}" for n in range(USERS)], object),
        item_ids=np.array([f"i{n:05}" for n in range(ITEMS)], object),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        ts=ts,
        weight=np.ones(EVENTS, np.float32),
        user_features=pd.DataFrame({"events_total": counts[0]}),
        item_features=pd.DataFrame({"events_total": counts[1]}),
    )
