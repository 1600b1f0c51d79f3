"""Ranking metrics and their intervals: a million lists of a hundred, beside the library ranx."""

import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

from benchmarks.measure import Measurement
from recommender.evaluation.confidence import intervals
from recommender.evaluation.metrics import per_user_metrics

USERS, ITEMS, WIDTH = 1_000_000, 100_000, 100
PEER_USERS = 10_000
"""ranx reads lists as dictionaries: more of them take minutes to build."""
CUTS = (5, 10, 20, 50, 100)
THEIRS = ("recall", "precision", "f1", "hit_rate", "ndcg", "mrr", "map")


def run() -> Iterator[Measurement]:
    rng = np.random.default_rng(0)
    ranked = rng.integers(0, ITEMS, (USERS, WIDTH), dtype=np.int32)
    sizes = rng.integers(1, 30, USERS)
    wanted = sparse.csr_matrix(
        (
            np.ones(sizes.sum(), np.float32),
            rng.integers(0, ITEMS, sizes.sum(), dtype=np.int32),
            np.concatenate([[0], np.cumsum(sizes)]),
        ),
        (USERS, ITEMS),
    )
    started = time.perf_counter()
    metrics = per_user_metrics(ranked, wanted, CUTS)
    ours = time.perf_counter() - started
    theirs = _ranx(ranked[:PEER_USERS], wanted[:PEER_USERS])
    what = f"seven metrics at five cuts of {USERS:,} lists of {WIDTH}, {ours:.1f} s"
    yield Measurement(what, USERS / ours, "lists/s", f"ranx, {PEER_USERS:,} lists", PEER_USERS / theirs)
    started = time.perf_counter()
    intervals(metrics, seed=1)
    yield Measurement("their bootstrap intervals", time.perf_counter() - started, "s", "the metrics", ours)


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
