"""A draft as YAML for people: every line with its reason, what was left out as comments."""

import re
import textwrap
from collections.abc import Iterable, Iterator

from recommender.columns import AGE, AGE_BAND, CATEGORY, COUNTRY, CREATOR, GENDER, TITLE
from recommender.data.draft.files import Layout, Table
from recommender.data.draft.mapping import Mapped
from recommender.data.draft.roles import ITEM_WORDS, Events, Seen, base
from recommender.data.draft.sections import Section
from recommender.data.draft.sides import Side
from recommender.data.draft.span import HOLDOUT_DAYS, VALIDATION_DAYS, Span
from recommender.data.draft.text import flow, scalar

_WHY_AT = 58
"""Column at which reasons begin."""
_WIDEST = 118
_MEASURES = {
    "user": ("events_7d", "events_30d", "events_90d", "events_total", "active_days_90d", "creators_total",
             "categories_total", "days_since_last_event", "tenure_days"),
    "item": ("events_7d", "events_30d", "events_90d", "events_total", "users_total", "days_since_last_event",
             "days_since_first_event", "creator_events_90d"),
}  # fmt: skip
_NEEDS = {"creators_total": CREATOR, "categories_total": CATEGORY, "creator_events_90d": CREATOR}
_NO_NOUNS = {"who", "what"}
_SEGMENTS = (AGE_BAND, COUNTRY, GENDER)
_FILLED = 0.4
"""Share of values that a feature or segment must have."""
_MOST_SEGMENT_VALUES = 300


def write(name: str, events: Events, sections: list[Section], span: Span, unused: list[Seen]) -> str:
    """The profile's text."""
    tables = {section.name: section for section in sections}
    lines = [
        f"# Drafted by `recommender init` from {', '.join(section.seen.table.path for section in sections)}.",
        "# Every guess says why it was made; edit what is wrong, and look at the data with `recommender check`.",
        f"name: {name}",
        *_words(events),
    ]
    for section in sections:
        lines += ["", f"{section.name}:", *_origin(section.seen.table, "  ")]
        if section.sides:
            lines += ["  joins:", *_joins(section.sides, "    ")]
        lines += ["  columns:", *(_column(line) for line in section.columns if line.used)]
        lines += [_column(line) for side in section.sides for line in side.adds]
        lines += [_column(line) for line in section.columns if not line.used]
    if "users" not in tables:
        lines += ["", "# users: no table has the events' users as its key, so whoever has an event is a user"]
    if "items" not in tables:
        lines += ["", "# items: no table has the events' items as its key, so whatever has an event is an item"]
    lines += ["", "features:"]
    for entity, table in (("user", "users"), ("item", "items")):
        features = [*_measures(entity, tables.get("items")), *_attributes(tables.get(table))]
        lines += _wrapped(f"  {entity}: [", features)
    segments = _segments(tables.get("users"))
    if segments:
        lines += ["", "publish:", f"  segments: [{', '.join(segments)}]"]
    lines += _split(span)
    lines += ["", "schedule:", _reasoned(f"  start_date: {span.start}", f"events from {span.first} to {span.last}")]
    lines += [_reasoned(f"  end_date: {span.end}", "the files end here")] if span.end else []
    for seen in unused:
        lines.append(f"# not used: {seen.table.path} ({', '.join(seen.columns)})")
    return "\n".join(lines) + "\n"


def _words(events: Events) -> list[str]:
    words = {"user": base(events.user), "item": base(events.item)}
    words = {
        role: word
        for role, word in words.items()
        if word != role and word.isalpha() and word not in _NO_NOUNS and len(word) > 2
    }
    if words.get("item") not in ITEM_WORDS:
        words.pop("item", None)
    return [f"words: {flow(**words)}"] if words else []


