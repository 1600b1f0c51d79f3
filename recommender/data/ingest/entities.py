"""The night's users and items: every row of the source judged, one row an id kept.

Made in the working database: `kept_<table>`, ordered by id, and `rejected_<table>` for the quarantine.
"""

from itertools import pairwise

import duckdb

from recommender.columns import AGE, AGE_BAND, AGE_BANDS, ENTITY_KEYS, RAW, REASON, USER_ID
from recommender.config.source import Source
from recommender.data import judgement
from recommender.data.sources import collect_unparsable
from recommender.storage.duckdb_sql import count_rows

_BANDS = " ".join(f"when {AGE} < {end} then '{start}-{end - 1}'" for start, end in pairwise(AGE_BANDS))
_AGE_BAND_SQL = f"""case when {AGE} < {AGE_BANDS[0]} then 'under {AGE_BANDS[0]}' {_BANDS}
    when {AGE} is not null then '{AGE_BANDS[-1]}+' end"""


def judge_entities(connection: duckdb.DuckDBPyConnection, table: str, source: Source) -> None:
    """Keep the first row of each id of view `deliverable_<table>`."""
    key = ENTITY_KEYS[table]
    banded = table == "users" and AGE in source.columns and AGE_BAND not in source.columns
    band = f", {_AGE_BAND_SQL} as {AGE_BAND}" if banded else ""
    connection.execute(
        f"""create or replace table staged_{table} as
            select * exclude ({RAW}){band}, row_number() over () as position, {judgement.entity_reason(key)} as {REASON}
            from deliverable_{table}"""
    )
    connection.execute(
        f"""update staged_{table} set {REASON} = '{judgement.DUPLICATE} {key}'
            where {REASON} is null and position not in (
                select min(position) from staged_{table} where {REASON} is null group by {key})"""
    )
    connection.execute(
        f"""create or replace table kept_{table} as
            select * exclude (position, {REASON}) from staged_{table} where {REASON} is null order by {key}"""
    )
    user = f"source.{USER_ID}" if table == "users" else f"null::varchar as {USER_ID}"
    none = count_rows(connection, f"staged_{table} where {REASON} is not null") == 0
    collect_unparsable(connection, table)
    # the source's own words are read only where they are needed: in a second look
    connection.execute(
        f"""create or replace table rejected_{table} as
            select source.{RAW}, staged.{REASON}, {user}
            from (select *, row_number() over () as position from deliverable_{table}
                  {"limit 0" if none else ""}) as source
            join staged_{table} as staged using (position)
            where staged.{REASON} is not null
            union all by name select {RAW}, {REASON} from {table}_unparsable"""
    )
    connection.execute(f"drop table staged_{table}")


def entities_of_events(connection: duckdb.DuckDBPyConnection, table: str, earlier: str | None) -> None:
    """Without a source, whoever has an event is a user, and whatever has one an item.

    `earlier` is a relation of the entities known before, where there are such.
    """
    key = ENTITY_KEYS[table]
    before = f" union select {key} from {earlier}" if earlier else ""
    connection.execute(
        f"""create or replace table kept_{table} as
            select distinct {key} from (select {key} from kept_events{before}) order by {key}"""
    )
    connection.execute(
        f"""create or replace table rejected_{table} as
            select null::varchar as {RAW}, null::varchar as {REASON}, null::varchar as {USER_ID} where false"""
    )
