"""Metrics and their intervals: a million lists of a hundred, the accurate ones beside the library ranx."""

import resource
import time
from collections.abc import Iterator
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from benchmarks.measure import Measurement
from recommender.columns import CATEGORY, CREATOR
from recommender.data.dataset import SECONDS_A_DAY, Dataset, night_end
from recommender.evaluation.confidence import intervals
from recommender.evaluation.lists import list_metrics
from recommender.evaluation.metrics import per_user_metrics

USERS, ITEMS, WIDTH = 1_000_000, 100_000, 100
MET = 20
"""Items that each user has met."""
CREATORS, CATEGORIES = 12_000, 50
PEER_USERS = 10_000
"""ranx reads lists as dictionaries: more of them take minutes to build."""
CUTS = (5, 10, 20, 50, 100)
THEIRS = ("recall", "precision", "f1", "hit_rate", "ndcg", "mrr", "map")
NIGHT = date(2026, 3, 31)
ALLOWED_SECONDS = 30.0
"""For every metric of a million lists of a hundred, on two cores."""


def run() -> Iterator[Measurement]:
    rng = np.random.default_rng(0)
    ranked = rng.integers(0, ITEMS, (USERS, WIDTH), dtype=np.int32)
    wanted, dataset = _wanted(rng), _dataset(rng)
    before = _peak()
    started = time.perf_counter()
    metrics = per_user_metrics(ranked, wanted, CUTS)
    ours = time.perf_counter() - started
    theirs = _ranx(ranked[:PEER_USERS], wanted[:PEER_USERS])
    what = f"seven metrics at five cuts of {USERS:,} lists of {WIDTH}, {ours:.1f} s"
    yield Measurement(what, USERS / ours, "lists/s", f"ranx, {PEER_USERS:,} lists", PEER_USERS / theirs)
    started = time.perf_counter()
    beyond, _ = list_metrics(ranked, np.arange(USERS), dataset, CUTS, wanted)
    both = ours + time.perf_counter() - started
    what = f"these and eight of what the lists are like, {_peak() - before:.1f} GiB beside {before:.1f}"
    yield Measurement(what, both, "s", "what is allowed", ALLOWED_SECONDS)
    started = time.perf_counter()
    intervals({**metrics, **beyond}, seed=1)
    yield Measurement("their bootstrap intervals", time.perf_counter() - started, "s", "the metrics", both)


def _wanted(rng: np.random.Generator) -> sparse.csr_matrix:
    """(USERS, ITEMS) up to 29 relevant items each."""
    sizes = rng.integers(1, 30, USERS)
    items = rng.integers(0, ITEMS, sizes.sum(), dtype=np.int32)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    return sparse.csr_matrix((np.ones(len(items), np.float32), items, bounds), (USERS, ITEMS))


def _dataset(rng: np.random.Generator) -> Dataset:
    """Histories of a year, a few items in most of them; every item has a creator and one or two categories."""
    events = USERS * MET
    creators = rng.integers(0, CREATORS, ITEMS).astype(str).astype(object)
    categories = [np.unique(pair).astype(str) for pair in rng.integers(0, CATEGORIES, (ITEMS, 2))]
    dataset = Dataset(
        ds=NIGHT,
        user_ids=np.arange(USERS).astype(object),
        item_ids=np.arange(ITEMS).astype(object),
        user=np.repeat(np.arange(USERS, dtype=np.int32), MET),
        item=(ITEMS * rng.random(events) ** 2).astype(np.int32),
        ts=int(night_end(NIGHT).timestamp()) - rng.integers(1, 365 * SECONDS_A_DAY, events),
        weight=np.ones(events, np.float32),
        user_features=pd.DataFrame(index=np.arange(USERS)),
        item_features=pd.DataFrame({CREATOR: creators, CATEGORY: pd.Series(categories, dtype=object)}),
    )
    _ = dataset.seen  # what made the lists has asked for it before
    return dataset


def _peak() -> float:
    """GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _ranx(ranked: npt.NDArray[np.int32], wanted: sparse.csr_matrix) -> float:
    """Seconds of ranx for the same, its tables built and its code compiled before."""
    from ranx import Qrels, Run, evaluate

    qrels = Qrels({str(user): {str(item): 1 for item in wanted[user].indices} for user in range(len(ranked))})
    lists = Run(
        {str(user): {str(item): float(-rank) for rank, item in enumerate(row)} for user, row in enumerate(ranked)}
    )
    names = [f"{name}@{k}" for name in THEIRS for k in CUTS]
    evaluate(qrels, lists, names)
    started = time.perf_counter()
    evaluate(qrels, lists, names)
    return time.perf_counter() - started


if __name__ == "__main__":
    for measurement in run():
        print(f"{measurement.name}: {measurement.ratio:.2f} of {measurement.peer}, {measurement.value:,.4g}")
