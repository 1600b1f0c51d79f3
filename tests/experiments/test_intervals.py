"""The statistics, against SciPy's and by simulation."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from recommender.experiments.intervals import ENOUGH, Arm, anytime, information, newcombe, ratio_p_value, welch

Values = npt.NDArray[np.float64]


def arm_of(values: Values) -> Arm:
    return Arm.of_sums(len(values), int((values != 0).sum()), int(values.sum()), int((values**2).sum()))


@pytest.fixture
def pair() -> tuple[Values, Values]:
    rng = np.random.default_rng(5)
    return rng.poisson(1.3, 80).astype(float), rng.poisson(0.9, 200).astype(float)


def test_sums_are_enough(pair: tuple[Values, Values]) -> None:
    arm = arm_of(pair[0])
    assert (arm.mean, arm.variance) == pytest.approx((pair[0].mean(), pair[0].var(ddof=1)))


def test_welch_is_scipys(pair: tuple[Values, Values]) -> None:
    expected = stats.ttest_ind(*pair, equal_var=False)
    found = welch(*map(arm_of, pair))
    assert found is not None
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_newcombe_is_the_papers() -> None:
    """Table II of Newcombe 1998, method 10: 56/70 - 48/80, 9/10 - 3/10, 5/56 - 0/29, 10/10 - 0/10."""
    for (hits, users), (other, others), low, high in (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ):
        found = newcombe(Arm.of_sums(users, hits, hits, hits), Arm.of_sums(others, other, other, other))
        assert found is not None
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_shares_are_compared_by_chi_square() -> None:
    found = newcombe(Arm.of_sums(100, 30, 30, 30), Arm.of_sums(200, 40, 40, 40))
    assert found is not None
    pooled = 70 / 300
    z = (0.3 - 0.2) / math.sqrt(pooled * (1 - pooled) * (1 / 100 + 1 / 200))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(z))


def test_the_anytime_interval_inverts_the_mixture() -> None:
    """Likelihood of the difference, averaged over a normal prior, against that of 0 by numerical integration."""
    from scipy.integrate import quad

    challenger, champion = Arm.of_sums(400, 200, 480, 1500), Arm.of_sums(600, 250, 560, 1500)
    first = information(challenger, champion) / 10
    found = anytime(challenger, champion, first)
    assert found is not None
    error = math.sqrt(challenger.variance / 400 + champion.variance / 600)
    z = (challenger.mean - champion.mean) / error
    best = -2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))
    spread = math.sqrt(best * 10 / 14)
    ratio, _ = quad(lambda effect: math.exp(z * effect - effect**2 / 2) * stats.norm.pdf(effect, 0, spread), -40, 40)
    assert found.p_value == pytest.approx(min(1, 1 / ratio), rel=1e-6)
    edge = found.low / error
    shifted, _ = quad(
        lambda effect: math.exp((z - edge) * effect - effect**2 / 2) * stats.norm.pdf(effect, 0, spread), -40, 40
    )
    assert shifted == pytest.approx(20, rel=1e-6), "at its ends the interval is as improbable as 1 in 20"


def test_looking_costs_width() -> None:
    challenger, champion = Arm.of_sums(400, 200, 480, 1500), Arm.of_sums(600, 250, 560, 1500)
    once, often = welch(challenger, champion), anytime(challenger, champion, information(challenger, champion) / 14)
    assert once is not None
    assert often is not None
    assert 1.5 < (often.high - often.low) / (once.high - once.low) < 1.6


@pytest.mark.parametrize("growing", [False, True])
def test_nightly_looks_find_nothing_where_nothing_is(growing: bool) -> None:
    """28 looks at 400 experiments without an effect: one-look intervals cry wolf in an eighth or more."""
    rng = np.random.default_rng(1)
    looked = {"anytime": 0, "one look": 0}
    for _ in range(400):
        wrong = null_experiment(rng, users=600, looks=28, growing=growing)
        looked["anytime"] += wrong[0]
        looked["one look"] += wrong[1]
    assert looked["anytime"] <= 0.04 * 400
    assert looked["one look"] >= 0.125 * 400


def null_experiment(rng: np.random.Generator, users: int, looks: int, growing: bool) -> tuple[bool, bool]:
    """Whether either kind of interval ever leaves out 0; users differ in rate, and may come in over time."""
    challenger = rng.random(users) < 0.3
    rate = rng.gamma(1.0, 0.15, users)
    enters = rng.integers(0, looks, users) if growing else np.zeros(users, int)
    total, first, wrong = np.zeros(users), 0.0, [False, False]
    for look in range(looks):
        exposed = enters <= look
        total += rng.poisson(rate) * exposed
        arms = arm_of(total[challenger & exposed]), arm_of(total[~challenger & exposed])
        first = first or information(*arms)
        for kind, interval in enumerate((anytime(*arms, first), welch(*arms))):
            wrong[kind] |= interval is not None and not interval.low <= 0 <= interval.high
    return wrong[0], wrong[1]


def test_an_effect_is_covered_and_found() -> None:
    """A gain of 30 %, 28 looks at 100 experiments: the interval always holds the truth, and in the end excludes 0."""
    rng = np.random.default_rng(2)
    covered = found = 0
    for _ in range(100):
        totals, first, holds = [np.zeros(1500), np.zeros(1500)], 0.0, True
        for look in range(1, 29):
            totals = [total + rng.poisson(rate, 1500) for total, rate in zip(totals, (0.065, 0.05), strict=True)]
            arms = arm_of(totals[0]), arm_of(totals[1])
            first = first or information(*arms)
            interval = anytime(*arms, first)
            if interval is not None:
                holds &= interval.low <= 0.015 * look <= interval.high
        assert interval is not None
        covered += holds
        found += interval.low > 0
    assert covered >= 95
    assert found >= 95


def test_too_little_says_nothing() -> None:
    full, empty, lone = Arm.of_sums(50, 50, 60, 90), Arm.of_sums(50, 0, 0, 0), Arm.of_sums(1, 1, 3, 9)
    few = Arm.of_sums(50, ENOUGH - 1, 60, 90)
    assert welch(empty, empty) is None
    assert welch(full, lone) is None
    assert anytime(full, few, 1.0) is None
    assert anytime(full, full, 0.0) is None
    assert information(full, few) == 0
    assert newcombe(full, Arm.of_sums(0, 0, 0, 0)) is None
    nobody = newcombe(empty, empty)
    assert nobody is not None
    assert (nobody.p_value, nobody.low) == (1.0, pytest.approx(-nobody.high))


def test_the_ratio_is_a_chi_square_of_two_counts() -> None:
    """0.1 of 10,000 expected: 1,000 and 9,000; (1,100 - 1,000)² / 1,000 + 100² / 9,000 = 11.11."""
    assert ratio_p_value(1_100, 8_900, 0.1) == pytest.approx(stats.chi2.sf(11.111111, 1))
    assert ratio_p_value(1_000, 9_000, 0.1) == 1
    assert ratio_p_value(0, 0, 0.1) == 1
