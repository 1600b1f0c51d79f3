"""Reading a tiny source through a profile, for the tests of sources."""

from pathlib import Path
from typing import Any

import duckdb

from recommender.config.profile import Profile
from recommender.data.sources import collect_unparsable, open_source

ROWS = "who,what,when\nann,lamp,2020-01-01T10:00:00Z\nbob,desk,2020-01-02\n"
KEPT = [("ann", "lamp", "2020-01-01 10:00:00"), ("bob", "desk", "2020-01-02 00:00:00")]
MAPPING = {"user_id": "who", "item_id": "what", "ts": "when"}


def profile(path: str | None = "e.csv", columns: dict[str, Any] | None = None, **origin: Any) -> Profile:
    place = {} if path is None else {"path": path}
    return Profile.model_validate(
        {
            "name": "shop",
            "events": {**place, **origin, "columns": {**MAPPING, **(columns or {})}},
            "items": {"path": "items.csv", "columns": {"item_id": "id"}},
        }
    )


def events(connection: duckdb.DuckDBPyConnection, data: Path, *args: Any, **origin: Any) -> list[tuple]:
    open_source(connection, profile(*args, **origin), "events", data)
    return connection.execute("select user_id, item_id, cast(ts as varchar) from events").fetchall()


def column(connection: duckdb.DuckDBPyConnection, data: Path, how: Any, **origin: Any) -> list[Any]:
    """The values of one further column, mapped so."""
    open_source(connection, profile(columns={"extra": how}, **origin), "events", data)
    return [value for (value,) in connection.execute("select extra from events").fetchall()]


def unparsable(connection: duckdb.DuckDBPyConnection, table: str = "events") -> list[tuple[str, str]]:
    collect_unparsable(connection, table)
    return connection.execute(f"select raw, reason from {table}_unparsable").fetchall()
