"""The gate's rules on literal figures."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.config.policy import Policy, Rule, load_policy
from recommender.evaluation.findings import RuleResult
from recommender.evaluation.gate import Evidence, apply_policy, decide

LEAST = Rule(name="r", metric="recall@20", at_least=0.1)
MOST = Rule(name="r", metric="onnx", at_most=0.01)
MORE = Rule(name="r", metric="recall@20", more_than=0.1)
LESS = Rule(name="r", metric="recall@20", less_than=0.1)
BETTER = Rule(name="r", metric="recall@20", against="champion", at_least=1.0)
BETTER_THAN_EASE = Rule(name="r", metric="recall@20", against="ease", at_least=1.0)
RECENT = Rule(name="r", metric="recall@20", against="best_recent", at_least=0.97)
DRIFT = Rule(name="r", metric="drift_share", at_most=0.5)
SURELY_BETTER = Rule(name="r", metric="recall@20", against="champion", more_than=1.0, certainty=0.975)
EVERY_COHORT = Rule(name="r", metric="recall@20", against="champion", cohort="every", at_least=0.9, certainty=0.05)


@dataclass(frozen=True)
class Group:
    dimension: str
    label: str
    members: npt.NDArray[np.bool_]


def judged(rule: Rule, evidence: Evidence) -> RuleResult:
    (result,) = apply_policy(Policy(rules=(rule,)), evidence)
    return result


def of(challenger: npt.NDArray[np.float64], champion: npt.NDArray[np.float64], *cohorts: Group) -> Evidence:
    values = {"challenger": challenger, "champion": champion}
    return Evidence(
        {name: {"recall@20": float(each.mean())} for name, each in values.items()},
        {name: {"recall@20": each} for name, each in values.items()},
        cohorts,
    )


def recalls(seed: int, count: int = 800) -> npt.NDArray[np.float64]:
    """As they look: many zeros, few large."""
    return np.random.default_rng(seed).binomial(5, 0.2, count) / 5


@pytest.mark.parametrize(
    ("rule", "figures", "passed", "value"),
    [
        (LEAST, {"challenger": {"recall@20": 0.1}}, True, 0.1),
        (LEAST, {"challenger": {"recall@20": 0.09}}, False, 0.09),
        (LEAST, {"challenger": {"recall@20": math.nan}}, False, math.nan),
        (LEAST, {"challenger": {}}, False, None),
        (MOST, {"challenger": {"onnx": 0.02}}, False, 0.02),
        (MOST, {"challenger": {"onnx": math.inf}}, False, math.inf),
        (MORE, {"challenger": {"recall@20": 0.1}}, False, 0.1),
        (MORE, {"challenger": {"recall@20": 0.11}}, True, 0.11),
        (LESS, {"challenger": {"recall@20": 0.1}}, False, 0.1),
        (LESS, {"challenger": {"recall@20": 0.09}}, True, 0.09),
        (BETTER, {"challenger": {"recall@20": 0.2}, "champion": {"recall@20": 0.1}}, True, 2.0),
        (BETTER, {"challenger": {"recall@20": 0.099}, "champion": {"recall@20": 0.1}}, False, 0.99),
        (BETTER, {"challenger": {"recall@20": 0.2}}, True, None),
        (BETTER, {"challenger": {"recall@20": 0.1}, "champion": {"recall@20": 0.0}}, True, math.inf),
        (BETTER, {"challenger": {"recall@20": 0.0}, "champion": {"recall@20": 0.0}}, True, 1.0),
        (BETTER_THAN_EASE, {"challenger": {"recall@20": 0.2}, "ease": {"recall@20": 0.1}}, True, 2.0),
        (BETTER_THAN_EASE, {"challenger": {"recall@20": 0.2}, "champion": {"recall@20": 0.1}}, False, None),
        (RECENT, {"challenger": {"recall@20": 0.96}, "best_recent": {"recall@20": 1.0}}, False, 0.96),
        (RECENT, {"challenger": {"recall@20": 0.96}}, True, None),
        (DRIFT, {"challenger": {"recall@20": 0.2}}, False, None),
        (DRIFT, {"challenger": {"drift_share": 0.6}}, False, 0.6),
    ],
)
def test_rules(rule: Rule, figures: dict, passed: bool, value: float | None) -> None:
    result = judged(rule, Evidence(figures))
    assert result.passed is passed
    assert result.value == (pytest.approx(value, nan_ok=True) if value is not None else None)
    assert rule.metric in result.detail


@pytest.mark.parametrize("champions", [{}, {"recall@20": math.nan}])
def test_a_reference_that_was_not_measured_proves_nothing(champions: dict) -> None:
    result = judged(BETTER, Evidence({"challenger": {"recall@20": 0.2}, "champion": champions}))
    assert not result.passed
    assert result.detail == "recall@20 was not measured of the champion"


def test_what_need_not_be_there_is_excused_with_its_reason() -> None:
    excused = {"drift_": "no champion whose features could have drifted"}
    result = judged(DRIFT, Evidence({"challenger": {}}, excused=excused))
    assert result.passed and result.detail == "no champion whose features could have drifted"
    assert not judged(DRIFT, Evidence({"challenger": {"drift_share": 0.6}}, excused=excused)).passed


def test_a_gain_must_be_more_than_chance() -> None:
    champion = recalls(0)
    small, large = champion.copy(), champion.copy()
    small[np.flatnonzero(champion == 0)[:3]] = 0.2  # three users more: chance gives as much
    large[np.flatnonzero(champion == 0)[:60]] = 0.2
    assert not judged(SURELY_BETTER, of(small, champion)).passed
    assert judged(SURELY_BETTER, of(large, champion)).passed
    assert not judged(SURELY_BETTER, of(champion, large)).passed


def test_an_equal_challenger_is_not_better_but_keeps_up() -> None:
    values = recalls(0)
    assert not judged(SURELY_BETTER, of(values, values)).passed
    keeps_up = Rule(name="r", metric="recall@20", against="champion", at_least=1.0, certainty=0.975)
    assert judged(keeps_up, of(values, values)).passed


def test_a_certain_rule_says_how_certain_it_is() -> None:
    champion = recalls(0)
    result = judged(SURELY_BETTER, of(champion + 0.01, champion))
    assert result.detail == (
        f"recall@20 {champion.mean() + 0.01:.4f} against {champion.mean():.4f} of the champion, "
        f"ratio {1 + 0.01 / champion.mean():.3f}, kept in 100.0% of the resampled nights, needed 97.5%; "
        "must be more than 1"
    )


def test_one_cohort_that_loses_is_found_however_well_the_others_do() -> None:
    champion = recalls(0)
    few = np.arange(800) < 60
    challenger = np.where(few, champion * 0.3, champion + 0.1)
    cohorts = (Group("country", "France", few), Group("country", "Japan", ~few), Group("activity", "most", few))
    result = judged(EVERY_COHORT, of(challenger, champion, *cohorts))
    assert not result.passed
    assert "country France (60): " in result.detail and "activity most (60): " in result.detail
    assert result.value == pytest.approx(0.3)
    by_activity = EVERY_COHORT.model_copy(update={"cohort": "tenure"})
    assert judged(by_activity, of(challenger, champion, *cohorts)).passed  # none of these groups


def test_of_many_cohorts_that_are_alike_none_raises_an_alarm() -> None:
    """Each by itself would be doubted once in twenty times; all of them together are."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        one, other = recalls(seed), recalls(seed + 1000)
        group = rng.integers(0, 20, 800)
        cohorts = [Group("g", str(number), group == number) for number in range(20)]
        rule = EVERY_COHORT.model_copy(update={"at_least": 1.0})
        alarms += not judged(rule, of(one, other, *cohorts)).passed
    assert alarms <= 6  # 2 expected; of twenty groups judged alone 26 would be


