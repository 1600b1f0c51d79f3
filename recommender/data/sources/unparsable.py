"""Rows that no reader could take apart: which, in which line of which file, and why."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from recommender.columns import RAW, REASON
from recommender.config.source import Format
from recommender.data.sources.readers import FILE, LINE, Reading, is_object
from recommender.errors import SourceError
from recommender.storage.duckdb_sql import literal, quoted

UNPARSABLE = "unparsable"
"""Name suffix of the table that holds a source's unreadable rows."""
_OPEN_QUOTE = "UNQUOTED VALUE"
_MAY_HIDE_ROWS = (_OPEN_QUOTE, "LINE SIZE OVER MAXIMUM")
"""Errors after which DuckDB's parallel reader may miss rows."""
_READINGS = "source_readings"


@dataclass(frozen=True)
class _Files:
    """A reading, as this module keeps it in the database between opening and collecting."""

    relation: str
    format: Format
    rejects: str | None
    whole: bool
    """Whether the source has no row limit."""
    paths: list[str]
    inner: list[str]
    undecodable: list[str | None]


def forget_readings(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Begin anew with a source."""
    connection.execute(f"create temp table if not exists {_READINGS} (owner varchar, reading varchar)")
    connection.execute(f"delete from {_READINGS} where owner = ?", [table])


def remember_readings(
    connection: duckdb.DuckDBPyConnection, table: str, readings: list[Reading], *, limited: bool
) -> None:
    """Note what reads `table`, or one of its side tables."""
    for reading in readings:
        files = _Files(
            reading.relation,
            reading.format,
            reading.rejects,
            not limited,
            [str(file.path) for file in reading.files],
            [file.inner for file in reading.files],
            [str(file.undecodable) if file.undecodable else None for file in reading.files],
        )
        connection.execute(f"insert into {_READINGS} values (?, ?)", [table, json.dumps(asdict(files))])


def collect_unparsable(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Create table `<table>_unparsable(raw, reason)` from what the reads of `<table>` so far could not parse.

    Reasons read "line 3 unparsable: …", and "line 3 of tags.csv unparsable: …" when there are several files. Side
    tables are among them.

    Raises
    ------
    SourceError
        A quote that is never closed hides rows.
    """
    kept = connection.execute(f"select reading from {_READINGS} where owner = ?", [table]).fetchall()
    readings = [_Files(**json.loads(text)) for (text,) in kept]
    result = f"{table}_{UNPARSABLE}"
    connection.execute(f"create or replace temp table {result} ({RAW} varchar, {REASON} varchar)")
    connection.execute(
        "create or replace temp table source_files as "
        "select unnest(?::varchar[]) as path, unnest(?::varchar[]) as inner_",
        [[path for reading in readings for path in reading.paths], [name for r in readings for name in r.inner]],
    )
    several = sum(len(reading.paths) for reading in readings) > 1
    line_of = "'line ' || line" + (" || ' of ' || inner_" if several else "")
    for reading in readings:
        found = [*_rejected(connection, reading), *_undecodable(reading), *_no_objects(connection, reading)]
        for bad in found:
            connection.execute(
                f"""insert into {result}
                    select raw, {line_of} || ' unparsable: ' || why from ({bad}) join source_files using (path)
                    order by path, line"""
            )


def _rejected(connection: duckdb.DuckDBPyConnection, reading: _Files) -> list[str]:
    """What DuckDB's CSV reader rejected; the lines that an open quote swallowed one by one."""
    exists = "select count(*) from duckdb_tables() where table_name = ?"
    if reading.rejects is None or connection.execute(exists, [reading.rejects]).fetchall() == [(0,)]:
        return []
    rows = f"""select file_path as path, line, min(csv_line) as raw, min(error_message) as why,
                      min(error_type::varchar) as kind
               from {reading.rejects} join {reading.rejects}_scans using (scan_id, file_id)
               group by file_path, line"""
    kinds = ", ".join(f"'{kind}'" for kind in _MAY_HIDE_ROWS)
    suspicious = connection.execute(
        f"select path, line from ({rows}) where kind in ({kinds}) order by all limit 1"
    ).fetchall()
    if suspicious and reading.whole and reading.format == "csv":
        ((path, line),) = suspicious
        _refuse_hidden_rows(connection, reading, rows, path, line)
    return [
        f"select path, line, trim(raw, chr(10) || chr(13)) as raw, why from ({rows}) where kind <> '{_OPEN_QUOTE}'",
        f"""select path, line + place - 1 as line, raw, why
            from (select path, line, why, unnest(string_split(rtrim(raw, chr(10)), chr(10))) as raw,
                         generate_subscripts(string_split(rtrim(raw, chr(10)), chr(10)), 1) as place
                  from ({rows}) where kind = '{_OPEN_QUOTE}')
            where raw <> ''""",
    ]


def _refuse_hidden_rows(
    connection: duckdb.DuckDBPyConnection, reading: _Files, rejected: str, path: str, line: int
) -> None:
    """Compare the lines of the files with those of the rows that were read and rejected."""
    columns = [quoted(row[0]) for row in connection.execute(f"describe select * from {reading.relation}").fetchall()]
    text = " || '' || ".join(f"coalesce(replace({column}, chr(13), ''), '')" for column in columns)
    # a blank line within a value is no line, as outside of values
    breaks = r"regexp_replace({}, '\n(\s*\n)+', chr(10), 'g')"
    more = f"length({breaks.format(text)}) - length(replace({breaks.format(text)}, chr(10), ''))"
    ((read,),) = connection.execute(f"select coalesce(sum(1 + {more}), 0) from {reading.relation}").fetchall()
    ((aside,),) = connection.execute(
        f"""select count(*) from (select unnest(string_split(raw, chr(10))) as text from ({rejected}))
            where trim(text, ' ' || chr(9) || chr(13)) <> ''"""
    ).fetchall()
    lines = 0
    for name in reading.paths:
        with Path(name).open("rb") as stream:
            lines += sum(1 for text in stream if text.strip())
    headers = len(reading.paths) if ", header = true" in reading.relation else 0
    if int(read) + int(aside) + headers < lines:
        shown = dict(zip(reading.paths, reading.inner, strict=True))[path]
        raise SourceError(
            f"{shown}: a quote that opens near line {line} is never closed and hides rows after it; "
            "mend the line, or say `quote: ''` when quotes mean nothing in this file"
        )


def _undecodable(reading: _Files) -> list[str]:
    """Lines that were left out because they are not UTF-8."""
    return [
        f"""select {literal(path)} as path, line, raw, 'not utf-8; is another `encoding` right?' as why
            from read_json({literal(aside)}, format = 'newline_delimited',
                           columns = {{line: 'bigint', raw: 'varchar'}})"""
        for path, aside in zip(reading.paths, reading.undecodable, strict=True)
        if aside is not None
    ]


def _no_objects(connection: duckdb.DuckDBPyConnection, reading: _Files) -> list[str]:
    """Lines of JSON files that are no object."""
    if reading.format != "jsonl":
        return []
    line, file = quoted(LINE), quoted(FILE)
    bad = f"trim({line}) <> '' and not {is_object(line)}"
    if connection.execute(f"select 1 from {reading.relation} where {bad} limit 1").fetchall() == []:
        return []
    return [
        f"""with numbered as (select {line}, {file}, row_number() over () as place from {reading.relation}),
                 beginnings as (select {file}, min(place) as beginning from numbered group by {file})
            select {file} as path, place - beginning + 1 as line, {line} as raw,
                   case when json_valid({line}) then 'not a JSON object' else 'not valid JSON' end as why
            from numbered join beginnings using ({file}) where {bad}"""
    ]