def _origin(table: Table, indent: str) -> Iterator[str]:
    """What a reader can't tell from the file's name."""
    layout: Layout = table.layout
    yield f"{indent}path: {scalar(table.path)}"
    if table.declares_format:
        yield f"{indent}format: {layout.format}"
    if layout.format != "csv":
        return
    usual = "\t" if ".tsv" in table.path.lower() else ","
    if layout.delimiter != usual:
        yield f"{indent}delimiter: {scalar(layout.delimiter)}"
    if layout.quote != '"':
        yield f"{indent}quote: {scalar(layout.quote)}"
    if not layout.header:
        yield _reasoned(f"{indent}header: false", f"its columns are {', '.join(layout.columns)}")
    if layout.encoding != "utf-8":
        yield _reasoned(f"{indent}encoding: {layout.encoding}", "not all of it is UTF-8")


def _joins(sides: Iterable[Side], indent: str) -> Iterator[str]:
    for side in sides:
        yield _reasoned(f"{indent}- name: {side.name}", side.why)
        inner = f"{indent}  "
        yield from _origin(side.seen.table, inner)
        if side.joins:
            yield f"{inner}joins:"
            yield from _joins(side.joins, f"{inner}  ")
        yield f"{inner}on: {flow(**side.on)}"
        yield f"{inner}columns:"
        for name, expression in side.columns.items():
            yield from _expression(f"{inner}  ", name, expression)


def _expression(indent: str, name: str, expression: str) -> Iterator[str]:
    if len(indent + name + expression) < _WIDEST - 4:
        yield f"{indent}{name}: {scalar(expression)}"
        return
    yield f"{indent}{name}: >-"  # YAML joins the lines with one space
    yield from textwrap.wrap(
        expression, _WIDEST, initial_indent=f"{indent}  ", subsequent_indent=f"{indent}  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _column(line: Mapped) -> str:
    mark = "    " if line.used else "    # "
    return _reasoned(f"{mark}{line.name}: {line.spec}", line.why)


def _measures(entity: str, items: Section | None) -> list[str]:
    known = {name for name in (CREATOR, CATEGORY) if items is not None and items.has(name)}
    return [name for name in _MEASURES[entity] if _NEEDS.get(name, CREATOR) in known or name not in _NEEDS]


def _attributes(section: Section | None) -> list[str]:
    """Columns that say something about many: not keys, titles, times."""
    lines = section.lines[1:] if section else []
    return [line.name for line in lines
            if line.used and line.name != TITLE and line.kind != "time" and line.filled_share >= _FILLED]  # fmt: skip


def _segments(users: Section | None) -> list[str]:
    if users is None:
        return []
    known = {line.name: line for line in users.lines if line.used and line.filled_share >= _FILLED}
    if AGE in known and AGE_BAND not in known:
        known[AGE_BAND] = known[AGE]
    return [name for name in _SEGMENTS if name in known and known[name].distinct <= _MOST_SEGMENT_VALUES]


def _split(span: Span) -> list[str]:
    """Only what differs from the defaults."""
    days = (span.last - span.first).days + 1
    lines = []
    if span.holdout_days != HOLDOUT_DAYS:
        lines.append(_reasoned(f"evaluation: {{holdout_days: {span.holdout_days}}}", f"only {days} days of events"))
    if span.validation_days != VALIDATION_DAYS:
        why = "" if lines else f"no event in the {VALIDATION_DAYS} days before those that a model is judged on"
        lines.append(_reasoned(f"training: {{validation_days: {span.validation_days}}}", why))
    return ["", *lines] if lines else []


def _wrapped(start: str, names: list[str]) -> list[str]:
    lines, indent = [start], " " * len(start)
    for number, name in enumerate(names):
        piece = name + ("]" if number == len(names) - 1 else ", ")
        if len(lines[-1]) + len(piece) > _WIDEST:
            lines[-1] = lines[-1].rstrip()
            lines.append(indent)
        lines[-1] += piece
    return lines


def _reasoned(line: str, why: str) -> str:
    reason = re.sub(r"\s+", " ", why).strip()
    return f"{line.ljust(_WHY_AT)}  # {reason}" if reason else line
