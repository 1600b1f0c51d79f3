"""How far figures would move had other users of the same kind been judged: bootstrap over users.

A resample weighs every user by a draw from Poisson(1), which for many users is drawing as many of them with replacement
(Chamandy, Muralidharan, Najmi and Naidu, "Estimating Uncertainty for Massive Data Streams", 2012). Two models are
compared on the same resamples, so that what makes a user easy or hard for both cancels out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
LEVEL = 0.95
"""Share of the resamples between the ends of an interval."""
GROUPS = 10_000
"""Of more users than this, random groups are resampled: no interval becomes better by more."""
BLOCK = 1 << 22
"""Weights drawn at one time."""
ROUNDING = 1e-12

PerUser = Mapping[str, npt.NDArray[np.float64]]
"""(users,) values of each metric."""


@dataclass(frozen=True)
class Interval:
    """A figure and where `LEVEL` of its resamples lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """One model beside another on the same users."""

    difference: Interval
    ratio: Interval | None
    """None where a resample of the other's is zero."""
    p_value: float
    """Two-sided: how often chance alone would show such a difference where there is none."""


def intervals(metrics: PerUser, seed: int) -> dict[str, Interval]:
    """Of the mean of every metric; the same users and seed give the same intervals."""
    names = list(metrics)
    values = np.stack([metrics[name] for name in names])
    drawn = _resampled(values, seed)
    return {name: _interval(float(values[row].mean()), drawn[:, row]) for row, name in enumerate(names)}


def compare(challenger: PerUser, reference: PerUser, seed: int) -> dict[str, Compared]:
    """The challenger beside a reference judged on the same users, by every metric that both have."""
    names = [name for name in challenger if name in reference]
    values = np.stack([one[name] for one in (challenger, reference) for name in names])
    drawn = _resampled(values, seed)
    compared = {}
    for row, name in enumerate(names):
        ours, theirs = drawn[:, row], drawn[:, row + len(names)]
        mine, other = float(values[row].mean()), float(values[row + len(names)].mean())
        ratio = _interval(mine / other, ours / theirs) if theirs.min() > 0 else None
        compared[name] = Compared(_interval(mine - other, ours - theirs), ratio, _p_value(ours - theirs))
    return compared


def shares_above(
    margins: npt.NDArray[np.float64], seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of (rows, users) margins, a row at a time: in what share of the resamples their sum is above 0, and 0 or more."""
    if margins.size == 0:
        return np.zeros(len(margins)), np.ones(len(margins))
    sums = _weighed(margins, seed)
    # what is left of a sum of values that cancel is rounding
    sums[np.abs(sums) <= ROUNDING * np.abs(margins).sum(1)] = 0
    return (sums > 0).mean(0), (sums >= 0).mean(0)


def _resampled(values: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """(RESAMPLES, metrics) weighed means of (metrics, users) values."""
    drawn = _weighed(np.vstack([values, np.ones(values.shape[1])]), seed)
    means: npt.NDArray[np.float64] = drawn[:, :-1] / np.maximum(drawn[:, -1:], 1.0)
    return means


def _weighed(values: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """(RESAMPLES, rows) sums of (rows, users) values over resampled users."""
    rng = np.random.default_rng(seed)
    users = values.shape[1]
    if users > GROUPS:
        group = rng.permutation(users) % GROUPS
        values = np.stack([np.bincount(group, weights=row, minlength=GROUPS) for row in values])
    totals = values.T
    rows = max(1, BLOCK // len(totals))
    return np.concatenate(
        [rng.poisson(1.0, (min(rows, RESAMPLES - start), len(totals))) @ totals for start in range(0, RESAMPLES, rows)]
    )


def _interval(value: float, drawn: npt.NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _p_value(differences: npt.NDArray[np.float64]) -> float:
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1)))
