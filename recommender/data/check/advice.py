"""What would stop the night, and what to change in the profile: each a line that names the key and the cure."""

from collections.abc import Iterator
from datetime import timedelta

from recommender.columns import AGE, AGE_BAND, ENTITY_KEYS
from recommender.config.profile import Profile
from recommender.data.check.report import ColumnFigures, EventFigures, Report, TableFigures
from recommender.data.judgement import PLAUSIBLE_AGES

MOSTLY_MISSING = 0.5
"""A feature or segment with less than half of its values tells little."""
NOTICEABLE = 0.01
"""Shares of rows below this are ordinary dirt."""
FEW_HOLDOUT_USERS = 50
"""A comparison of two models over fewer users is luck."""
FEW_EVENTS_A_USER = 2.0


def problems(report: Report, profile: Profile) -> list[str]:
    """What would stop the night `report.ds`; unreadable tables are in the report already."""
    events = report.table("events")
    if events is None:
        return []
    if events.rows == 0:
        return [f"{events.place} holds no event"]
    figures = report.events
    if figures is None:
        worst = max(events.rejected, key=lambda reason: events.rejected[reason])
        return [f"none of the {events.rows:,} events is usable: {events.rejected[worst]:,} have the reason {worst!r}"]
    found = []
    for name in ENTITY_KEYS:
        table = report.table(name)
        if table is not None and table.kept == 0:
            found.append(f"{name}: no usable row in {table.place}")
    share = figures.ds_rejected / max(1, figures.ds_rows)
    limit = profile.quality.max_rejected_share
    if share > limit:
        found.append(
            f"{share:.1%} of the events up to {report.ds} would be put aside, quality.max_rejected_share allows "
            f"{limit:.1%}: mend what is said below, or raise it"
        )
    split = figures.split
    if figures.events == figures.beyond_ds:
        found.append(f"no event up to {report.ds}: they begin on {figures.first:%Y-%m-%d}")
    elif split.training_events == 0:
        found.append(f"no event before {split.trained_to + timedelta(days=1)} to train on: {_other_split(report)}")
    elif split.holdout_users == 0:
        found.append(f"no event between {split.judged_at} and {split.ds} to judge a model on: {_other_split(report)}")
    return found


def advise(report: Report, profile: Profile) -> list[str]:
    """What to change, the gravest first."""
    lines = [*_times(report)]
    for table in report.tables:
        lines += _unparsable(table)
        for column in table.columns:
            lines += _unreadable(table, column)
    if report.events is not None:
        lines += _orphans(report, report.events)
        lines += _duplicates(report)
        lines += _schedule(report, report.events, profile)
        lines += _size(report.events)
    lines += _missing(report, profile)
    lines += _ages(report, profile)
    for name, key in ENTITY_KEYS.items():
        entity = report.table(name)
        twins = entity.rejected.get(f"duplicate {key}", 0) if entity else 0
        if entity and twins > NOTICEABLE * entity.rows:
            lines.append(f"{name}: {twins:,} of {entity.rows:,} rows repeat a {key}; the first row of each is taken")
    return lines


def _times(report: Report) -> Iterator[str]:
    for probe in report.time_probes:
        key = f"{probe.table}.columns.{probe.name}"
        if probe.declared:
            yield f"{key}: the unusable times are in the file itself"
        elif probe.form is None:
            yield f"{key}: most values of {probe.column!r} are no times: map another column, or use `sql`"
        else:
            form = probe.form
            look = form.format or ("ISO text" if form.unit == "iso" else form.unit)
            setting = f", {form.setting}" if form.setting else ""
            yield f"{key} looks like {look}: say {probe.name}: {{column: {probe.column}{setting}}}"


def _unparsable(table: TableFigures) -> Iterator[str]:
    lines = table.rejected.get("unparsable", 0)
    if lines:
        cure = f"look at {table.table}.delimiter and {table.table}.quote" if lines > NOTICEABLE * table.rows else "mend"
        yield f"{table.table}: {lines:,} lines can't be split into columns: {cure} ({table.unparsable[0]})"


def _unreadable(table: TableFigures, column: ColumnFigures) -> Iterator[str]:
    if not column.unreadable or column.type == "time":  # times are told by what they look like
        return
    kind = {"integer": "integers", "number": "numbers"}.get(column.type, column.type)
    shown = f", such as {', '.join(map(repr, column.examples))}" if column.examples else ""
    yield (
        f"{table.table}.columns.{column.name}: {column.unreadable:,} of {table.rows:,} values are not "
        f"{kind}{shown}: try {{sql: …}}, or {{type: text}}"
    )