def test_certainty_needs_a_mean_over_users() -> None:
    rule = Rule(name="r", metric="coverage@20", at_least=0.1, certainty=0.9)
    result = judged(rule, Evidence({"challenger": {"coverage@20": 0.5}}))
    assert not result.passed and "no mean over users" in result.detail


@pytest.mark.parametrize(("days", "asked"), [(0, True), (28, True), (29, False)])
def test_a_rule_may_spare_old_champions(days: int, asked: bool) -> None:
    rule = BETTER.model_copy(update={"champion_up_to_days": 28})
    figures = {"challenger": {"recall@20": 0.1}, "champion": {"recall@20": 0.2}}
    result = judged(rule, Evidence(figures, champion_days=days))
    assert result.passed is not asked
    assert ("not asked" in result.detail) is not asked


def test_a_note_is_told_with_the_figure() -> None:
    result = judged(DRIFT, Evidence({"challenger": {"drift_share": 0.6}}, notes={"drift_share": "most of all age"}))
    assert result.detail == "drift_share 0.6 (most of all age); must be at most 0.5"


@pytest.mark.parametrize(
    ("failed", "decision"),
    [([], "promote"), (["ask"], "ask"), (["reject"], "reject"), (["ask", "reject"], "reject")],
)
def test_one_rule_that_rejects_outweighs_those_that_ask(failed: list, decision: str) -> None:
    passed = RuleResult("p", 1, 1, True, "")
    assert decide([passed, *(RuleResult("f", 1, 1, False, "", otherwise) for otherwise in failed)]) == decision


