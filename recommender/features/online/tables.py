"""The PostgreSQL table of a feature view: one row an entity, one typed column a feature.

    user_id text primary key | event_timestamp timestamptz | events_7d real | country text | categories text[]

The table's comment is the newest `event_timestamp` of the materialization that it holds.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Self

import psycopg
from feast import FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import FeastType, Int32, Int64, String, Uuid
from psycopg import errors, sql

from recommender.columns import EVENT_TIMESTAMP
from recommender.errors import ConfigError, DatabaseError
from recommender.features.online.columns import OnlineColumn
from recommender.storage.copy_arrow import TIMESTAMP, postgres_type

SCHEMA = "feast"
_FRESH, _KEY = "_fresh", "_key"
_NAME_BYTES = 63
"""PostgreSQL cuts longer names without an error."""
_KEY_TYPES: tuple[FeastType, ...] = (String, Int32, Int64, Uuid)
"""Types whose text is the same from Arrow and from Feast's protos."""


@dataclass(frozen=True)
class OnlineTable:
    """Names and statements of a view's table."""

    name: str
    keys: tuple[str, ...]
    """Join keys, which are columns of text."""
    columns: tuple[OnlineColumn, ...]

    @classmethod
    def of(cls, project: str, view: FeatureView) -> Self:
        """
        Raises
        ------
        ConfigError
            A join key or a feature is of a type, or under a name, that this store can't keep.
        """
        keys = tuple((key.name, key.dtype) for key in view.entity_columns)
        # where an entity isn't registered Feast takes its key, if the schema has it, for a feature too
        features = tuple((field.name, field.dtype) for field in view.features if field.name not in dict(keys))
        return cls._declared(project, view.name, keys, features)

    @classmethod
    @lru_cache(maxsize=1000)
    def _declared(
        cls,
        project: str,
        view: str,
        keys: tuple[tuple[str, FeastType], ...],
        features: tuple[tuple[str, FeastType], ...],
    ) -> Self:
        for key, dtype in keys:
            if dtype not in _KEY_TYPES:
                raise ConfigError(f"feature view {view}: the online store takes no join key of type {dtype} ({key})")
        if EVENT_TIMESTAMP in dict(features):
            raise ConfigError(f"feature view {view}: the online store takes no feature named {EVENT_TIMESTAMP}")
        return cls(
            table_name(project, view),
            tuple(sorted(key for key, _ in keys)),
            tuple(OnlineColumn(feature, _fitting(feature, _NAME_BYTES), dtype) for feature, dtype in features),
        )

    @cached_property
    def fresh(self) -> "OnlineTable":
        """The table that is filled while this one is read."""
        return OnlineTable(self.name + _FRESH, self.keys, self.columns)

    @cached_property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, self.name)

    @property
    def key_name(self) -> str:
        """Of the primary key and its index."""
        return self.name + _KEY

    @cached_property
    def types(self) -> dict[str, str]:
        """PostgreSQL's type by column: the keys, the timestamp, the features."""
        fixed = dict.fromkeys(self._key_columns, "text") | {EVENT_TIMESTAMP: postgres_type(TIMESTAMP)}
        return fixed | {column.name: column.postgres_type for column in self.columns}

    def create(self) -> sql.Composed:
        """Without its key, which is faster to build once the rows are there."""
        columns = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in self.types.items()]
        return sql.SQL("create table {} ({})").format(self.identifier, _listed(columns))

    def add_key(self) -> sql.Composed:
        return sql.SQL("alter table {} add constraint {} primary key ({}), alter {} set not null").format(
            self.identifier, sql.Identifier(self.key_name), self._key_list, sql.Identifier(EVENT_TIMESTAMP)
        )

    def drop(self) -> sql.Composed:
        return sql.SQL("drop table if exists {}").format(self.identifier)

    def reading(self, features: tuple[str, ...] | None) -> tuple[bytes, list[OnlineColumn]]:
        """The query for these features, or all, and their columns, which follow the timestamp in its rows.

        It takes an array of texts a join key and answers a row an entity, in their order, NULLs for an absent one.
        """
        if features not in self._readings:
            self._readings[features] = self._reading(features)
        return self._readings[features]

    def _reading(self, features: tuple[str, ...] | None) -> tuple[bytes, list[OnlineColumn]]:
        columns = [column for column in self.columns if features is None or column.feature in features]
        names = [sql.Identifier("found", name) for name in (EVENT_TIMESTAMP, *(column.name for column in columns))]
        query = sql.SQL(
            "select {} from unnest({}) with ordinality as asked ({}, n) left join {} as found using ({}) order by n"
        ).format(
            _listed(names),
            _listed([sql.SQL("%s::text[]")] * len(self.keys)),
            self._key_list,
            self.identifier,
            self._key_list,
        )
        return query.as_bytes(None), columns

    def upsert(self, columns: Sequence[OnlineColumn]) -> sql.Composed:
        """Write the keys, the timestamp and these columns, unless the row that is there is newer."""
        names = [*self._key_columns, EVENT_TIMESTAMP, *(column.name for column in columns)]
        values = [sql.SQL("%s::{}").format(sql.SQL(self.types[name])) for name in names]
        updates = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names[len(self.keys) :]]
        return sql.SQL(
            "insert into {} as held ({}) values ({}) on conflict ({}) do update set {} where held.{m} <= excluded.{m}"
        ).format(
            self.identifier,
            _listed([sql.Identifier(name) for name in names]),
            _listed(values),
            self._key_list,
            _listed(updates),
            m=sql.Identifier(EVENT_TIMESTAMP),
        )

    def key_texts(self, entities: Sequence[EntityKey]) -> list[list[str | None]]:
        """The entities' values, a list a join key; None for what no text of PostgreSQL's can be."""
        rows = [dict(zip(entity.join_keys, entity.entity_values, strict=True)) for entity in entities]
        return [[_text(row[key]) for row in rows] for key in self.keys]

    @cached_property
    def _readings(self) -> dict[tuple[str, ...] | None, tuple[bytes, list[OnlineColumn]]]:
        return {}

    @cached_property
    def _key_columns(self) -> list[str]:
        return [_fitting(key, _NAME_BYTES) for key in self.keys]

    @cached_property
    def _key_list(self) -> sql.Composed:
        return _listed([sql.Identifier(name) for name in self._key_columns])


