"""Neural collaborative filtering: an epoch of a million events, and a hundred pairs answered at one time."""

import time
from collections.abc import Iterator
from datetime import date

import numpy as np
import pandas as pd
import torch

from benchmarks.measure import Measurement
from recommender.config.ncf import Ncf as NcfConfig
from recommender.config.training import Training
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, night_end
from recommender.models.ncf.model import Ncf
from recommender.training.negatives import Sampler

USERS, ITEMS, EVENTS = 6_000, 4_000, 1_000_000
THREADS = 1
"""As a profile has it by default: two wait for each other wherever a core is busy."""
PAIRS, CALLS = 100, 1_000
NEGATIVES_WANTED = 5e6
MINUTES, MILLISECONDS = 20, 50


def run() -> Iterator[Measurement]:
    dataset = _world()
    sampler = Sampler("uniform", np.ones(ITEMS, np.float32), dataset.seen)
    rng = np.random.default_rng(0)
    started = time.process_time()  # of one thread, whatever else the machine does
    drawn = sampler.for_users(rng, dataset.user.astype(np.int64), 4).size
    rate = drawn / (time.process_time() - started)
    yield Measurement("negatives nobody has met, one thread", rate, "negatives/s", "wanted", NEGATIVES_WANTED)
    model = Ncf(NcfConfig(), Training(threads=THREADS, device="cpu"), [], [])
    rows = TrainingRows(np.arange(EVENTS), pd.DataFrame(index=range(EVENTS)), pd.DataFrame(index=range(EVENTS)))
    report = model.fit(dataset, rows, epochs=1)
    name = f"NeuMF, {EVENTS // 1_000_000} M events x (1 + {model.config.negatives_per_positive})"
    yield Measurement(f"{name}: an epoch", report.seconds, "s", f"20 epochs in {MINUTES} minutes", MINUTES * 60 / 20)
    yield Measurement(
        f"{PAIRS} pairs predicted, p95 of {CALLS:,} calls",
        _slowest(model, rng) * 1e3,
        "ms",
        "at most",
        MILLISECONDS,
    )


def _slowest(model: Ncf, rng: np.random.Generator) -> float:
    """95th percentile of the seconds of a call; the first ones fill the caches."""
    taken = []
    for _ in range(CALLS):
        users, items = rng.integers(USERS, size=PAIRS), rng.integers(ITEMS, size=PAIRS)
        started = time.perf_counter()
        model.score(users, items)
        taken.append(time.perf_counter() - started)
    return float(np.percentile(taken, 95))


def _world() -> Dataset:
    """Users with a taste for one of twenty kinds of items, of which some are chosen far more often than others."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 20, USERS)
    user = rng.integers(0, USERS, 2 * EVENTS)
    appeal = (rng.random(len(user)) ** 2 * (ITEMS // 20)).astype(np.int64) * 20
    item = appeal + np.where(rng.random(len(user)) < 0.5, kind[user], rng.integers(0, 20, len(user)))
    pairs = np.unique(user * ITEMS + item)  # each met once: every event is a positive
    user, item = np.divmod(np.sort(rng.permutation(pairs)[:EVENTS]), ITEMS)
    night = date(2020, 1, 1)
    return Dataset(
        ds=night,
        user_ids=np.array([f"u{n:05}" for n in range(USERS)], object),
        item_ids=np.array([f"i{n:05}" for n in range(ITEMS)], object),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        ts=np.full(EVENTS, int(night_end(night).timestamp()) - SECONDS_A_DAY, np.int64),
        weight=np.ones(EVENTS, np.float32),
        user_features=pd.DataFrame(index=range(USERS)),
        item_features=pd.DataFrame(index=range(ITEMS)),
    )


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    for measurement in run():
        print(measurement.as_dict())
