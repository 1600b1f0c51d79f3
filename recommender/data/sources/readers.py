"""DuckDB relations over source files as they stand: every column that a row has, CSV and JSON values as text."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from recommender.config.source import Format, Origin
from recommender.data.sources.files import find_files
from recommender.data.sources.staging import ReadableFile, stage
from recommender.errors import SourceError
from recommender.storage.duckdb_sql import literal, paths, quoted

LINE = "line of the source"
"""Column with a JSON row's own text."""
FILE = "file of the source"
"""Column with the path of the file that a JSON row is from."""
SAMPLE = 20_000
"""JSON rows that tell the columns, unless the mapping names one that they lack."""
_MOST_KEYS = 500
"""An object with more keys than this is a dictionary, not a record: it stays JSON text."""
_HEAD = 1 << 20


@dataclass(frozen=True)
class Reading:
    """Files that one reader reads, and where it puts the lines that it can't split."""

    relation: str
    """The reader's call."""
    format: Format
    files: tuple[ReadableFile, ...]
    rejects: str | None = None
    """Name of its table of rejected lines, once it has met one."""


def read_files(
    connection: duckdb.DuckDBPyConnection, origin: Origin, name: str, data: Path, where: str, sample: int | None
) -> tuple[str, list[Reading]]:
    """The relation over an origin's files, and its readings.

    `sample` is how many JSON rows tell the columns; None for all.
    """
    found = find_files(origin, data, where)
    folder = _scratch(connection) / f"staged {name}"
    kind = found[0].format
    hive = any("=" in part for file in found for part in file.inner.split("/")[:-1])
    empty = [file.name for file in found if file.local is not None and file.local.stat().st_size == 0]
    if empty and (kind == "parquet" or (kind == "csv" and origin.header) or len(empty) == len(found)):
        raise SourceError(f"{empty[0]} is empty: not even a header (matched by {where})")
    files = [stage(file, origin, folder / str(number), where) for number, file in enumerate(found)]
    files = [file for file in files if file.path.stat().st_size > 0] or files
    if kind == "parquet":
        reading = Reading(_parquet(files, hive=hive), kind, tuple(files))
        return reading.relation, [reading]
    if kind == "csv":
        readings = _csv(connection, origin, name, files, where, hive=hive)
        relations = [f"select * from {reading.relation}" for reading in readings]
        return f"({' union all by name '.join(relations)})", readings
    return _jsonl(connection, origin, name, files, where, sample, hive=hive)


def _scratch(connection: duckdb.DuckDBPyConnection) -> Path:
    ((folder,),) = connection.execute("select current_setting('temp_directory')").fetchall()
    return Path(folder).absolute()


def _parquet(files: list[ReadableFile], *, hive: bool) -> str:
    return f"read_parquet({_names(files)}, union_by_name = true{_hive(hive)})"


def _csv(
    connection: duckdb.DuckDBPyConnection,
    origin: Origin,
    name: str,
    files: list[ReadableFile],
    where: str,
    *,
    hive: bool,
) -> list[Reading]:
    """One reading for all files with the same header."""
    by_columns: dict[tuple[tuple[str, ...], str], list[ReadableFile]] = {}
    for file in files:
        delimiter = origin.delimiter_of(file.name)
        by_columns.setdefault((_columns(file, origin, delimiter, where), delimiter), []).append(file)
    readings = []
    for number, ((columns, delimiter), members) in enumerate(by_columns.items()):
        rejects = _fresh_rejects(connection, f"{name}_rejects_{number}")
        relation = _read_csv(members, columns, delimiter, origin.quote, rejects, header=origin.header, hive=hive)
        readings.append(Reading(relation, "csv", tuple(members), rejects))
    return readings


def _read_csv(
    files: list[ReadableFile],
    columns: tuple[str, ...],
    delimiter: str,
    quote: str,
    rejects: str,
    *,
    header: bool,
    hive: bool,
) -> str:
    struct = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in columns)
    return (
        f"read_csv({_names(files)}, auto_detect = false, columns = {{{struct}}}, header = {str(header).lower()}, "
        f"delim = {literal(delimiter)}, quote = {literal(quote)}, escape = {literal(quote)}{_hive(hive)}, "
        f"compression = 'none', store_rejects = true, rejects_table = '{rejects}', rejects_scan = '{rejects}_scans')"
    )


