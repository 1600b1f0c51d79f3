"""A source's rows with its side tables beside them: the views that expressions are evaluated over."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path

import duckdb

from recommender.config.source import Join, Origin, Source
from recommender.data.sources.mapping import key_text, missing_columns
from recommender.data.sources.readers import LINE, read_files
from recommender.data.sources.sql_source import read_database
from recommender.data.sources.unparsable import remember_readings
from recommender.errors import SourceError
from recommender.storage.duckdb_sql import one_line, quoted

_DELIMITERS = (";", "\t", "|", ",", ":", " ")
RAW_ROW = "row of the source"
"""Column with a row's own text as JSON."""
_PLACE = "place in the source"


class UnknownColumnError(SourceError):
    """An expression or a mapping names a column that the source lacks, or that the sampled rows lack."""


class RelationOpener:
    """Makes the views of one table and of its side tables."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, table: str, profile: str, data: Path, sample: int | None
    ) -> None:
        self.connection = connection
        self.table = table
        self.profile = profile
        self.data = data
        self.sample = sample
        self.sampled = False
        """Whether a sample of rows told which columns there are."""

    def open(self, origin: Origin, name: str, key: str) -> None:
        """Create views `<name>_rows`, `<name>_source` and `<name>_joined`; `key` is the origin's place in the profile.

        Raises
        ------
        SourceError
            The origin or one of its side tables can't be read, or an expression of a side table doesn't fit.
        """
        if origin.database is not None:
            relation = read_database(self.connection, origin, name, f"{key}.database of profile {self.profile}")
        else:
            relation = self._files(origin, name, key)
        limit = f" limit {origin.limit}" if origin.limit is not None else ""
        self._view(f"{name}_rows", f"select * from {relation}{limit}", f"cannot read {self.place(origin)}", key)
        columns = self.types(f"select * from {name}_rows")
        line, raw, place = quoted(LINE), quoted(RAW_ROW), quoted(_PLACE)
        bare, row = (f" exclude ({line})", line) if LINE in columns else ("", "cast(to_json(own) as varchar)")
        nested = self._nested(origin, f"{name}_rows", columns)
        self._view(f"{name}_source", f"select *{bare}{nested} from {name}_rows", key, key)
        # a join may give rows in any order; only events are used without regard to it
        ordered = bool(origin.joins) and name != "events"
        number = f", row_number() over () as {place}" if ordered else ""
        joined = f"(select *{bare}, {row} as {raw}{number} from {name}_rows as own) as own"
        structs = ""
        for join in origin.joins:
            where = f"{key}.joins.{join.name}"
            if join.name.lower() in {column.lower() for column in columns}:
                raise SourceError(f"{where}: the source has a column {join.name!r} itself; name the join otherwise")
            side = f"{name}__{join.name}"
            self.open(join, side, where)
            conditions = self._group(join, side, where, joined)
            joined = f"{joined} left join {side} on {conditions}"
            structs += f", {side}.{quoted(join.name)}"
        hidden, order = (f" exclude ({place})", f" order by own.{place}") if ordered else ("", "")
        self._view(f"{name}_joined", f"select own.*{hidden}{nested}{structs} from {joined}{order}", f"{key}.joins", key)

    def types(self, query: str) -> dict[str, str]:
        """The DuckDB type of each column of a query."""
        return {row[0]: row[1] for row in self.connection.execute(f"describe {query}").fetchall()}

    def place(self, origin: Origin) -> str:
        """Where an origin is, for messages."""
        local = origin.path is not None and "://" not in origin.path
        return str(self.data / origin.place) if local else origin.place

    def unknown(self, origin: Origin, column: str, available: Mapping[str, str], key: str) -> UnknownColumnError:
        """That a column doesn't exist, with what it could be instead."""
        shown = [name for name in available if name != RAW_ROW]
        near = difflib.get_close_matches(column, shown, n=1)
        other = next((mark for mark in _DELIMITERS if len(shown) == 1 and mark in shown[0]), None)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(shown)}"
        if other is not None:
            hint = f"its header is one name, {shown[0]!r}: say `delimiter: {json.dumps(other)}`"
        return UnknownColumnError(
            f"{self.place(origin)} has no column {column!r} ({key} of profile {self.profile}); {hint}"
        )

    def expression_types(self, expressions: Mapping[str, str], relation: str) -> dict[str, str]:
        """The DuckDB types of expressions over a relation, by their keys in the profile.

        Raises
        ------
        UnknownColumnError
            One doesn't fit the relation's columns; its key is named.
        """
        listed = ", ".join(f"{expression} as c{number}" for number, expression in enumerate(expressions.values()))
        try:
            return dict(zip(expressions, self.types(f"select {listed} from {relation}").values(), strict=True))
        except duckdb.Error as together:
            for key, expression in expressions.items():
                try:
                    self.types(f"select {expression} from {relation}")
                except duckdb.Error as error:
                    raise UnknownColumnError(f"profile {self.profile}, {key}: {one_line(error)}") from None
            raise SourceError(f"profile {self.profile}: {one_line(together)}") from None

    def _nested(self, origin: Origin, rows: str, columns: Mapping[str, str]) -> str:
        """Further columns for a select: the mapped ones that lie inside others, such as `user.id`."""
        wanted = set(missing_columns(origin, columns).values()) if isinstance(origin, Source) else set()
        paths = {name: ".".join(map(quoted, name.split("."))) for name in sorted(wanted) if "." in name}
        return "".join(f", {path} as {quoted(name)}" for name, path in paths.items() if self._fits(path, rows))

    def _fits(self, expression: str, relation: str) -> bool:
        try:
            self.types(f"select {expression} from {relation}")
        except duckdb.Error:
            return False
        return True

    def _files(self, origin: Origin, name: str, key: str) -> str:
        where = f"{key}.path of profile {self.profile}"
        try:
            relation, readings = read_files(self.connection, origin, name, self.data, where, self.sample)
        except duckdb.Error as error:
            raise SourceError(f"cannot read {self.place(origin)}: {one_line(error)} ({where})") from None
        self.sampled |= readings[0].format == "jsonl" and self.sample is not None
        remember_readings(self.connection, self.table, readings, limited=origin.limit is not None)
        return relation

    def _group(self, join: Join, side: str, where: str, joined: str) -> str:
        """Create table `<side>`, one row a key, with a struct of the join's columns; returns the join's condition."""
        # side expressions first: `on` may name a side table's column that does not exist
        side_types = self.expression_types(
            {f"{where}.on": expression for expression in join.on.values()}
            if len(join.on) == 1
            else {f"{where}.on.{mine}": other for mine, other in join.on.items()},
            f"{side}_joined",
        )
        own_types = self.expression_types({f"{where}.on.{mine}": mine for mine in join.on}, joined)
        keys = [
            f"{key_text(f'({other})', kind)}" for other, kind in zip(join.on.values(), side_types.values(), strict=True)
        ]
        names = [quoted(f"key {number} of {join.name}") for number in range(len(keys))]
        keyed = ", ".join(f"{key} as {name}" for key, name in zip(keys, names, strict=True))
        rows = f"(select *, {keyed} from {side}_joined)"
        given = {f"{where}.columns.{column}": expression for column, expression in join.columns.items()}
        grouped = f"{rows} where {' and '.join(f'{name} is not null' for name in names)} group by {', '.join(names)}"
        self.expression_types(given, grouped)
        struct = ", ".join(f"{quoted(column)} := {expression}" for column, expression in join.columns.items())
        try:
            self.connection.execute(
                f"create or replace temp table {side} as "
                f"select {', '.join(names)}, struct_pack({struct}) as {quoted(join.name)} from {grouped}"
            )
        except duckdb.Error as error:
            raise SourceError(f"cannot read {self.place(join)}: {one_line(error)} ({where})") from None
        mine = [key_text(f"({text})", kind) for text, kind in zip(join.on, own_types.values(), strict=True)]
        return " and ".join(f"{key} = {side}.{name}" for key, name in zip(mine, names, strict=True))

    def _view(self, name: str, query: str, what: str, key: str) -> None:
        try:
            self.connection.execute(f"create or replace temp view {name} as {query}")
            self.types(f"select * from {name}")
        except duckdb.Error as error:
            raise SourceError(f"{what}: {one_line(error)} ({key} of profile {self.profile})") from None
