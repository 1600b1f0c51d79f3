"""Draft a profile by looking at a folder's files: every guess says why it was made, and is there to be edited."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
from pydantic import ValidationError

from recommender.config.profile import Engine, Profile
from recommender.config.section import first_problem
from recommender.config.yaml12 import load_yaml
from recommender.data.draft.columns import measure
from recommender.data.draft.files import Unread, find_tables
from recommender.data.draft.roles import Events, Seen, find_entity, find_events
from recommender.data.draft.sections import events_section, items_section, users_section
from recommender.data.draft.sides import Side
from recommender.data.draft.span import span_of
from recommender.data.draft.writing import write
from recommender.data.session import working_database
from recommender.data.sources.macros import create_macros
from recommender.errors import ConfigError, SourceError
from recommender.progress import Progress, quiet
from recommender.storage.duckdb_sql import one_line

__all__ = ["Draft", "draft"]

_FILES_TOLD = 6


@dataclass(frozen=True)
class Draft:
    """A profile's text, and what it rests on."""

    text: str
    first_night: date
    found: tuple[tuple[str, str, str], ...]
    """(file, what it is taken for, why), for every file."""


def draft(data: Path, name: str | None, today: date, progress: Progress = quiet) -> Draft:
    """Look at every file below `data` and write a profile that reads them.

    Parameters
    ----------
    name : the profile's name; the folder's when absent.
    today : events later than this are typing errors, and events close to it mean that more will follow.

    Raises
    ------
    SourceError
        The folder has no table with a time, a user and an item in each row.
    ConfigError
        The name is none for a profile.
    """
    if not data.is_dir():
        raise SourceError(f"data folder {data} does not exist")
    with working_database(Engine()) as connection:
        create_macros(connection)
        progress(f"looking at the files of {data}")
        tables, unread = find_tables(connection, data)
        seen = []
        for number, table in enumerate(tables):
            progress(f"measuring {table.path}")
            try:
                seen.append(Seen(table, measure(connection, table, number)))
            except duckdb.Error as error:
                unread.append(Unread(table.path, one_line(error)))
        events = find_events(seen)
        if events is None:
            raise SourceError(_no_events(data, seen, unread))
        progress("matching the tables")
        return _compose(connection, name or _name_of(data), events, seen, unread, today)


def _compose(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    events: Events,
    seen: list[Seen],
    unread: list[Unread],
    today: date,
) -> Draft:
    users = find_entity(connection, seen, events, "user", set())
    items = find_entity(connection, seen, events, "item", {users.seen.table.path} if users else set())
    taken = {events.seen.table.path} | {entity.seen.table.path for entity in (users, items) if entity is not None}
    others = [table for table in seen if table.table.path not in taken]
    sections = [events_section(connection, events, users, items, others)]
    sections += [users_section(connection, users, events, others)] if users is not None else []
    sections += [items_section(connection, items, events, others)] if items is not None else []
    joined = {side.seen.table.path: side for section in sections for side in _all_sides(section.sides)}
    unused = [table for table in others if table.table.path not in joined]
    span = span_of(connection, events, today)
    text = write(name, events, sections, span, unused)
    try:
        Profile.model_validate(load_yaml(text))
    except ValidationError as error:
        cure = ": say another with --name" if error.errors()[0]["loc"] == ("name",) else ""
        raise ConfigError(f"{first_problem(error)}{cure}") from None
    found = [(section.seen.table.path, section.name, section.why) for section in sections]
    found += [(path, "side table", side.why or "look-up") for path, side in joined.items() if path not in taken]
    found += [(table.table.path, "not used", f"has {', '.join(table.columns)}") for table in unused]
    found += [(file.path, "not read", file.reason) for file in unread]
    return Draft(text, span.start, tuple(found))


def _all_sides(sides: Iterable[Side]) -> Iterator[Side]:
    for side in sides:
        yield side
        yield from _all_sides(side.joins)


def _no_events(data: Path, seen: list[Seen], unread: list[Unread]) -> str:
    """What was seen, and what each file lacks."""
    told = []
    for table in seen:
        lacks = (
            "no time" if all(column.time is None for column in table.columns.values()) else "no user and item beside it"
        )
        told.append(f"{table.table.path} has {', '.join(table.columns)}: {lacks}")
    told += [f"{file.path}: {file.reason}" for file in unread]
    more = f"; and {len(told) - _FILES_TOLD} more files" if len(told) > _FILES_TOLD else ""
    looked = "; ".join(told[:_FILES_TOLD]) or "it holds no file"
    return f"no events in {data}: one file must have a time, a user and an item in each row ({looked}{more})"


def _name_of(data: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", data.resolve().name.lower()).strip("_")[:40]
    return name if name[:1].isalpha() else f"data_{name}"[:40].rstrip("_")
