"""The gate: a policy's rules applied to what was measured of a challenger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recommender.config.policy import EVERY, Policy, Rule
from recommender.evaluation.confidence import PerUser, shares_above
from recommender.evaluation.findings import Decision, Figures, RuleResult

CHALLENGER = "challenger"
SHOWN_COHORTS = 3
"""Groups that a rule's detail names, the worst ones."""
Values = npt.NDArray[np.float64]


class Group(Protocol):
    """Some of the judged users."""

    @property
    def dimension(self) -> str:
        """What they are grouped by."""

    @property
    def label(self) -> str:
        """The group's name within it."""

    @property
    def members(self) -> npt.NDArray[np.bool_]:
        """(users,) True for its users."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that rules may ask about."""

    figures: Mapping[str, Figures]
    """By model: `challenger`, `champion`, `best_recent` and the baselines, those that were measured."""
    per_user: Mapping[str, PerUser] = field(default_factory=dict)
    """By model: (users,) values of each metric, of the same users in the same order."""
    cohorts: Sequence[Group] = ()
    excused: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of the names of figures that need not be there, and why."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """By figure, what people should know about it, such as which feature drifted."""
    champion_days: int | None = None
    """How many days before the challenger's night the champion's was."""
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Claim:
    """That a figure of all users, or of one group of them, keeps a rule's bound."""

    group: str
    value: float
    """Against another model the ratio."""
    figures: str
    margin: Values | None
    """(users,) whose sum is 0 or more where the bound is kept; None where users say nothing about the figure."""


def apply_policy(policy: Policy, evidence: Evidence) -> list[RuleResult]:
    """Judge every rule.

    A rule against a champion that does not exist passes and says so: the first model ever has none. A rule on a
    figure, or against a baseline, that was not measured fails: what nobody measured can't be trusted.
    """
    settled = {rule.name: _settled(rule, evidence) for rule in policy.rules}
    claims = {rule.name: _claims(rule, evidence) for rule in policy.rules if settled[rule.name] is None}
    margins = [claim.margin for rule in claims.values() for claim in rule if claim.margin is not None]
    above, at_least = shares_above(np.stack(margins), evidence.seed) if margins else (np.zeros(0), np.zeros(0))
    results, drawn = [], 0
    for rule in policy.rules:
        done = settled[rule.name]
        if done is None:
            own = claims[rule.name]
            shares = above if rule.more_than is not None or rule.less_than is not None else at_least
            count = sum(claim.margin is not None for claim in own)
            done = _judged(rule, own, shares[drawn : drawn + count].tolist(), evidence)
            drawn += count
        results.append(done)
    return results


def decide(results: Sequence[RuleResult]) -> Decision:
    """What the rules together ask for: one that rejects outweighs those that ask."""
    failed = {result.otherwise for result in results if not result.passed}
    return "reject" if "reject" in failed else "ask" if "ask" in failed else "promote"


def _settled(rule: Rule, evidence: Evidence) -> RuleResult | None:
    """The result of a rule that needs no figure, or whose figure is missing; None where there is one to judge."""

    def result(passed: bool, detail: str) -> RuleResult:
        return RuleResult(rule.name, None, rule.bound, passed, detail, rule.otherwise, rule.why)

    days, limit = evidence.champion_days, rule.champion_up_to_days
    if limit is not None and days is not None and days > limit:
        return result(True, f"not asked: the champion is of {days} days ago, more than {limit}")
    if rule.against in ("champion", "best_recent") and rule.against not in evidence.figures:
        return result(True, f"no {rule.against.replace('_', ' ')} to compare {rule.metric} with")
    if rule.against is not None and rule.against not in evidence.figures:
        return result(False, f"no {rule.against} to compare {rule.metric} with")
    if rule.metric not in evidence.figures[CHALLENGER]:
        excuse = next((why for name, why in evidence.excused.items() if rule.metric.startswith(name)), None)
        return result(excuse is not None, excuse or f"{rule.metric} was not measured")
    if rule.against is not None and not isfinite(evidence.figures[rule.against].get(rule.metric, nan)):
        return result(False, f"{rule.metric} was not measured of the {rule.against.replace('_', ' ')}")
    per_user = rule.metric in evidence.per_user.get(CHALLENGER, {})
    if (rule.certainty is not None or rule.cohort is not None) and not per_user:
        return result(False, f"{rule.metric} is no mean over users: give the rule neither certainty nor cohort")
    if rule.cohort is not None and not _groups(rule, evidence):
        return result(True, f"no group of users by {rule.cohort} is large enough to be judged")
    return None


