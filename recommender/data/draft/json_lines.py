"""JSON lines as a table: one column a value, values inside others by their path, `user.id`."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from recommender.data.sources.readers import SAMPLE, is_object, text_structure
from recommender.storage.duckdb_sql import literal, paths, quoted


def structure_of(connection: duckdb.DuckDBPyConnection, file: Path) -> str | None:
    """The keys of a file's objects as `from_json` takes them, all values text; None where no line is an object."""
    query = f"select json_group_structure(cast(line as json)) from (select line from {_objects([file])} limit {SAMPLE})"
    ((found,),) = connection.execute(query).fetchall()
    return None if found is None else json.dumps(text_structure(json.loads(found)))


def value_names(structure: str) -> tuple[str, ...]:
    """The columns of a structure."""
    return tuple(".".join(path) for path in _value_paths(json.loads(structure), ()))


def json_relation(files: Iterable[Path], structure: str) -> str:
    """SQL for the lines that are objects, a column for each value of the structure."""
    values = ", ".join(
        f"{'.'.join(map(quoted, ('object', *path)))} as {quoted('.'.join(path))}"
        for path in _value_paths(json.loads(structure), ())
    )
    return f"(select {values} from (select from_json(line, {literal(structure)}) as object from {_objects(files)}))"


def _objects(files: Iterable[Path]) -> str:
    # no JSON holds this delimiter as it stands: a line is one value
    lines = (
        f"read_csv({paths(files)}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false, "
        "delim = '\1', quote = '', escape = '', ignore_errors = true)"
    )
    return f"(select line from {lines} where {is_object('line')})"


def _value_paths(structure: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in structure.items():
        if isinstance(value, dict):
            yield from _value_paths(value, (*above, key))
        else:
            yield (*above, key)
