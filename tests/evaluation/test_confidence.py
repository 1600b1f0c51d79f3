"""Intervals and p-values beside SciPy's bootstrap, and whether they keep what they promise."""

import numpy as np
import pytest
from scipy import stats

from recommender.evaluation import confidence
from recommender.evaluation.confidence import compare, intervals


def users(seed: int, count: int = 400, mean: float = 0.2) -> np.ndarray:
    """Recalls as they look: many zeros, few large."""
    rng = np.random.default_rng(seed)
    return rng.binomial(5, mean, count) / 5


def test_the_same_interval_as_scipys_bootstrap() -> None:
    values = users(0)
    found = intervals({"recall@20": values}, seed=1)["recall@20"]
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000, rng=2).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)


def test_the_same_seed_gives_the_same_interval_and_another_nearly_so() -> None:
    metrics = {"recall@20": users(0)}
    assert intervals(metrics, 1) == intervals(metrics, 1)
    one, other = intervals(metrics, 1)["recall@20"], intervals(metrics, 2)["recall@20"]
    assert one.low != other.low and one.low == pytest.approx(other.low, abs=0.002)


def test_groups_of_users_give_the_interval_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"recall@20": users(0, 5000)}
    alone = intervals(metrics, 1)["recall@20"]
    monkeypatch.setattr(confidence, "GROUPS", 1000)
    grouped = intervals(metrics, 1)["recall@20"]
    assert grouped.value == pytest.approx(alone.value)
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.15)


def test_models_are_compared_user_by_user() -> None:
    """A small gain of every user is certain, however different the users are."""
    reference = users(0)
    paired = compare({"recall@20": reference + 0.01}, {"recall@20": reference}, 1)["recall@20"]
    assert paired.difference.low == pytest.approx(0.01) == paired.difference.high
    assert paired.p_value < 0.01
    shuffled = compare({"recall@20": reference[::-1] + 0.01}, {"recall@20": reference}, 1)["recall@20"]
    assert shuffled.difference.low < 0 < shuffled.difference.high
    assert shuffled.p_value > 0.1


def test_of_models_that_are_alike_one_in_twenty_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidence, "RESAMPLES", 300)
    apart = [compare({"r": users(seed)}, {"r": users(seed + 1000)}, seed)["r"].p_value < 0.05 for seed in range(300)]
    assert 5 <= sum(apart) <= 27  # 15 expected; beyond four standard deviations otherwise


def test_the_interval_holds_the_truth_nineteen_times_in_twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidence, "RESAMPLES", 300)
    found = [intervals({"r": users(seed, mean=0.2)}, seed)["r"] for seed in range(300)]
    assert 270 <= sum(one.low <= 0.2 <= one.high for one in found) <= 298


def test_ratios_follow_the_difference_and_need_something_to_divide_by() -> None:
    reference = users(0)
    paired = compare({"r": reference * 1.1, "zero": reference}, {"r": reference, "zero": reference * 0}, 1)
    ratio = paired["r"].ratio
    assert ratio is not None and (ratio.low, ratio.value, ratio.high) == pytest.approx((1.1, 1.1, 1.1))
    assert paired["zero"].ratio is None


def test_only_what_both_were_measured_by_is_compared() -> None:
    assert list(compare({"a": users(0), "b": users(1)}, {"b": users(2)}, 1)) == ["b"]


def test_two_equal_models_differ_by_nothing() -> None:
    same = compare({"r": users(0)}, {"r": users(0)}, 1)["r"]
    assert (same.difference.low, same.difference.high, same.p_value) == (0, 0, 1)
