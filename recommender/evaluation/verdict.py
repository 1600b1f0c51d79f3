"""What the gate decided on a candidate, in a line and in full."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from recommender.data.split import Split
from recommender.evaluation.confidence import compare, intervals
from recommender.evaluation.contenders import BEST_RECENT, CHALLENGER, CHAMPION, HEADLINE, Contenders, judged_figure
from recommender.evaluation.findings import Decision, Figures, Findings, PastVerdict, RuleResult
from recommender.evaluation.inquiry import Inquiry
from recommender.storage.registry import ModelVersion

PAST_NIGHTS = 60
"""Earlier verdicts in the report, at most."""
DECIDED = {"champion": "promote", "retired": "promote", "rejected": "reject"}
"""What was decided on a version, by its status."""
TOLD = {"promote": "promoted", "reject": "rejected", "ask": "waits for an answer"}


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, and the figures it decided on."""

    model_version: str
    decision: Decision
    figures: dict[str, Figures]
    """By model: `challenger`, the baselines, `champion` and `best_recent` where there are such."""
    rules: list[RuleResult] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    repeated: bool = False
    """True where the verdict was given in an earlier run of the same night."""

    @property
    def promoted(self) -> bool:
        return self.decision == "promote"

    @property
    def reasons(self) -> str:
        """The rules that failed, with their figures."""
        return "; ".join(f"{rule.rule}: {rule.detail}" for rule in self.rules if not rule.passed)

    @property
    def headline(self) -> str:
        """Why it was decided so, in one sentence for people."""
        broken = [rule for rule in self.rules if not rule.passed and rule.otherwise == self.decision]
        if broken:
            told = [f"{_named(rule.rule)} ({rule.why or rule.detail})" for rule in broken]
            return f"{'Rules' if len(told) > 1 else 'A rule'} not kept: {'; '.join(told)}."
        mine, champions = (self.figures.get(name, {}).get(HEADLINE) for name in (CHALLENGER, CHAMPION))
        if mine is None:
            return "Every rule is kept."
        gain = f", {mine / champions - 1:+.1%} beside the champion" if champions else ""
        return f"Every rule is kept: {HEADLINE} {mine:.4f}{gain}."

    @property
    def summary(self) -> str:
        """One line for people."""
        again = " in an earlier run" if self.repeated else ""
        scores = ", ".join(
            f"{name} {figures[HEADLINE]:.4f}"
            for name, figures in self.figures.items()
            if HEADLINE in figures and name != BEST_RECENT
        )
        figures = f" ({HEADLINE}: {scores})" if scores else ""
        why = f" because {self.reasons}" if self.reasons else ""
        alerts = "".join(f"; ALERT: {alert}" for alert in self.alerts)
        return f"{self.model_version} {TOLD[self.decision]}{again}{figures}{why}{alerts}"


def findings_of(
    verdict: Verdict,
    policy: str,
    split: Split,
    contenders: Contenders,
    found: Inquiry,
    earlier: Sequence[ModelVersion],
    seed: int,
) -> Findings:
    """All that judging found, for the report."""
    version, champion = contenders.challenger.version, contenders.champion_version
    judged = {name: one for name, one in contenders.measured.items() if name in verdict.figures}
    mine = contenders.challenger.measured
    return Findings(
        ds=split.ds,
        model_version=version.model_version,
        kind=version.kind,
        decision=verdict.decision,
        headline=verdict.headline,
        policy=policy,
        judged_from=split.judged_at,
        users=len(mine.top.items),
        represented=found.represented,
        rules=verdict.rules,
        figures=verdict.figures,
        intervals={name: intervals(one.per_user, seed) for name, one in judged.items()},
        beside={name: compare(mine.per_user, one.per_user, seed) for name, one in judged.items() if name != CHALLENGER},
        champion_version=None if champion is None else champion.model_version,
        alerts=verdict.alerts,
        cohorts=found.cohort_figures,
        drift=found.drift,
        diagnostics=found.diagnostics,
        explanation=found.explanation,
        curves=_curves(contenders),
        examples=found.examples,
        changes=found.changes,
        past=_past(earlier),
    )


def _named(rule: str) -> str:
    return rule.replace("_", " ")


def _curves(contenders: Contenders) -> dict[str, list[Figures]]:
    """How the fits of challenger and champion went, an entry an epoch."""
    versions = {CHALLENGER: contenders.challenger.version, CHAMPION: contenders.champion_version}
    curves = {name: one.metrics.get("fit", {}).get("history", []) for name, one in versions.items() if one is not None}
    return {name: history for name, history in curves.items() if history}


def _past(earlier: Sequence[ModelVersion]) -> list[PastVerdict]:
    """Of the versions that were judged, the latest ones, oldest first."""
    judged = [version for version in earlier if judged_figure(version) is not None][:PAST_NIGHTS]
    return [
        PastVerdict(
            version.ds,
            version.model_version,
            DECIDED.get(version.status, "ask"),
            judged_figure(version),
            version.metrics["judged"].get(CHAMPION, {}).get(HEADLINE),
        )
        for version in reversed(judged)
    ]