@given(st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=5, max_size=40), st.integers(0, 9))
def test_what_is_surely_better_one_way_is_not_the_other_way(values: list[float], seed: int) -> None:
    one = np.array(values)
    other = np.random.default_rng(seed).permutation(one)
    forth, back = judged(SURELY_BETTER, of(one, other)), judged(SURELY_BETTER, of(other, one))
    assert not (forth.passed and back.passed)


HEALTHY = {
    **{f"{name}@20": 0.2 for name in ("recall", "precision", "ndcg", "coverage", "top_item_share")},
    **{"onnx_max_abs_diff": 0.0, "fit_finite": 1.0, "recommend_ms": 5.0, "importance_largest": 0.2},
    **dict.fromkeys(("drift_share", "drift_worst", "drift_recommendations"), 0.0),
}


@pytest.mark.parametrize(
    ("fault", "stopped_by", "decision"),
    [
        ({}, set(), "promote"),
        # the future leaked into a feature: everything leaps, and the feature decides alone
        ({"recall@20": 0.5, "importance_largest": 0.9}, {"not_too_good_to_be_true", "no_feature_decides_alone"}, "ask"),
        ({"importance_largest": 0.9}, {"no_feature_decides_alone"}, "ask"),
        ({"drift_worst": 0.8}, {"no_feature_drifted_far"}, "ask"),
        ({"drift_share": 0.6}, {"features_are_stable"}, "ask"),
        ({"drift_recommendations": 6.5}, {"lists_are_not_another_kind"}, "ask"),
        ({"top_item_share@20": 1.0}, {"nothing_is_shown_to_all"}, "reject"),
        ({"coverage@20": 0.003}, {"covers_the_catalogue"}, "reject"),
        ({"onnx_max_abs_diff": math.inf}, {"onnx_agrees"}, "reject"),
        ({"fit_finite": 0.0}, {"training_was_healthy"}, "reject"),
        ({"recommend_ms": 5000.0}, {"answers_in_time"}, "reject"),
    ],
)
def test_the_shipped_policy_stops_each_fault_by_the_rule_for_it(
    fault: dict[str, float], stopped_by: set[str], decision: str
) -> None:
    users = np.full(400, 0.2)
    metrics = ("recall@20", "precision@20", "ndcg@20")
    figures = {
        "challenger": HEALTHY | {"precision@20": 0.21} | fault,
        "champion": dict.fromkeys(metrics, 0.2),
        "popularity": {"recall@20": 0.1},
    }
    per_user = {"challenger": dict.fromkeys(metrics, users + 0.01), "champion": dict.fromkeys(metrics, users)}
    group = Group("activity", "most", np.arange(400) < 200)
    results = apply_policy(load_policy(None), Evidence(figures, per_user, [group], champion_days=1))
    assert {result.rule for result in results if not result.passed} == stopped_by
    assert decide(results) == decision