def _columns(file: ReadableFile, origin: Origin, delimiter: str, where: str) -> tuple[str, ...]:
    """What a CSV file's columns are called."""
    with file.path.open("rb") as stream:
        head = stream.read(_HEAD).decode("utf-8-sig", "ignore")
    fields = split_first_row(head, delimiter, origin.quote)
    if not any(fields):
        raise SourceError(f"{file.name} is empty: not even a header (matched by {where})")
    if any("\0" in field for field in fields):
        raise SourceError(f"{file.name} has NUL bytes in its first line: is it `encoding: utf-16`? ({where})")
    if origin.header:
        names = [field.strip() or f"column{place}" for place, field in enumerate(fields)]
    else:
        names = list(origin.names) or [f"column{place}" for place in range(len(fields))]
        if len(names) != len(fields):
            raise SourceError(f"{file.name} has {len(fields)} columns, but `names` lists {len(names)} ({where})")
    seen: set[str] = set()
    for column in names:
        if column.lower() in seen:
            raise SourceError(f"{file.name} has two columns named {column!r}: rename one in the file ({where})")
        seen.add(column.lower())
    return tuple(names)


def split_first_row(head: str, delimiter: str, quote: str) -> list[str]:
    """The values of the first CSV row of a text."""
    fields = [""]
    inside = False
    place = 0
    while place < len(head):
        character = head[place]
        if quote and character == quote and (inside or not fields[-1]):
            if inside and head[place + 1 : place + 2] == quote:
                fields[-1] += quote
                place += 1
            else:
                inside = not inside
        elif not inside and character in "\r\n":
            break
        elif not inside and head.startswith(delimiter, place):
            fields.append("")
            place += len(delimiter) - 1
        else:
            fields[-1] += character
        place += 1
    return fields


def _jsonl(
    connection: duckdb.DuckDBPyConnection,
    origin: Origin,
    name: str,
    files: list[ReadableFile],
    where: str,
    sample: int | None,
    *,
    hive: bool,
) -> tuple[str, list[Reading]]:
    """Lines as text, so that a bad one is met as a row; good ones taken apart by the keys of a sample."""
    rejects = _fresh_rejects(connection, f"{name}_rejects_0")
    # no JSON holds this delimiter as it stands: a line is one value
    lines = _read_csv(files, (LINE,), "\1", "", rejects, header=False, hive=hive)
    lines = f"{lines.removesuffix(')')}, filename = {literal(FILE)})"
    if origin.limit is not None:
        lines = f"(select * from {lines} limit {origin.limit})"
    line = quoted(LINE)
    good = f"(select * from {lines} where {is_object(line)})"
    few = f" limit {sample}" if sample is not None else ""
    ((structure,),) = connection.execute(
        f"select json_group_structure(cast({line} as json)) from (select {line} from {good}{few})"
    ).fetchall()
    if structure is None:
        raise SourceError(f"{files[0].name} holds no line that is a JSON object: write one object a line ({where})")
    keys = text_structure(json.loads(structure))
    parts = [f"object.{quoted(key)} as {quoted(key)}" for key in keys]
    folders = f", * exclude ({line}, {quoted(FILE)}, object)" if hive else ""
    taken_apart = f"select *, from_json({line}, {literal(json.dumps(keys))}) as object from {good}"
    relation = f"(select {', '.join(parts)}{folders}, {line} from ({taken_apart}))"
    return relation, [Reading(lines, "jsonl", tuple(files), rejects)]


def is_object(line: str) -> str:
    """SQL: whether a line is one JSON object."""
    return f"(json_valid({line}) and ltrim({line}, ' ' || chr(9))[1] = '{{')"


def text_structure(structure: Any) -> Any:
    """A JSON structure with text for every scalar, so that nothing is lost to a type guessed from a sample."""
    if isinstance(structure, list):
        return [text_structure(structure[0])]
    if not isinstance(structure, dict):
        return "VARCHAR"
    keys: dict[str, Any] = {}
    for key, value in structure.items():
        keys.setdefault(key.lower(), (key, text_structure(value)))
    return dict(keys.values()) if len(keys) <= _MOST_KEYS else "VARCHAR"


def _fresh_rejects(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    for suffix in ("", "_scans"):
        connection.execute(f"drop table if exists {table}{suffix}")
    return table


def _names(files: list[ReadableFile]) -> str:
    return paths(file.path for file in files)


def _hive(hive: bool) -> str:
    return ", hive_partitioning = true, hive_types_autocast = false" if hive else ""
