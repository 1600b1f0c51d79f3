"""Everything that judging a candidate found, as it is kept in `report.json` and told in the report.

Nothing here names a user. Of attributes of users there are groups of many alone: cohorts, and distributions whose
values are numbered.
"""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, TypeAdapter

from recommender.evaluation.confidence import Compared, Interval

Figures = dict[str, float]
Decision = Literal["promote", "reject", "ask"]
FILE = "report.json"


@dataclass(frozen=True)
class RuleResult:
    """One rule of the policy: its figure and whether that keeps the bound."""

    rule: str
    value: float | None
    """The figure; against another model the ratio to its figure."""
    threshold: float | None
    passed: bool
    detail: str
    """Figure, bound and certainty in words."""
    otherwise: Literal["reject", "ask"] = "reject"
    """What the rule asks for where it is not kept."""
    why: str = ""


@dataclass(frozen=True)
class CohortFigures:
    """One group of the judged users."""

    dimension: str
    """What the users are grouped by, such as `age_band`, `activity` or `tenure`."""
    label: str
    users: int
    challenger: dict[str, Interval]
    champion: dict[str, Interval] = field(default_factory=dict)
    """Empty without a champion."""
    beside: dict[str, Compared] = field(default_factory=dict)
    """The challenger beside the champion, by metric."""


@dataclass(frozen=True)
class Drift:
    """How one distribution moved since the champion's reference."""

    group: Literal["user features", "item features", "scores", "recommendations", "choices"]
    name: str
    score: float
    method: str
    """What `score` is: PSI; or why nothing was compared."""
    drifted: bool
    bins: list[str] = field(default_factory=list)
    """Labels of the bars below; numbered where the values are personal."""
    reference: list[float] = field(default_factory=list)
    """Share of the reference's rows in each bin."""
    current: list[float] = field(default_factory=list)
    chance: float = 0.0
    """Score that two samples of one distribution exceed one time in a hundred."""


@dataclass(frozen=True)
class Importance:
    """How much one named input of the model counts."""

    name: str
    side: str
    """`user`, `item` or `pair`; of a part of the model with its name, such as `tower.item`."""
    attribution: float
    """Its part of all mean absolute attributions, 0 to 1."""
    permutation: float | None = None
    """Recall@20 lost, of the model's own, when its values are exchanged among users (items) at random."""


@dataclass(frozen=True)
class Explanation:
    """What a model's scores rest on."""

    method: str
    pairs: int
    """Pairs of user and item that were explained."""
    convergence: float
    """Largest |sum of a pair's attributions - difference of its score from the baseline's|, of the scores' spread."""
    importances: list[Importance]


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of one numeric feature and the scores, with its two-sided p-value."""

    feature: str
    r: float
    p_value: float
    pairs: int


@dataclass(frozen=True)
class Point:
    """One item on the map of the item vectors, scaled to 0…1."""

    x: float
    y: float
    group: str
    title: str | None = None


@dataclass(frozen=True)
class Diagnostics:
    """How a model's vectors and scores look."""

    figures: Figures = field(default_factory=dict)
    """Single figures, such as `category_cohesion` and what chance would give."""
    norms: dict[str, list[float]] = field(default_factory=dict)
    """Quantiles 0, 1/20 … 1 of the vectors' lengths, of `user` and `item`."""
    correlations: list[Correlation] = field(default_factory=list)
    map: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """One item as people know it."""

    title: str
    creator: str | None = None
    category: str | None = None
    chosen: bool = False
    """Whether the user went on to choose it in the judged days."""
    reason: str | None = None


@dataclass(frozen=True)
class Example:
    """One user's history and lists. Who it is stands nowhere in the findings."""

    history: list[Shown]
    """The latest choices before the lists were made, newest first."""
    challenger: list[Shown]
    champion: list[Shown] = field(default_factory=list)
    creator_share: float = 0.0
    """Of the challenger's list, by creators in the user's history."""
    category_share: float = 0.0


@dataclass(frozen=True)
class Change:
    """A setting that differs from the champion's; None where one side lacks it."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class PastVerdict:
    """One earlier night, for the plot of how the figures went."""

    ds: date
    model_version: str
    decision: str
    challenger: float | None
    champion: float | None


@dataclass(frozen=True)
class Findings:
    """One candidate's judgement, whole."""

    # JSON knows no infinite numbers: they become text and are read back from it
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")

    ds: date
    model_version: str
    kind: str
    decision: Decision
    headline: str
    """The decision and its reason in one sentence for people."""
    policy: str
    """Name and version of the policy that decided."""
    judged_from: date
    """The judged days are after this one, up to `ds`."""
    users: int
    represented: float
    """Of the users with events, the share that was judged."""
    rules: list[RuleResult]
    figures: dict[str, Figures]
    """By model: `challenger`, `champion`, `best_recent`, the baselines."""
    intervals: dict[str, dict[str, Interval]] = field(default_factory=dict)
    """By model and metric."""
    beside: dict[str, dict[str, Compared]] = field(default_factory=dict)
    """The challenger beside each of the other models, by metric."""
    champion_version: str | None = None
    alerts: list[str] = field(default_factory=list)
    cohorts: list[CohortFigures] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    diagnostics: Diagnostics | None = None
    explanation: Explanation | None = None
    curves: dict[str, list[Figures]] = field(default_factory=dict)
    """By model: an entry an epoch with `loss`, `recall`, `seconds`."""
    examples: list[Example] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    past: list[PastVerdict] = field(default_factory=list)
    """Oldest first."""

    def write(self, folder: Path) -> None:
        """Keep them in the folder's `report.json`; appears by one rename."""
        scratch = folder / f".{FILE}"
        scratch.write_bytes(_FINDINGS.dump_json(self, indent=1))
        scratch.replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` kept."""
        return _FINDINGS.validate_json((folder / FILE).read_bytes())  # type: ignore[return-value]


_FINDINGS = TypeAdapter(Findings)