def table_name(project: str, view: str) -> str:
    return _fitting(f"{project}_{view}", _NAME_BYTES - len(_FRESH + _KEY))


def connect(url: str) -> psycopg.Connection:
    """A connection in autocommit mode.

    Raises
    ------
    DatabaseError
        PostgreSQL can't be reached.
    """
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="recommender feast")
        # a look-up is planned once: planning takes longer than reading a row
        connection.execute("set timezone to 'UTC'; set plan_cache_mode to force_generic_plan")
        return connection
    except psycopg.OperationalError as error:
        raise DatabaseError(f"cannot reach PostgreSQL for the feature store: {' '.join(str(error).split())}") from None


def ensure_schema(connection: psycopg.Connection) -> None:
    """Create the schema where it is absent; where it is there, the role needs no right to create one.

    Raises
    ------
    DatabaseError
        It is absent, and the role may not create it.
    """
    if connection.execute("select to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
        try:
            connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))
        except errors.InsufficientPrivilege:
            role, database = connection.info.user, connection.info.dbname
            raise DatabaseError(
                f"{role} may not create the schema {SCHEMA} in {database}: "
                f"as its owner run `create schema {SCHEMA} authorization {role}`"
            ) from None


def newest_materialized(connection: psycopg.Connection, table: OnlineTable) -> datetime | None:
    """The newest `event_timestamp` of the materialization that the table holds; None where there was none."""
    held = connection.execute("select obj_description(to_regclass(%s), 'pg_class')", [_written(table)]).fetchone()
    return datetime.fromisoformat(held[0]) if held and held[0] else None


def conform(connection: psycopg.Connection, table: OnlineTable) -> None:
    """Create the table, or alter it to what the view declares; features that stay as they were keep their values.

    A table with other keys, or in another store's form, is replaced by an empty one.
    """
    existing: dict[str, str] = dict(
        connection.execute(
            """select attname, format_type(atttypid, atttypmod) from pg_attribute
               where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped""",
            [_written(table)],
        ).fetchall()
    )
    keys = connection.execute(
        """select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
           where indrelid = to_regclass(%s) and indisprimary""",
        [_written(table)],
    ).fetchall()
    wanted = table.types
    fixed = list(wanted)[: len(table.keys) + 1]
    if {*fixed} != {EVENT_TIMESTAMP, *(key for (key,) in keys)} or any(existing[c] != wanted[c] for c in fixed):
        for statement in (table.drop(), table.create(), table.add_key()):
            connection.execute(statement)
        return
    dropped = [name for name, kind in existing.items() if wanted.get(name) != kind]
    added = [name for name, kind in wanted.items() if existing.get(name) != kind]
    changes = [sql.SQL("drop column {}").format(sql.Identifier(name)) for name in dropped]
    changes += [sql.SQL("add column {} {}").format(sql.Identifier(name), sql.SQL(wanted[name])) for name in added]
    if changes:
        connection.execute(sql.SQL("alter table {} {}").format(table.identifier, _listed(changes)))


def lock(connection: psycopg.Connection, table: OnlineTable) -> None:
    """Wait until nobody else changes the table; held until the connection is closed. Readers take no lock."""
    connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [f"{SCHEMA}.{table.name}"])


def _written(table: OnlineTable) -> str:
    return table.identifier.as_string(None)


def _listed(pieces: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(pieces)


def _fitting(name: str, limit: int) -> str:
    """The name, or as much of it as fits in front of a digest of the whole."""
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    digest = "_" + hashlib.sha256(encoded).hexdigest()[:12]
    return encoded[: limit - len(digest)].decode(errors="ignore") + digest


def _text(value: Value) -> str | None:
    field = value.WhichOneof("val")
    text = "" if field is None else str(getattr(value, field))
    return None if field is None or "\0" in text else text
