"""What the report says of the challenger beside the other models: at a glance, in plots, and in full."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from markupsafe import Markup

from recommender.config.profile import Words
from recommender.evaluation.confidence import Compared, Interval
from recommender.evaluation.findings import Findings, RuleResult
from recommender.evaluation.report import wording
from recommender.evaluation.report.plots import interval_track, track_axis
from recommender.evaluation.report.svg import Scale

State = Literal["failed", "ask", "kept", "not asked"]
"""Of a rule, the most urgent first."""
CHALLENGER, CHAMPION = "challenger", "champion"
_USUAL_CUT = 20


@dataclass(frozen=True)
class Tile:
    """One figure at a glance."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Track:
    """One row of a dot-and-interval plot."""

    name: str
    meaning: str
    plot: Markup
    value: str
    note: str
    class_: str = ""


@dataclass(frozen=True)
class Tracks:
    """A dot-and-interval plot: rows over one axis."""

    title: str
    rows: list[Track]
    axis: Markup


@dataclass(frozen=True)
class Cell:
    """One figure of the table."""

    value: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Metrics by model."""

    models: list[str]
    rows: list[tuple[str, str, list[Cell]]]
    """Name, meaning, and a cell a model."""


@dataclass(frozen=True)
class Comparison:
    """Everything of the section."""

    main: Tracks | None
    """Beside the champion, or beside another model where there is none."""
    others: list[Tracks]
    headline: Tracks | None
    """The headline metric of every model."""
    table: Table
    rest: Table
    """At the other cuts."""
    alone: list[tuple[str, str, str]] = field(default_factory=list)
    """Figures of the challenger that no other model has: name, meaning, figure."""


def main_cut(findings: Findings) -> int | None:
    """The length of list that the report tells first: 20 where it was judged, else the longest."""
    cuts = {cut for metric in findings.figures.get(CHALLENGER, {}) if (cut := wording.split_metric(metric)[1])}
    return _USUAL_CUT if _USUAL_CUT in cuts else max(cuts, default=None)


def headline_metric(findings: Findings) -> str | None:
    """Recall at the main cut, or None where it was not measured."""
    metric = f"recall@{main_cut(findings)}"
    return metric if metric in findings.figures.get(CHALLENGER, {}) else None


def at_cut(metrics: Iterable[str], cut: int | None) -> list[str]:
    """Those at the cut or of none, in the order in which people read them."""
    return sorted(
        (one for one in set(metrics) if wording.split_metric(one)[1] in (cut, None)), key=wording.metric_order
    )


def state_of(rule: RuleResult) -> State:
    """What became of a rule; one that passed without a figure had nothing to judge."""
    if not rule.passed:
        return "ask" if rule.otherwise == "ask" else "failed"
    return "kept" if rule.value is not None else "not asked"


def by_urgency(rules: Iterable[RuleResult]) -> list[RuleResult]:
    """Those that reject first, then those that ask, were kept, and were not asked."""
    return sorted(rules, key=lambda rule: get_args(State).index(state_of(rule)))


def tally(rules: Iterable[RuleResult]) -> tuple[str, str]:
    """How many of those that had something to judge were kept, and what else there is: `18 of 20`, `3 not asked`."""
    counts = Counter(map(state_of, rules))
    unasked = counts["not asked"]
    return f"{counts['kept']} of {counts.total() - unasked}", f"{unasked} not asked" if unasked else ""


def glance(findings: Findings, words: Words) -> list[Tile]:
    """The few figures that stand beside the verdict."""
    tiles, metric, nouns = [], headline_metric(findings), wording.nouns(words)
    if metric is not None:
        tiles.append(
            Tile(
                wording.metric_name(metric, words),
                wording.figure(findings.figures[CHALLENGER][metric]),
                wording.metric_meaning(metric, words),
            )
        )
        compared = findings.beside.get(CHAMPION, {}).get(metric)
        if compared is not None and compared.ratio is not None:
            note = f"{wording.metric_name(metric, words)}, {_between(compared.ratio)}"
            tiles.append(Tile("Against the champion", wording.change(compared.ratio.value), note))
    if findings.rules:
        kept, unasked = tally(findings.rules)
        tiles.append(Tile("Rules kept", kept, ", ".join(filter(None, (unasked, f"policy {findings.policy}")))))
    moved = sum(one.drifted for one in findings.drift)
    if findings.drift:
        tiles.append(Tile("Drifted", f"{moved} of {len(findings.drift)}", "distributions since the champion"))
    judged = f"{wording.share(findings.represented)} of those with {nouns['events']}"
    tiles.append(Tile(f"{wording.sentence(nouns['users'])} judged", f"{findings.users:,}", judged))
    return tiles


def comparison(findings: Findings, words: Words) -> Comparison:
    """The challenger beside every model that was judged on the same users."""
    cut = main_cut(findings)
    besides = {
        model: tracks
        for model in _ordered(findings.beside)
        if (tracks := _versus(model, findings.beside[model], cut, words)) is not None
    }
    first = CHAMPION if CHAMPION in besides else next(iter(besides), None)
    shared = {
        metric
        for metric, models in _models_of(findings).items()
        if len(models) > 1 or wording.split_metric(metric)[1] is not None or len(findings.figures) == 1
    }
    main = at_cut(shared, cut)
    alone = sorted({*findings.figures.get(CHALLENGER, {})} - shared, key=wording.metric_order)
    return Comparison(
        besides.get(first) if first is not None else None,
        [tracks for model, tracks in besides.items() if model != first],
        _headline(findings, words),
        _table(findings, main, words),
        _table(findings, sorted(shared - {*main}, key=wording.metric_order), words),
        [
            (
                wording.metric_name(metric, words),
                wording.metric_meaning(metric, words),
                wording.figure(findings.figures[CHALLENGER][metric]),
            )
            for metric in alone
        ],
    )


def _models_of(findings: Findings) -> dict[str, list[str]]:
    metrics: dict[str, list[str]] = {}
    for model, figures in findings.figures.items():
        for metric in figures:
            metrics.setdefault(metric, []).append(model)
    return metrics


def _ordered(models: Iterable[str]) -> list[str]:
    first = (CHALLENGER, CHAMPION, "best_recent")
    return sorted(models, key=lambda model: first.index(model) if model in first else len(first))


def _versus(model: str, beside: dict[str, Compared], cut: int | None, words: Words) -> Tracks | None:
    ratios = {
        metric: (beside[metric], ratio)
        for metric in at_cut(beside, cut)
        if wording.more_is_better(metric) and (ratio := beside[metric].ratio) is not None and _finite(ratio)
    }
    if not ratios:
        return None
    ends = (end - 1 for _, ratio in ratios.values() for end in (ratio.low, ratio.value, ratio.high))
    scale = Scale.over(ends, including=(0.0,))
    rows = []
    for metric, (compared, ratio) in ratios.items():
        name, changed = wording.metric_name(metric, words), wording.change(ratio.value)
        note = f"{_between(ratio)}, {wording.p_value(compared.p_value)}"
        told = f"{name}: {changed} against {_article(model)}{wording.within(wording.model_name(model))}, {note}"
        plot = interval_track(scale, ratio.low - 1, ratio.value - 1, ratio.high - 1, 0.0, told)
        rows.append(Track(name, wording.metric_meaning(metric, words), plot, changed, note))
    title = f"Challenger against {_article(model)}{wording.within(wording.model_name(model))}"
    return Tracks(title, rows, track_axis(scale, wording.short_change))


def _article(model: str) -> str:
    return "the " if model in (CHAMPION, "best_recent") else ""


def _headline(findings: Findings, words: Words) -> Tracks | None:
    metric = headline_metric(findings)
    known = {
        model: findings.intervals[model][metric]
        for model in _ordered(findings.intervals)
        if metric is not None and metric in findings.intervals[model] and _finite(findings.intervals[model][metric])
    }
    if metric is None or len(known) < 2:
        return None
    scale = Scale.over((end for one in known.values() for end in (one.low, one.high)), including=(0.0,))
    rows = []
    for model, one in known.items():
        told = f"{wording.model_name(model)}: {wording.figure(one.value)}, {_from_to(one)}"
        plot = interval_track(scale, one.low, one.value, one.high, None, told)
        rows.append(Track(wording.model_name(model), "", plot, wording.figure(one.value), _from_to(one), model))
    return Tracks(f"{wording.metric_name(metric, words)} of every model", rows, track_axis(scale, wording.short))


def _table(findings: Findings, metrics: list[str], words: Words) -> Table:
    models = _ordered(model for model in findings.figures if any(one in findings.figures[model] for one in metrics))
    rows = []
    for metric in metrics:
        values = {model: findings.figures[model].get(metric) for model in models}
        finite = [value for value in values.values() if value is not None and math.isfinite(value)]
        best = max(finite) if wording.more_is_better(metric) and len(finite) > 1 else None
        cells = []
        for model, value in values.items():
            interval = findings.intervals.get(model, {}).get(metric)
            sure = _from_to(interval) if interval is not None and _finite(interval) else ""
            cells.append(Cell(wording.figure(value), sure, best is not None and value == best))
        rows.append((wording.metric_name(metric, words), wording.metric_meaning(metric, words), cells))
    return Table([wording.model_name(model) for model in models], rows)


def _finite(interval: Interval) -> bool:
    return all(math.isfinite(one) for one in (interval.low, interval.value, interval.high))


def _between(ratio: Interval) -> str:
    return f"{wording.change(ratio.low)} to {wording.change(ratio.high)}"


def _from_to(interval: Interval) -> str:
    return f"{wording.figure(interval.low)} to {wording.figure(interval.high)}"
