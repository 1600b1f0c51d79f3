"""What two arms of an experiment say about a difference: intervals, p-values, and whether the split can be trusted."""

import math
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95
_ALPHA = 1 - CONFIDENCE
TIGHTEST_AFTER = 14
"""The interval for any time is tightest when there is so many times the information of the first look: two weeks."""
ENOUGH = 25
"""Users with a value in each arm from which on the mean of skewed values is normal enough to be looked at nightly."""
MISMATCH_BELOW = 0.001
"""Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019."""


@dataclass(frozen=True)
class Arm:
    """A figure over the users of one arm."""

    users: int
    mean: float
    variance: float
    """Of the users' values, with `users - 1` below; 0 for a single user."""
    active: int
    """Users whose value is not 0."""

    @classmethod
    def of_sums(cls, users: int, active: int, total: int, squares: int) -> "Arm":
        """From the sum of the active users' values and of their squares."""
        if users < 2:
            return cls(users, total / max(users, 1), 0.0, active)
        return cls(users, total / users, (squares - total * total / users) / (users - 1), active)


@dataclass(frozen=True)
class Interval:
    """Where a difference lies, and how probable data this far from 0 would be were it 0."""

    low: float
    high: float
    p_value: float


def welch(challenger: Arm, champion: Arm) -> Interval | None:
    """Interval of the difference of means for one look, by the t-test for unequal variances (Welch 1947).

    None where an arm has fewer than two users, or nobody differs from anybody.
    """
    error = standard_error(challenger, champion)
    if error is None:
        return None
    parts = [arm.variance / arm.users for arm in (challenger, champion)]
    below = sum(part**2 / (arm.users - 1) for part, arm in zip(parts, (challenger, champion), strict=True))
    freedom = error**4 / below
    difference = challenger.mean - champion.mean
    half = float(stats.t.ppf(1 - _ALPHA / 2, freedom)) * error
    p_value = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    return Interval(difference - half, difference + half, p_value)


def newcombe(challenger: Arm, champion: Arm) -> Interval | None:
    """Interval of the difference of the shares of active users, for one look.

    By Wilson's scores of both (method 10 of Newcombe, Statistics in Medicine 17, 1998): unlike Wald's it is right where
    few are active, as in the first days. The p-value is of the chi-square test, 1 where nobody or everybody is. None
    where an arm is empty.
    """
    if not challenger.users or not champion.users:
        return None
    share, other = challenger.active / challenger.users, champion.active / champion.users
    low, high = _wilson(challenger)
    other_low, other_high = _wilson(champion)
    difference = share - other
    return Interval(
        difference - math.hypot(share - low, other_high - other),
        difference + math.hypot(high - share, other - other_low),
        _equal_shares(challenger, champion),
    )


def anytime(challenger: Arm, champion: Arm, first_information: float) -> Interval | None:
    """Interval of the difference of means that holds on every night at once, however often one looks.

    None until each arm has `ENOUGH` active users.

    An asymptotic confidence sequence by Robbins' normal mixture, with the variance of the sum over all users as its
    clock: equation 9 of Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence sequences"
    (Annals of Statistics 52, 2024). The p-value is of the mixture sequential probability ratio test (Johari et al.,
    "Peeking at A/B tests", KDD 2017): below .05 exactly where the interval leaves 0 out.

    Parameters
    ----------
    first_information
        `information` of the first look; it decides when the interval is tightest, and must stay the same.
    """
    error, known = standard_error(challenger, champion), information(challenger, champion)
    if error is None or not known or not first_information:
        return None
    best = -2 * math.log(_ALPHA) + math.log(1 - 2 * math.log(_ALPHA))
    clock = best * known / (first_information * TIGHTEST_AFTER)
    difference = challenger.mean - champion.mean
    half = error * math.sqrt((1 + 1 / clock) * (math.log1p(clock) - 2 * math.log(_ALPHA)))
    evidence = (difference / error) ** 2 * clock / (1 + clock) / 2 - math.log1p(clock) / 2
    return Interval(difference - half, difference + half, math.exp(min(-evidence, 0.0)))


def information(challenger: Arm, champion: Arm) -> float:
    """Variance of the sum over all users of what the difference of means is a mean of; 0 until there is `ENOUGH`."""
    error = standard_error(challenger, champion)
    if error is None or min(challenger.active, champion.active) < ENOUGH:
        return 0.0
    return ((challenger.users + champion.users) * error) ** 2


def standard_error(challenger: Arm, champion: Arm) -> float | None:
    """Of the difference of means; None where an arm has fewer than two users, or nobody differs from anybody."""
    if min(challenger.users, champion.users) < 2:
        return None
    return math.sqrt(challenger.variance / challenger.users + champion.variance / champion.users) or None


def ratio_p_value(challenger_users: int, champion_users: int, share: float) -> float:
    """How probable so uneven arms are where each user is in the challenger's with this share: chi-square test."""
    users = challenger_users + champion_users
    if users == 0:
        return 1.0
    expected = [users * share, users * (1 - share)]
    return float(stats.chisquare([challenger_users, champion_users], expected).pvalue)


def _wilson(arm: Arm) -> tuple[float, float]:
    found = stats.binomtest(arm.active, arm.users).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def _equal_shares(challenger: Arm, champion: Arm) -> float:
    table = [[arm.active, arm.users - arm.active] for arm in (challenger, champion)]
    if 0 in map(sum, zip(*table, strict=True)):
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)
