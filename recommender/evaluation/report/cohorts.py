"""Groups of the judged users as a heat map."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from recommender.config.profile import Words
from recommender.evaluation.findings import CohortFigures, Findings
from recommender.evaluation.report import wording
from recommender.evaluation.report.comparison import at_cut, headline_metric, main_cut

_TONES = (0.01, 0.03, 0.08, 0.16)
"""Changes from which a cell of the heat map takes its next stronger colour."""


@dataclass(frozen=True)
class HeatCell:
    """One group's figure by one metric."""

    text: str
    tone: str
    """`up-1` to `up-4`, `down-1` to `down-4`, or empty."""
    told: str
    sure: bool = False
    """Whether the interval leaves out that nothing changed."""


@dataclass(frozen=True)
class HeatRow:
    """One group."""

    dimension: str
    """Empty where it is that of the row above."""
    label: str
    users: str
    cells: list[HeatCell]


@dataclass(frozen=True)
class Heat:
    """Groups by metrics."""

    metrics: list[str]
    rows: list[HeatRow]
    relative: bool
    """Whether cells are changes from the champion's figures; otherwise the figures themselves."""
    worst: str = ""
    """The group that loses most by the headline metric, in words."""


def heat_map(findings: Findings, words: Words) -> Heat | None:
    """Every group's figures, as changes from the champion's where there is one."""
    dimensions = [one.dimension for one in findings.cohorts]
    cohorts = sorted(findings.cohorts, key=lambda one: dimensions.index(one.dimension))
    metrics = at_cut((metric for one in cohorts for metric in one.challenger), main_cut(findings))
    if not metrics:
        return None
    relative = any(one.champion for one in cohorts)
    most = {metric: max(_values(cohorts, metric), default=0.0) for metric in metrics}
    rows, before = [], ""
    for one in cohorts:
        cells = [
            _changed(one, metric, words) if relative else _absolute(one, metric, most[metric], words)
            for metric in metrics
        ]
        dimension = wording.sentence(one.dimension)
        rows.append(HeatRow(dimension if dimension != before else "", one.label, f"{one.users:,}", cells))
        before = dimension
    names = [wording.metric_name(metric, words) for metric in metrics]
    return Heat(names, rows, relative, _worst(cohorts, headline_metric(findings), words) if relative else "")


def _values(cohorts: list[CohortFigures], metric: str) -> Iterator[float]:
    for one in cohorts:
        if metric in one.challenger and math.isfinite(one.challenger[metric].value):
            yield one.challenger[metric].value


def _ratio(one: CohortFigures, metric: str) -> float | None:
    compared = one.beside.get(metric)
    if compared is not None and compared.ratio is not None:
        return compared.ratio.value
    mine, theirs = one.challenger.get(metric), one.champion.get(metric)
    return mine.value / theirs.value if mine is not None and theirs is not None and theirs.value > 0 else None


def _changed(one: CohortFigures, metric: str, words: Words) -> HeatCell:
    ratio, mine, theirs = _ratio(one, metric), one.challenger.get(metric), one.champion.get(metric)
    figures = " against ".join(wording.figure(side.value if side is not None else None) for side in (mine, theirs))
    told = f"{one.label}, {wording.metric_name(metric, words)}: {figures}"
    if ratio is None or not math.isfinite(ratio):
        return HeatCell(wording.NOTHING, "", told)
    strength = sum(abs(ratio - 1) >= tone for tone in _TONES) if wording.more_is_better(metric) else 0
    compared = one.beside.get(metric)
    sure = compared is not None and (compared.difference.low > 0 or compared.difference.high < 0)
    tone = f"{'up' if ratio > 1 else 'down'}-{strength}" if strength else ""
    return HeatCell(wording.change(ratio), tone, told, sure)


def _absolute(one: CohortFigures, metric: str, most: float, words: Words) -> HeatCell:
    mine = one.challenger.get(metric)
    value = mine.value if mine is not None else None
    told = f"{one.label}, {wording.metric_name(metric, words)}: {wording.figure(value)}"
    if mine is not None and math.isfinite(mine.low) and math.isfinite(mine.high):
        told += f", {wording.figure(mine.low)} to {wording.figure(mine.high)}"
    known = value is not None and math.isfinite(value) and most > 0
    strength = min(4, max(0, round(4 * value / most))) if known and value is not None else 0
    return HeatCell(wording.figure(value), f"up-{strength}" if strength else "", told)


def _worst(cohorts: list[CohortFigures], metric: str | None, words: Words) -> str:
    ratios = [(ratio, one) for one in cohorts if metric and (ratio := _ratio(one, metric)) is not None]
    if metric is None or not ratios:
        return ""
    ratio, one = min(ratios, key=lambda pair: pair[0])
    name, group = wording.metric_name(metric, words), f"{one.dimension.replace('_', ' ')} {one.label} ({one.users:,})"
    if ratio >= 1:
        return f"No group loses {name}; {group} gains least, {wording.change(ratio)}."
    return f"{wording.sentence(group)} does worst: {name} {wording.change(ratio)}."