def _orphans(report: Report, figures: EventFigures) -> Iterator[str]:
    events = report.table("events")
    rows = max(1, events.rows if events else 0)
    for table, orphans in (("items", figures.unknown_items), ("users", figures.unknown_users)):
        share = orphans.rows / rows
        if share <= NOTICEABLE:
            continue
        shown = f", such as {', '.join(orphans.examples)}" if orphans.examples else ""
        yield (
            f"{share:.0%} of the events name {orphans.ids:,} unknown {table}{shown}: deliver them in `{table}`, check "
            f"that its id is the same one, or leave `{table}` out"
        )


def _duplicates(report: Report) -> Iterator[str]:
    events = report.table("events")
    twins = events.rejected.get("duplicate", 0) if events else 0
    if events and twins > NOTICEABLE * events.rows:
        yield (
            f"{twins / events.rows:.0%} of the events repeat user, item, time and type: if a further column tells them "
            "apart, map it as event_type"
        )


def _schedule(report: Report, figures: EventFigures, profile: Profile) -> Iterator[str]:
    start, last, first = profile.schedule.start_date, figures.last.date(), figures.first.date()
    if start > last:
        yield (
            f"events end on {last}, and schedule.start_date is {start}: say schedule: "
            f"{{start_date: {max(first, last - timedelta(days=30))}, end_date: {last}}}"
        )
    elif start < first:
        yield f"events begin on {first}, after schedule.start_date {start}: start on {last - timedelta(days=30)} or so"
    end = profile.schedule.end_date
    if end is not None and end > last + timedelta(days=1):
        yield f"events end on {last}, before schedule.end_date {end}: later nights would bring nothing"
    if figures.beyond_ds and report.ds and start <= last:
        yield f"{figures.beyond_ds:,} events are later than {report.ds}: later nights bring them in"


def _size(figures: EventFigures) -> Iterator[str]:
    split = figures.split
    if split.holdout_users and not split.validation_events:
        yield (
            f"no event in the {_days(split.judged_at - split.trained_to)} to {split.judged_at}, which early stopping "
            "looks at: set training.validation_days higher"
        )
    if 0 < split.holdout_users < FEW_HOLDOUT_USERS:
        yield (
            f"only {split.holdout_users} users have events in the last {_days(split.ds - split.judged_at)}, which a "
            "model is judged on: set evaluation.holdout_days higher"
        )
    if figures.users.median < FEW_EVENTS_A_USER:
        yield f"half of the users have {figures.users.median:.0f} event: most lists will come from what is popular"


def _missing(report: Report, profile: Profile) -> Iterator[str]:
    used = {"users": set(profile.features.user), "items": set(profile.features.item)}
    for name, features in used.items():
        table = report.table(name)
        for column in table.columns if table else ():
            if column.missing_share <= MOSTLY_MISSING:
                continue
            places = [f"features.{name[:-1]}"] if column.name in features else []
            bands = {column.name, AGE_BAND} if column.name == AGE else {column.name}
            places += ["publish.segments"] if name == "users" and bands & set(profile.publish.segments) else []
            if places:
                share = f"{column.missing_share:.0%}"
                yield f"{name}: {column.name} is missing for {share}: drop it from {', '.join(places)}"


def _ages(report: Report, profile: Profile) -> Iterator[str]:
    users = report.table("users")
    if users is None or profile.users is None or users.column(AGE) is None:
        return
    column = profile.users.columns[AGE]
    if report.odd_ages and column.min is None and column.max is None:
        low, high = PLAUSIBLE_AGES
        yield (
            f"users.columns.age: {report.odd_ages:,} ages are under {low} or over {high}: set min: {low}, max: {high} "
            "to take them as missing"
        )


def _days(stretch: timedelta) -> str:
    return "day" if stretch.days == 1 else f"{stretch.days} days"


def _other_split(report: Report) -> str:
    figures = report.events
    if figures is None:
        return ""
    return (
        f"events run from {figures.first:%Y-%m-%d} to {figures.last:%Y-%m-%d}; choose another --ds, or smaller "
        "evaluation.holdout_days and training.validation_days"
    )
