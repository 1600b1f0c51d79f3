"""The report as Markdown: the same sections in text and tables."""

import re
from collections.abc import Iterable, Iterator, Sequence

from recommender.config.profile import Words
from recommender.evaluation.findings import Example, Explanation, Findings, Shown
from recommender.evaluation.report import wording
from recommender.evaluation.report.cohorts import heat_map
from recommender.evaluation.report.comparison import (
    CHALLENGER,
    Table,
    Tracks,
    by_urgency,
    comparison,
    glance,
    state_of,
    tally,
)
from recommender.evaluation.report.insight import drift_groups, figure_rows

_MEANING_MARKS = re.compile(r"([\\`*_\[\]<>|#~])")
_PAST_SHOWN = 14
_LAST = ("loss", "recall")
_INPUTS_SHOWN = 20


def markdown(findings: Findings, words: Words) -> str:
    """All sections that have something to say, the verdict first."""
    sections = (
        _verdict(findings, words),
        _rules(findings),
        _comparison(findings, words),
        _past(findings),
        _cohorts(findings, words),
        _drift(findings),
        _explanation(findings.explanation),
        _diagnostics(findings, words),
        _training(findings),
        _examples(findings, words),
        _changes(findings),
        _footer(findings, words),
    )
    return "\n\n".join(block for section in sections for block in section) + "\n"


def _verdict(findings: Findings, words: Words) -> Iterator[str]:
    sign, decided = wording.DECIDED[findings.decision]
    yield f"# {sign} {decided}"
    yield f"**{_text(findings.headline)}**"
    before = findings.champion_version
    champion = f"against the champion {_code(before)}" if before else "with no champion to compare with"
    yield f"Night {wording.day(findings.ds)}: {_code(findings.model_version)} {champion}."
    if findings.alerts:
        yield "\n".join(f"> **Alert:** {_text(wording.opening(alert))}" for alert in findings.alerts)
    rows = [(tile.label, tile.value, tile.note) for tile in glance(findings, words)]
    yield _grid(("at a glance", "", ""), rows)


def _rules(findings: Findings) -> Iterator[str]:
    if not findings.rules:
        return
    yield "## The rules"
    kept, unasked = tally(findings.rules)
    yield f"{kept} rules kept{f', {unasked}' if unasked else ''}."
    rows = []
    for rule in by_urgency(findings.rules):
        state = wording.STATES[state_of(rule)]
        why = f" Why: {rule.why}" if rule.why else ""
        rows.append(
            (state, rule.rule, wording.short(rule.value), wording.short(rule.threshold), f"{rule.detail}.{why}")
        )
    yield _grid(("verdict", "rule", "figure", "bound", "in words"), rows)


def _comparison(findings: Findings, words: Words) -> Iterator[str]:
    compared = comparison(findings, words)
    plots = [plot for plot in (compared.main, compared.headline) if plot is not None]
    if not plots and not compared.table.rows:
        return
    yield "## Champion against challenger" if findings.champion_version else "## Beside the other models"
    for plot in plots:
        yield from _tracks(plot)
    for title, table in (("All figures", compared.table), ("Lists of other lengths", compared.rest)):
        if table.rows:
            yield f"### {title}"
            yield _table(table)
    if compared.alone:
        yield "### Other figures of the challenger"
        yield _grid(("figure", "", "tells"), [(name, value, meaning) for name, meaning, value in compared.alone])


def _tracks(plot: Tracks) -> Iterator[str]:
    yield f"### {_text(plot.title)}"
    yield _grid(("", "", "95 % of resamples"), [(row.name, row.value, row.note) for row in plot.rows])


def _table(table: Table) -> str:
    rows = [
        (name, *(f"{cell.value} ({cell.interval})" if cell.interval else cell.value for cell in cells))
        for name, _, cells in table.rows
    ]
    return _grid(("metric", *table.models), rows)


def _past(findings: Findings) -> Iterator[str]:
    if not findings.past:
        return
    yield "## Night by night"
    rows = [
        (one.ds.isoformat(), one.decision, wording.figure(one.challenger), wording.figure(one.champion))
        for one in findings.past[-_PAST_SHOWN:]
    ]
    yield _grid(("night", "decision", "challenger", "champion"), rows)


def _cohorts(findings: Findings, words: Words) -> Iterator[str]:
    heat = heat_map(findings, words)
    if heat is None:
        return
    yield f"## Groups of {wording.plural(words.user)}"
    if heat.worst:
        yield _text(heat.worst)
    rows, dimension = [], ""
    for row in heat.rows:
        dimension = row.dimension or dimension
        cells = (f"{cell.text}{' *' if cell.sure else ''}" for cell in row.cells)
        rows.append((f"{dimension}: {row.label}", row.users, *cells))
    yield _grid(("group", wording.plural(words.user), *heat.metrics), rows)
    if heat.relative:
        yield "Changes from the champion's figures; a star where 95 % of the resamples agree."


