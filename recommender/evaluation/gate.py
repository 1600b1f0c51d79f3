"""The gate: a policy's rules applied to a challenger's figures."""

from collections.abc import Mapping

from recommender.config.policy import Policy, Rule
from recommender.evaluation.confidence import LEVEL, Compared
from recommender.evaluation.findings import Figures, RuleResult

ONNX_FILES = "onnx_files"
"""The figure that says how many files a model exported; rules on `onnx_…` ask nothing of one that exports none."""


Beside = Mapping[str, Mapping[str, Compared]]
"""By other model and metric: the challenger beside it."""
NOT_COMPARED: Beside = {}


def apply_policy(
    policy: Policy, challenger: Figures, others: Mapping[str, Figures], beside: Beside = NOT_COMPARED
) -> list[RuleResult]:
    """Judge every rule. `others` holds the figures of the baselines, and of `champion` where there is one.

    `beside` says how sure the comparisons are, for people to read.

    A rule against a champion that does not exist passes and says so: the first model ever has none. A rule on a
    figure, or against a baseline, that was not measured fails: what nobody measured can't be trusted.
    """
    return [_judge(rule, challenger, others, beside) for rule in policy.rules]


def _judge(rule: Rule, challenger: Figures, others: Mapping[str, Figures], beside: Beside) -> RuleResult:
    bound = rule.at_least if rule.at_least is not None else rule.at_most
    sign = "at least" if rule.at_least is not None else "at most"
    if rule.against is not None and rule.against not in others:
        # the first model ever has no champion; a baseline that the night didn't measure proves nothing
        first = rule.against == "champion"
        return RuleResult(rule.name, None, bound, first, f"no {rule.against} to compare {rule.metric} with")
    if rule.metric.startswith("drift_") and "champion" not in others and rule.metric not in challenger:
        return RuleResult(rule.name, None, bound, True, "no champion whose features could have drifted")
    if rule.metric.startswith("onnx_") and challenger.get(ONNX_FILES) == 0:
        return RuleResult(rule.name, None, bound, True, "this kind of model exports no ONNX")
    if rule.metric not in challenger:
        return RuleResult(rule.name, None, bound, False, f"{rule.metric} was not measured")
    value = challenger[rule.metric]
    detail = f"{rule.metric} {value:.4g}"
    if rule.against is not None:
        reference = others[rule.against].get(rule.metric, 0.0)
        detail = f"{rule.metric} {value:.4f} against {reference:.4f} of the {rule.against}"
        # nothing to lose to: any figure above zero is infinitely better, zero against zero is a tie
        value = value / reference if reference > 0 else (float("inf") if value > 0 else 1.0)
        detail += f", ratio {value:.3f}{_sure(beside.get(rule.against, {}).get(rule.metric))}"
    passed = value >= bound if rule.at_least is not None else value <= bound  # type: ignore[operator]
    return RuleResult(rule.name, value, bound, passed, f"{detail}; must be {sign} {bound:g}")


def _sure(compared: Compared | None) -> str:
    if compared is None or compared.ratio is None:
        return ""
    low, high = compared.ratio.low, compared.ratio.high
    return f" ({LEVEL:.0%} of resamples {low:.3f} to {high:.3f}, p {compared.p_value:.2g})"
