"""The gate's rules on literal figures."""

import math

import pytest

from recommender.config.policy import Policy, Rule
from recommender.evaluation.confidence import Compared, Interval
from recommender.evaluation.gate import apply_policy

LEAST = Rule(name="r", metric="recall@20", at_least=0.1)
MOST = Rule(name="r", metric="onnx", at_most=0.01)
BETTER = Rule(name="r", metric="recall@20", against="champion", at_least=1.0)
BETTER_THAN_EASE = Rule(name="r", metric="recall@20", against="ease", at_least=1.0)
DRIFT = Rule(name="r", metric="drift_share", at_most=0.5)


@pytest.mark.parametrize(
    ("rule", "challenger", "others", "passed", "value"),
    [
        (LEAST, {"recall@20": 0.1}, {}, True, 0.1),
        (LEAST, {"recall@20": 0.09}, {}, False, 0.09),
        (LEAST, {"recall@20": math.nan}, {}, False, math.nan),
        (LEAST, {}, {}, False, None),
        (MOST, {"onnx": 0.02}, {}, False, 0.02),
        (BETTER, {"recall@20": 0.2}, {"champion": {"recall@20": 0.1}}, True, 2.0),
        (BETTER, {"recall@20": 0.099}, {"champion": {"recall@20": 0.1}}, False, 0.99),
        (BETTER, {"recall@20": 0.2}, {}, True, None),
        (BETTER, {"recall@20": 0.1}, {"champion": {"recall@20": 0.0}}, True, math.inf),
        (BETTER, {"recall@20": 0.0}, {"champion": {"recall@20": 0.0}}, True, 1.0),
        (BETTER_THAN_EASE, {"recall@20": 0.2}, {"ease": {"recall@20": 0.1}}, True, 2.0),
        (BETTER_THAN_EASE, {"recall@20": 0.2}, {"champion": {"recall@20": 0.1}}, False, None),
        (DRIFT, {"recall@20": 0.2}, {}, True, None),
        (DRIFT, {"recall@20": 0.2}, {"champion": {}}, False, None),
        (DRIFT, {"drift_share": 0.6}, {"champion": {}}, False, 0.6),
    ],
)
def test_rules(rule: Rule, challenger: dict, others: dict, passed: bool, value: float | None) -> None:
    (result,) = apply_policy(Policy(rules=(rule,)), challenger, others)
    assert result.passed is passed
    assert result.value == (pytest.approx(value, nan_ok=True) if value is not None else None)
    assert rule.metric in result.detail or "no champion" in result.detail


def test_a_model_without_onnx_is_asked_for_none() -> None:
    rule = Rule(name="r", metric="onnx_max_abs_diff", at_most=0.01)
    policy = Policy(rules=(rule,))
    assert apply_policy(policy, {"onnx_files": 0.0}, {})[0].passed
    assert not apply_policy(policy, {"onnx_files": 2.0}, {})[0].passed  # files that nobody compared
    assert not apply_policy(policy, {}, {})[0].passed


def test_a_comparison_says_how_sure_it_is() -> None:
    rule = Rule(name="keeps_up", metric="recall@20", against="champion", at_least=0.98)
    sure = Compared(Interval(0.004, -0.001, 0.009), Interval(1.02, 0.995, 1.045), 0.12)
    beside = {"champion": {"recall@20": sure}}
    (result,) = apply_policy(Policy(rules=(rule,)), {"recall@20": 0.204}, {"champion": {"recall@20": 0.2}}, beside)
    assert result.passed
    assert result.detail == (
        "recall@20 0.2040 against 0.2000 of the champion, ratio 1.020 "
        "(95% of resamples 0.995 to 1.045, p 0.12); must be at least 0.98"
    )
