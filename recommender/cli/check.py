"""`recommender check`: what a profile's data looks like, before any night takes it in."""

import json
import shlex
import sys
from datetime import date, timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from recommender.cli.console import (
    DataOption,
    ProfileOption,
    app,
    expected_failures,
    out,
    print_table,
    progress,
    sparkline,
)
from recommender.config.settings import Settings, load_settings, parse_ds
from recommender.data.check.report import ColumnFigures, EventFigures, Report, Spread, TableFigures
from recommender.errors import RecommenderError

_WIDEST_PLOT = 100
_SHARE_BAR = 5
_TOP_WIDTH = 34
_FILES_SHOWN = 3


@app.command(rich_help_panel="Data")
@expected_failures
def check(
    profile: ProfileOption = None,
    data: DataOption = None,
    ds: Annotated[
        str | None,
        typer.Option("--ds", help="The night to judge readiness for; one that fits the data when absent."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, for machines.")] = False,
) -> None:
    """Read all source files, write nothing, and say what is in them and what to change in the profile.

    Exit code 0: ready for a night. 2: not ready.
    """
    settings = load_settings(profile, data)
    night = parse_ds(ds) if ds is not None else None
    from recommender.data.check import check as look

    report = look(settings, night, (lambda _line: None) if as_json else progress)
    report.problems += _feature_problems(settings)
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n")
    else:
        _print(report, settings)
    if not report.ready:
        raise typer.Exit(2)


def _feature_problems(settings: Settings) -> list[str]:
    """Features that the profile names and its tables don't have, and what pair features lack."""
    from recommender.features.definitions import declared_features, feature_tables
    from recommender.features.measures import MEASURES

    found = []
    for subject in MEASURES:
        try:
            declared_features(settings.profile, subject)
        except RecommenderError as error:
            found.append(str(error))
    if not found:
        try:
            feature_tables(settings.profile)
        except RecommenderError as error:
            found.append(str(error))
    return found or [*_model_problems(settings), *_policy_problems(settings), *_filter_problems(settings)]


def _filter_problems(settings: Settings) -> list[str]:
    """What business filters name and the tables don't have."""
    from recommender.publishing.filters import check_filters

    return check_filters(settings.profile)


def _model_problems(settings: Settings) -> list[str]:
    """What a model's section names and the declared features don't have."""
    from recommender.models.registry import new_model  # which imports PyTorch

    found = []
    for config in (settings.profile.model, *settings.profile.rivals):
        try:
            new_model(config, settings.profile)
        except RecommenderError as error:
            found.append(f"{config.kind}: {error}")
    return found


def _policy_problems(settings: Settings) -> list[str]:
    """What the gate's policy asks for and no night measures."""
    from recommender.config.policy import load_policy
    from recommender.evaluation.askable import require_askable

    try:
        require_askable(load_policy(settings.profile.gate.policy), settings.profile)
    except RecommenderError as error:
        return [str(error)]
    return []


def _print(report: Report, settings: Settings) -> None:
    out.print(f"profile [bold]{report.profile}[/], data {report.data}", highlight=False, soft_wrap=True)
    print_table("\ntables", ("table", "files", "size", "rows", "usable", "put aside"), [
        _table_row(table) for table in report.tables
    ])  # fmt: skip
    for table in report.tables:
        _print_columns(table)
    if report.events is not None:
        _print_events(report.events)
    _print_lines("unparsable lines", [f"{t.table}: {reason}" for t in report.tables for reason in t.unparsable])
    _print_lines("what to change or look at", report.advice)
    _print_lines("problems", report.problems, style="red")
    if report.ready:
        command = shlex.join(
            ["recommender", "nightly", "--ds", str(report.ds), "--profile", _name(settings), "--data", report.data]
        )
        out.print(Text.assemble(("\nready: ", "green"), command), soft_wrap=True)
    else:
        count = len(report.problems)
        out.print(Text.assemble(("\nnot ready: ", "red"), f"{count} problem{'s' if count > 1 else ''}"))


def _name(settings: Settings) -> str:
    from recommender.config.settings import PROFILES

    shipped = settings.profile_path.parent == PROFILES
    return settings.profile_path.stem if shipped else str(settings.profile_path)


def _table_row(table: TableFigures) -> tuple[str, ...]:
    names = [file.path for file in table.files]
    more = f" and {len(names) - _FILES_SHOWN} more" if len(names) > _FILES_SHOWN else ""
    aside = ", ".join(f"{count:,} {reason}" for reason, count in table.rejected.items())
    return (
        table.table,
        (", ".join(names[:_FILES_SHOWN]) + more) or table.place,
        _size(sum(file.bytes for file in table.files)) if table.files else "–",
        f"{table.rows:,}",
        f"{table.kept:,}",
        aside or "nothing",
    )


def _print_columns(table: TableFigures) -> None:
    grid = Table(box=None, pad_edge=False)
    for header in (table.table, "type", "missing", "unusable", "distinct", "most frequent"):
        grid.add_column(header)
    for column in table.columns:
        distinct = "–" if column.distinct is None else f"{column.distinct:,}"
        cells = (column.name, column.type, _missing(column), _unusable(column), distinct, _top(column))
        grid.add_row(*map(Text, cells))
    out.print()
    out.print(grid)


def _missing(column: ColumnFigures) -> str:
    filled = round(column.missing_share * _SHARE_BAR)
    filled = max(1, filled) if column.missing else 0
    return f"{'█' * filled}{'·' * (_SHARE_BAR - filled)} {column.missing_share:.1%}"


def _unusable(column: ColumnFigures) -> str:
    outside = [f"{column.out_of_range:,} out of range"] if column.out_of_range else []
    unreadable = [f"{column.unreadable:,} unreadable"] if column.unreadable else []
    return ", ".join([*outside, *unreadable]) or "–"


def _top(column: ColumnFigures) -> str:
    if column.personal:
        return "personal: not shown"
    if not column.top or column.top[0][1] == 1:
        return "–"
    shown = ""
    for value, count in column.top:
        longer = f"{shown}, {value} {count:,}".removeprefix(", ")
        if shown and len(longer) > _TOP_WIDTH:
            break
        shown = longer
    return shown


def _print_events(events: EventFigures) -> None:
    split = events.split
    out.print()
    print_table("", ("usable events", ""), [
        ("events", f"{events.events:,} by {events.users.ids:,} users on {events.items.ids:,} items"),
        ("from, to", f"{events.first:%Y-%m-%d %H:%M} to {events.last:%Y-%m-%d %H:%M} UTC"),
        ("density", f"{events.density:.3%} (events / users × items)"),
        ("events per user", _spread(events.users)),
        ("events per item", _spread(events.items)),
        ("skew", f"the top 1% of the items have {events.top_1_percent_share:.0%} of the events, the top 10% "
                 f"{events.top_10_percent_share:.0%}; Gini {events.gini:.2f}"),
        ("unknown items", f"{events.unknown_items.rows:,} events on {events.unknown_items.ids:,} items"
                          + _examples(events.unknown_items.examples)),
        ("unknown users", f"{events.unknown_users.rows:,} events of {events.unknown_users.ids:,} users"),
        (f"split of {split.ds}",
         f"trained on {split.training_events:,} events to {split.trained_to}, stopped early on "
         f"{split.validation_events:,} to {split.judged_at}, judged on {split.holdout_events:,} of "
         f"{split.holdout_users:,} users ({split.known_holdout_users:,} known before)"),
    ])  # fmt: skip
    _print_plot(events)


def _print_plot(events: EventFigures) -> None:
    """Events a day over the whole range; a column of the plot is as many days as make it fit."""
    width = max(10, min(out.width, _WIDEST_PLOT))
    first, last = events.per_day[0][0], events.per_day[-1][0]
    step = -(-((last - first).days + 1) // width)
    buckets = plot_buckets(events, step)
    peak = max(buckets)
    line = sparkline(buckets)
    out.print(f"\nevents a day, up to {peak / step:,.0f}; each column is {step} day{'s' if step > 1 else ''}")
    out.print(Text(line), no_wrap=True)
    out.print(f"{first} {str(last).rjust(len(line) - 11)}", highlight=False)


def plot_buckets(events: EventFigures, step: int) -> list[int]:
    """Events in each stretch of `step` days, from the first day to the last."""
    first: date = events.per_day[0][0]
    counts = [0] * ((events.per_day[-1][0] - first) // timedelta(days=step) + 1)
    for day, count in events.per_day:
        counts[(day - first) // timedelta(days=step)] += count
    return counts


def _print_lines(title: str, lines: list[str], style: str = "") -> None:
    if lines:
        out.print(f"\n{title}")
        for line in lines:
            out.print(Text.assemble(("  • ", style), " ".join(line.split())), soft_wrap=True)


def _spread(spread: Spread) -> str:
    return f"median {spread.median:,.0f}, 90% have at most {spread.p90:,.0f}, at most {spread.max:,}"


def _examples(ids: tuple[str, ...]) -> str:
    return f", such as {', '.join(ids)}" if ids else ""


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
