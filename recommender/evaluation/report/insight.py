"""What the report says beyond the comparison: past nights, drift, what a model rests on, how it was trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from recommender.config.profile import Words
from recommender.evaluation.findings import Correlation, Diagnostics, Drift, Explanation, Figures, Findings
from recommender.evaluation.report import wording
from recommender.evaluation.report.comparison import CHALLENGER, CHAMPION, headline_metric
from recommender.evaluation.report.plots import (
    Legend,
    Series,
    bar,
    diverging_bar,
    embedding_map,
    lines,
    paired_histogram,
)

_CURVES = (("loss", "Loss on the training data"), ("recall", "Recall@20 on the validation days"))
_INPUTS_SHOWN = 20
_CORRELATIONS_SHOWN = 15
_EPOCH_TICKS = 8


def past_plot(findings: Findings, words: Words) -> Markup | None:
    """The headline metric night by night, tonight last; None before there are two nights."""
    metric = headline_metric(findings)
    nights = [(one.ds, one.challenger, one.champion, one.decision) for one in findings.past if one.ds < findings.ds]
    tonight = [findings.figures.get(model, {}).get(metric or "") for model in (CHALLENGER, CHAMPION)]
    nights.append((findings.ds, tonight[0], tonight[1], findings.decision))
    if metric is None or len(nights) < 2:
        return None
    dates = [float(ds.toordinal()) for ds, *_ in nights]
    decisions = [decision for *_, decision in nights]
    marks = ["" if decision.startswith("promot") else "open" for decision in decisions]
    challenger = [(at, one) for at, (_, one, _, _) in zip(dates, nights, strict=True)]
    champion = [(at, one) for at, (_, _, one, _) in zip(dates, nights, strict=True)]
    series = [
        Series("Champion", CHAMPION, champion),
        Series("Challenger", CHALLENGER, challenger, decisions, marks),
    ]
    title = f"{wording.metric_name(metric, words)} of challenger and champion over {len(nights)} nights"
    return lines(title, series, _short_day, wording.figure, wording.short, x_ticks=dates)


def _short_day(ordinal: float) -> str:
    day = date.fromordinal(int(ordinal))
    return f"{day.day} {day:%b}"


@dataclass(frozen=True)
class DriftCard:
    """One distribution."""

    name: str
    score: str
    drifted: bool
    plot: Markup | None
    first: str = ""
    last: str = ""


@dataclass(frozen=True)
class DriftGroup:
    """Distributions of one kind, the ones that moved apart from the rest."""

    name: str
    moved: list[DriftCard]
    steady: list[DriftCard]


def drift_groups(findings: Findings) -> list[DriftGroup]:
    """By kind, in the order of the findings."""
    groups: dict[str, list[Drift]] = {}
    for one in findings.drift:
        groups.setdefault(one.group, []).append(one)
    return [
        DriftGroup(
            wording.sentence(name),
            [_drift_card(one) for one in members if one.drifted],
            [_drift_card(one) for one in members if not one.drifted],
        )
        for name, members in groups.items()
    ]


def _drift_card(one: Drift) -> DriftCard:
    if not one.bins or not one.current or not one.reference:
        told = one.method if one.score == 0 else f"{one.method} {wording.figure(one.score)}"
        return DriftCard(one.name, told, one.drifted, None)
    score = f"{one.method} {wording.figure(one.score)}"
    score += f", up to {wording.figure(one.chance)} by chance" if one.chance > 0 else ""
    return DriftCard(one.name, score, one.drifted, paired_histogram(one), one.bins[0], one.bins[-1])


@dataclass(frozen=True)
class InputRow:
    """One input of the model."""

    name: str
    side: str
    attribution: str
    attribution_bar: Markup
    permutation: str
    permutation_bar: Markup | None


def input_rows(explanation: Explanation) -> list[InputRow]:
    """The inputs that count most, with bars relative to the longest of their kind."""
    ranked = sorted(explanation.importances, key=lambda one: -one.attribution)[:_INPUTS_SHOWN]
    most = max((one.attribution for one in ranked if math.isfinite(one.attribution)), default=0.0) or 1.0
    losses = [one.permutation for one in ranked if one.permutation is not None and math.isfinite(one.permutation)]
    worst = max(losses, default=0.0)
    rows = []
    for one in ranked:
        attributed, lost = wording.share(one.attribution), wording.share(one.permutation)
        measured = one.permutation is not None and math.isfinite(one.permutation)
        rows.append(
            InputRow(
                one.name,
                one.side,
                attributed,
                bar(one.attribution / most, "attribution", f"{one.name}: {attributed} of all attributions"),
                lost,
                bar((one.permutation or 0.0) / (worst if worst > 0 else 1.0), "permutation", f"{one.name}: {lost} lost")
                if measured
                else None,
            )
        )
    return rows


def figure_rows(diagnostics: Diagnostics, words: Words) -> list[tuple[str, str, str]]:
    """Single figures: name, meaning, value."""
    return [
        (wording.metric_name(name, words), wording.metric_meaning(name, words), wording.short(value))
        for name, value in diagnostics.figures.items()
    ]


def norms_plot(diagnostics: Diagnostics, words: Words) -> Markup | None:
    """Lengths of the vectors by quantile; None where there are no vectors."""
    called = {"user": words.user, "item": words.item}
    series = []
    for side, quantiles in diagnostics.norms.items():
        steps = max(1, len(quantiles) - 1)
        points = [(place / steps, value) for place, value in enumerate(quantiles)]
        name, class_ = wording.plural(called.get(side, side)), side if side in called else "third"
        series.append(Series(wording.sentence(name), class_, points))
    if not any(one.points for one in series):
        return None
    return lines(
        "Lengths of the vectors by quantile", series, wording.share, wording.figure, wording.short, from_zero=True
    )


def correlation_rows(diagnostics: Diagnostics) -> list[tuple[Correlation, Markup]]:
    """The strongest ones, with bars."""
    ranked = sorted((one for one in diagnostics.correlations if math.isfinite(one.r)), key=lambda one: -abs(one.r))
    most = max((abs(one.r) for one in ranked), default=0.0) or 1.0
    return [
        (one, diverging_bar(one.r / most, f"{one.feature}: r {wording.short(one.r)}, {wording.p_value(one.p_value)}"))
        for one in ranked[:_CORRELATIONS_SHOWN]
    ]


def map_plot(diagnostics: Diagnostics, words: Words) -> tuple[Markup, list[Legend]] | None:
    """The item vectors on a plane; None where there is no map."""
    points = [one for one in diagnostics.map if math.isfinite(one.x) and math.isfinite(one.y)]
    if not points:
        return None
    return embedding_map(points, f"Map of {len(points):,} {wording.plural(words.item)} by their vectors")


def curve_plots(curves: dict[str, list[Figures]]) -> list[tuple[str, Markup]]:
    """What was measured after each epoch, a plot a measure; parts that learnt by themselves are lines of their own."""
    plots = []
    for measure, title in _CURVES:
        series = [one for model, epochs in curves.items() for one in _learning(model, epochs, measure)]
        if not series:
            continue
        longest = max(len(one.points) for one in series)
        ticks = [float(epoch) for epoch in range(1, longest + 1, math.ceil(longest / _EPOCH_TICKS))]
        plots.append((title, lines(title, series, _epoch, wording.figure, wording.short, x_ticks=ticks)))
    return plots


def _learning(model: str, epochs: list[Figures], measure: str) -> Iterator[Series]:
    keys = sorted({key for entry in epochs for key in entry if key == measure or key.endswith(f"_{measure}")})
    for key in keys:
        points = [(float(at), entry.get(key)) for at, entry in enumerate(epochs, start=1)]
        if any(value is not None and math.isfinite(value) for _, value in points):
            part = key.removesuffix(measure).rstrip("_")
            name = f"{wording.model_name(model)}, {part}" if part else wording.model_name(model)
            yield Series(name, _class_of(model), points)


def _epoch(number: float) -> str:
    return f"{number:.0f}"


def _class_of(model: str) -> str:
    return model if model in (CHALLENGER, CHAMPION) else "third"