def _groups(rule: Rule, evidence: Evidence) -> list[Group]:
    return [group for group in evidence.cohorts if rule.cohort in (EVERY, group.dimension)]


def _claims(rule: Rule, evidence: Evidence) -> list[_Claim]:
    if rule.cohort is None:
        return [_claim(rule, evidence, None)]
    return [_claim(rule, evidence, group) for group in _groups(rule, evidence)]


def _claim(rule: Rule, evidence: Evidence, group: Group | None) -> _Claim:
    mine = evidence.per_user.get(CHALLENGER, {}).get(rule.metric)
    theirs = None if rule.against is None else evidence.per_user.get(rule.against, {}).get(rule.metric)
    if group is None:
        name, value = "", evidence.figures[CHALLENGER][rule.metric]
        reference = None if rule.against is None else evidence.figures[rule.against][rule.metric]
    else:
        members = group.members
        name = f"{group.dimension} {group.label} ({int(members.sum()):,})"
        value = float(mine[members].mean()) if mine is not None else 0.0
        reference = float(theirs[members].mean()) if theirs is not None else None
    told = f"{value:.4g}" if reference is None else f"{value:.4f} against {reference:.4f}"
    if reference is not None:
        # nothing to lose to: any figure above zero is infinitely better, zero against zero is a tie
        value = value / reference if reference > 0 else (float("inf") if value > 0 else 1.0)
    margin: Values | None = None
    if rule.certainty is not None and mine is not None and (rule.against is None or theirs is not None):
        margin = mine - rule.bound * (1.0 if theirs is None else theirs)
        margin = margin if group is None else np.where(group.members, margin, 0.0)
        margin = margin if rule.at_least is not None or rule.more_than is not None else -margin
    return _Claim(name, value, told, margin)


def _judged(rule: Rule, claims: Sequence[_Claim], shares: Sequence[float], evidence: Evidence) -> RuleResult:
    if shares:
        needed = _needed(rule, len(claims))
        passes = [share >= needed for share in shares]
        certain = [f"in {share:.1%} of the resampled nights, needed {needed:.1%}" for share in shares]
    else:
        passes = [_keeps(rule, claim.value) for claim in claims]
        certain = [""] * len(claims)
    upwards = rule.at_least is not None or rule.more_than is not None
    worst = sorted(range(len(claims)), key=lambda one: (passes[one], claims[one].value * (1 if upwards else -1)))
    against = "" if rule.against is None else f" of the {rule.against.replace('_', ' ')}"
    parts = []
    for number in worst[:SHOWN_COHORTS] if rule.cohort is not None else worst:
        claim = claims[number]
        ratio = "" if rule.against is None else f", ratio {claim.value:.3f}"
        sure = f", kept {certain[number]}" if certain[number] else ""
        parts.append(f"{claim.group + ': ' if claim.group else ''}{claim.figures}{against}{ratio}{sure}")
    more = f" (the worst of {len(claims)} groups)" if rule.cohort is not None and len(claims) > SHOWN_COHORTS else ""
    note = f" ({evidence.notes[rule.metric]})" if rule.metric in evidence.notes else ""
    detail = f"{rule.metric} {'; '.join(parts)}{more}{note}; must be {rule.asks_for}"
    return RuleResult(rule.name, claims[worst[0]].value, rule.bound, all(passes), detail, rule.otherwise, rule.why)


def _needed(rule: Rule, groups: int) -> float:
    """The certainty that each of several groups needs for the rule's over all of them (Bonferroni)."""
    certainty = rule.certainty or 0.0
    return 1 - (1 - certainty) / groups if certainty > 0.5 else certainty / groups


def _keeps(rule: Rule, value: float) -> bool:
    if rule.at_least is not None:
        return value >= rule.at_least
    if rule.more_than is not None:
        return value > rule.more_than
    return value <= rule.bound if rule.at_most is not None else value < rule.bound
