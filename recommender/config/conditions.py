"""A condition over items as a profile may say it: what it names, and why one is refused.

It is read by DuckDB's own parser, so that what is checked here is what is evaluated later.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb

USERS, ITEMS, NIGHT = "users", "items", "ds"
"""What a condition may name beside the items' columns: `users.<column>`, `items.<column>`, and the night's date."""

_REFUSED = {
    "SUBQUERY": "asks another table: write list_contains(column, value) or column in ('a', 'b')",
    "WINDOW": "looks at other items: an item is judged by its own columns alone",
    "STAR": "names no columns: * and columns(…) stand for all of them",
    "PARAMETER": "has a parameter: write the value itself",
    "DEFAULT": "has no value where it says default",
}
_CLOCK = ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")
"""What SQL reads the clock by without brackets."""
_READ_THE_CLOCK = frozenset({"age", "ago", "current_localtime", "current_localtimestamp", "pg_postmaster_start_time"})
"""Functions that DuckDB takes for constant."""


@dataclass(frozen=True)
class Condition:
    """A condition, and the columns it names."""

    text: str
    columns: tuple[str, ...]
    """Of the items, as they are written there; `ds`, where it is named, among them."""
    user_columns: tuple[str, ...]
    """Of the users."""


@lru_cache
def parse(text: str) -> Condition:
    """What a condition names.

    Raises
    ------
    ValueError
        It is no condition over one item: it can't be read, asks other rows or tables, or reads the clock or chance.
    """
    try:
        with duckdb.connect() as connection:
            _tree(connection, text)  # what only parses in brackets would reach out of them
            nodes = list(_nodes(_tree(connection, f"({text}\n)")))
            for kind, problem in _REFUSED.items():
                if any(node["class"] == kind for node in nodes):
                    raise ValueError(problem)
            _refuse_functions(connection, {node["function_name"] for node in nodes if node["class"] == "FUNCTION"})
        named = _named(nodes)
        return Condition(text, _distinct(_columns(named)), _distinct(_user_columns(named)))
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None


def _tree(connection: duckdb.DuckDBPyConnection, condition: str) -> Any:
    [(found,)] = connection.execute("select json_serialize_sql(?)", [f"select 1 where {condition}\n"]).fetchall()
    tree = json.loads(found)
    if tree["error"] or len(tree["statements"]) != 1:
        detail = "" if "near" not in tree.get("error_message", "") else f": {tree['error_message'].splitlines()[0]}"
        raise ValueError(f"is no SQL condition{detail}")
    return tree["statements"][0]["node"].get("where_clause")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every expression of a tree, outer ones first."""
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        for branch in tree.values():
            yield from _nodes(branch)
    elif isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch)


def _refuse_functions(connection: duckdb.DuckDBPyConnection, names: set[str]) -> None:
    """Refuse what sums up rows, and what isn't the same on every run."""
    known = connection.execute(
        "select distinct function_name, function_type, stability from duckdb_functions() "
        "where list_contains(?, lower(function_name)) order by all",
        [[name.lower() for name in names]],
    ).fetchall()
    for name, kind, stability in known:
        if kind in ("aggregate", "window"):
            raise ValueError(f"looks at other items: {name}() sums up rows")
        if stability not in ("CONSISTENT", None) or name in _READ_THE_CLOCK:
            raise ValueError(f"would not be the same on every run: {name}(); the night's date is {NIGHT}")


def _named(nodes: list[dict[str, Any]]) -> list[list[str]]:
    """The columns as they are written, such as `["users", "country"]`; parameters of lambdas are none."""
    lambdas = [node["lhs"] for node in nodes if node["class"] == "LAMBDA"]
    parameters = {node["column_names"][0] for node in _nodes(lambdas) if node["class"] == "COLUMN_REF"}
    named = [node["column_names"] for node in nodes if node["class"] == "COLUMN_REF"]
    return [parts for parts in named if parts[0] not in parameters]


def _columns(named: list[list[str]]) -> Iterator[str]:
    for first, *rest in named:
        if first.lower() in _CLOCK and not rest:
            raise ValueError(f"would not be the same on every run: {first}; the night's date is {NIGHT}")
        if first.lower() == ITEMS and rest:
            yield rest[0]
        elif first.lower() != USERS:
            yield first


def _user_columns(named: list[list[str]]) -> Iterator[str]:
    for first, *rest in named:
        if first.lower() == USERS:
            if not rest:
                raise ValueError(f"names the users, but none of their columns: write {USERS}.country")
            yield rest[0]


def _distinct(names: Iterator[str]) -> tuple[str, ...]:
    """Without regard to case, as SQL has it."""
    return tuple({name.lower(): name for name in names}.values())