def _drift(findings: Findings) -> Iterator[str]:
    groups = drift_groups(findings)
    if not groups:
        return
    yield "## Drift"
    for group in groups:
        every = len(group.moved) + len(group.steady)
        moved = "; ".join(f"**{_text(card.name)}** ({_text(card.score)})" for card in group.moved)
        yield f"{group.name}, {len(group.moved) or 'none'} of {every} drifted{f': {moved}' if moved else ''}."


def _explanation(explanation: Explanation | None) -> Iterator[str]:
    if explanation is None or not explanation.importances:
        return
    yield "## What the scores rest on"
    ranked = sorted(explanation.importances, key=lambda one: -one.attribution)[:_INPUTS_SHOWN]
    rows = [(one.name, one.side, wording.share(one.attribution), wording.share(one.permutation)) for one in ranked]
    yield _grid(("input", "of", "part of the attributions", "recall lost when exchanged"), rows)


def _diagnostics(findings: Findings, words: Words) -> Iterator[str]:
    if findings.diagnostics is None or not (findings.diagnostics.figures or findings.diagnostics.correlations):
        return
    yield "## How the vectors look"
    if findings.diagnostics.figures:
        rows = [(name, value, meaning) for name, meaning, value in figure_rows(findings.diagnostics, words)]
        yield _grid(("figure", "", "tells"), rows)
    if findings.diagnostics.correlations:
        found = findings.diagnostics.correlations
        rows = [(one.feature, wording.short(one.r), wording.p_value(one.p_value)) for one in found]
        yield _grid(("feature", "r with the scores", "p"), rows)


def _training(findings: Findings) -> Iterator[str]:
    ends = {model: epochs for model, epochs in findings.curves.items() if epochs}
    if not ends:
        return
    yield "## Training"
    rows = [
        (wording.model_name(model), str(len(epochs)), *(wording.figure(epochs[-1].get(key)) for key in _LAST))
        for model, epochs in ends.items()
    ]
    yield _grid(("model", "epochs", "last loss", "last validation recall@20"), rows)


def _examples(findings: Findings, words: Words) -> Iterator[str]:
    if not findings.examples:
        return
    yield "## Examples"
    for number, example in enumerate(findings.examples, start=1):
        yield f"### {wording.sentence(words.user)} {number}"
        yield "History, latest first: " + "; ".join(_shown(one) for one in example.history)
        yield _lists(example)


def _lists(example: Example) -> str:
    lists = [example.challenger, *([example.champion] if example.champion else [])]
    longest = max((len(one) for one in lists), default=0)
    rows = [
        (str(rank + 1), *(_shown(one[rank]) if rank < len(one) else "" for one in lists)) for rank in range(longest)
    ]
    heads = ("", wording.sentence(CHALLENGER), "Champion")[: len(lists) + 1]
    return _grid(heads, rows, escaped=True)


def _shown(item: Shown) -> str:
    by = f" ({_text(item.creator)})" if item.creator else ""
    reason = f", {_text(item.reason)}" if item.reason else ""
    return f"{'**✓** ' if item.chosen else ''}{_text(item.title)}{by}{reason}"


def _changes(findings: Findings) -> Iterator[str]:
    if findings.champion_version is None:
        return
    yield "## What changed since the champion"
    if not findings.changes:
        yield "No setting: the two differ by their data alone."
        return
    rows = [
        (one.key, *("not set" if value is None else value for value in (one.before, one.after)))
        for one in findings.changes
    ]
    yield _grid(("setting", "champion", "challenger"), rows)


def _footer(findings: Findings, words: Words) -> Iterator[str]:
    users = wording.plural(words.user)
    yield (
        f"{_code(findings.model_version)} ({_text(findings.kind)}), judged by policy {_text(findings.policy)} on what "
        f"{findings.users:,} {users} newly chose after {wording.day(findings.judged_from)} and up to "
        f"{wording.day(findings.ds)}: {wording.share(findings.represented)} of the {users} with "
        f"{wording.plural(words.event)}."
    )


def _grid(heads: Sequence[str], rows: Iterable[Sequence[str]], *, escaped: bool = False) -> str:
    body = [[cell if escaped else _text(cell) for cell in row] for row in rows]
    lines = [[_text(head) for head in heads], ["---"] * len(heads), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(content: str) -> str:
    """Without line breaks, and with no letter that Markdown or HTML would take for its own."""
    return _MEANING_MARKS.sub(r"\\\1", " ".join(content.split()))


def _code(name: str) -> str:
    return f"`{name.replace('`', '')}`"
