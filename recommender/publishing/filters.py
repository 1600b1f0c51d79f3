"""Business filters: which items may be recommended to whom, by the SQL conditions of `publish.filters`.

found = allowed(profile.publish.filters, users, items, dataset)
found.everybody                      # (items,) what the conditions over items alone leave
found.mask(found.groups[7])          # (items,) what may be recommended to user 7 of the data set
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.columns import AGE, AGE_BAND, ITEM_ID, USER_ID, ColumnType
from recommender.config.conditions import NIGHT, USERS, Condition, parse
from recommender.config.profile import Engine, Profile
from recommender.config.source import Source
from recommender.data.dataset import Dataset
from recommender.data.session import working_database
from recommender.errors import ConfigError
from recommender.storage.duckdb_sql import column_types, count_rows, literal, one_line, quoted

MOST_GROUPS = 10_000
"""Combinations of users' values that may be told apart."""
_JUDGED = 1 << 23
"""Pairs of a group and an item that are judged at one time."""
_TYPES: dict[ColumnType, str] = {
    "text": "varchar",
    "number": "float",
    "integer": "bigint",
    "time": "timestamptz",
    "list": "varchar[]",
}

_ITEM, _GROUP = "item", "user_group"
_PLACE, _NUMBER = "place_of_item", "number_of_group"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Allowed:
    """What may be recommended. Users for whom the same items are left share a group."""

    everybody: Mask
    """(items,) True where no condition over items alone keeps the item from everybody."""
    groups: npt.NDArray[np.int32]
    """(users,) the group of each user of the data set."""
    unknown: int
    """The group of a user of whom nothing is known."""
    packed: npt.NDArray[np.uint8]
    """(groups, items / 8) the masks, as `numpy.packbits` has them: 10,000 groups of 100,000 items are 125 MB."""

    def mask(self, group: int | np.integer) -> Mask:
        """(items,) True where the item may be recommended to users of a group."""
        return np.unpackbits(self.packed[group], count=len(self.everybody)).view(np.bool_)

    @property
    def starved(self) -> int:
        """Users for whom no item is left."""
        fed = np.any(self.packed, axis=1, keepdims=True)[:, 0]
        return int((~fed[self.groups]).sum())


def allowed(
    filters: Sequence[str], users: Path, items: Path, dataset: Dataset, engine: Engine | None = None
) -> Allowed | None:
    """What the filters leave to each user of a data set; None without filters.

    A condition that is null is not true: the item is left out. `users` and `items` are the lake's tables of the night.

    Raises
    ------
    ConfigError
        A filter names a column that a table lacks, can't be evaluated, or leaves no item to anybody; or users' values
        come in more combinations than are told apart.
    """
    conditions = [parse(text) for text in filters]
    if not conditions:
        return None
    with working_database(engine or Engine()) as connection:
        item_types, user_types = (column_types(connection, _parquet(file)) for file in (items, users))
        _refuse_unknown(conditions, item_types, user_types)
        _load(connection, _ITEM, ITEM_ID, dataset.item_ids, items, _used(item_types, (c.columns for c in conditions)))
        columns = _used(user_types, (c.user_columns for c in conditions))
        _load(connection, "person", USER_ID, dataset.user_ids, users, columns)
        groups = _group(connection, columns)
        connection.execute("set enable_external_access = false")
        return _judge(connection, conditions, columns, groups, dataset)


def check_filters(profile: Profile) -> list[str]:
    """What is wrong with a profile's filters, told from its columns and their types alone; empty when nothing is."""
    conditions = [parse(text) for text in profile.publish.filters]
    item_types = _declared(profile.items, ITEM_ID)
    user_types = _declared(profile.users, USER_ID)
    if AGE in user_types:
        user_types = {AGE_BAND: "varchar"} | user_types
    try:
        _refuse_unknown(conditions, item_types, user_types)
    except ConfigError as error:
        return [str(error)]
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        for table, types in ((_ITEM, {_PLACE: "bigint"} | item_types), (_GROUP, {_NUMBER: "bigint"} | user_types)):
            connection.execute(f"create temp table {table} ({', '.join(f'{quoted(n)} {t}' for n, t in types.items())})")
        for number, condition in enumerate(conditions):
            try:
                _true(connection, number, condition, list(user_types), date.min)
            except ConfigError as error:
                return [str(error)]
    return []


def _declared(source: Source | None, key: str) -> dict[str, str]:
    names = [] if source is None else [name for name in source.columns if name != key]
    return {key: "varchar"} | {name: _TYPES[source.type_of(name)] for name in names if source is not None}


def _refuse_unknown(conditions: Sequence[Condition], items: Mapping[str, str], users: Mapping[str, str]) -> None:
    for number, condition in enumerate(conditions):
        for name in condition.columns:
            if _lower(name) not in map(_lower, (*items, NIGHT)):
                theirs = _lower(name) in map(_lower, users)
                raise _unknown(number, "items", name, items, f"the user's own is {USERS}.{name}" if theirs else None)
        for name in condition.user_columns:
            if _lower(name) not in map(_lower, users):
                raise _unknown(number, "users", name, users)


def _unknown(number: int, table: str, name: str, known: Iterable[str], hint: str | None = None) -> ConfigError:
    near = difflib.get_close_matches(_lower(name), {_lower(other): other for other in known}, n=1)
    hint = hint or (f"did you mean {near[0]!r}?" if near else f"name one of theirs, or map {name!r} in {table}.columns")
    return ConfigError(
        f"{_where(number)}: the {table} have no column {name!r}; {hint} (their columns: {', '.join(sorted(known))})"
    )


def _lower(name: str) -> str:
    """SQL doesn't tell capitals from small letters."""
    return name.lower()


def _where(number: int) -> str:
    return f"publish.filters.{number}"


def _parquet(file: Path) -> str:
    return f"read_parquet({literal(str(file))})"


def _used(types: Mapping[str, str], named: Iterable[Iterable[str]]) -> list[str]:
    """The columns of a table that are named at all."""
    names = {_lower(name) for part in named for name in part}
    return [name for name in types if _lower(name) in names]


def _load(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    key: str,
    ids: npt.NDArray[np.object_],
    file: Path,
    columns: Sequence[str],
) -> None:
    """A table of the lake in the order of `ids`, with the columns that filters name; what it lacks is null."""
    connection.register("ids", pa.table({key: pa.array(ids, pa.string()), _PLACE: np.arange(len(ids))}))
    names = ", ".join(map(quoted, [_PLACE, *columns]))
    connection.execute(
        f"create temp table {table} as select {names} from ids left join {_parquet(file)} using ({quoted(key)})"
    )
    connection.unregister("ids")


def _group(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> npt.NDArray[np.int64]:
    """(users + 1,) which combination of the columns each user has; that of nobody's comes first."""
    names = ", ".join(map(quoted, columns))
    ranked = f"dense_rank() over (order by {names}) - 1" if columns else "0"
    connection.execute(
        f"create temp table grouped as select *, {ranked} as {_NUMBER} "
        f"from (from person union all by name select -1 as {_PLACE})"
    )
    selected = ", ".join(map(quoted, [_NUMBER, *columns]))
    connection.execute(f"create temp table {_GROUP} as select distinct {selected} from grouped")
    if (combinations := count_rows(connection, _GROUP)) > MOST_GROUPS:
        raise ConfigError(
            f"publish.filters: the users' {', '.join(columns)} come in {combinations:,} combinations, at most "
            f"{MOST_GROUPS:,} are told apart: name columns with fewer values, such as age_band in place of age"
        )
    groups = connection.execute(f"select {_NUMBER} from grouped order by {_PLACE}").fetchnumpy()[_NUMBER]
    return np.asarray(groups, np.int64)


def _judge(
    connection: duckdb.DuckDBPyConnection,
    conditions: Sequence[Condition],
    columns: Sequence[str],
    groups: npt.NDArray[np.int64],
    dataset: Dataset,
) -> Allowed:
    """The masks of every combination; those that leave the same items become one."""
    everybody = np.ones(len(dataset.item_ids), bool)
    personal = []
    for number, condition in enumerate(conditions):
        if condition.user_columns:
            personal.append(number)
            continue
        _, places = _true(connection, number, condition, (), dataset.ds)
        if len(places) == 0:
            raise ConfigError(f"{_where(number)}: {condition.text!r} leaves none of {len(everybody):,} items")
        everybody &= np.bincount(places, minlength=len(everybody)) > 0
    codes: dict[bytes, int] = {}
    of_combination = np.zeros(groups.max() + 1, np.int32)
    left = dict.fromkeys(personal, False)
    block = max(1, _JUDGED // max(1, len(everybody)))
    for start in range(0, len(of_combination), block):
        stop = min(start + block, len(of_combination))
        masks = np.tile(everybody, (stop - start, 1))
        for number in personal:
            found = np.zeros_like(masks)
            numbers, places = _true(connection, number, conditions[number], columns, dataset.ds, start, stop)
            found[numbers - start, places] = True
            left[number] |= len(places) > 0
            masks &= found
        for combination, packed in enumerate(np.packbits(masks, axis=1), start):
            of_combination[combination] = codes.setdefault(packed.tobytes(), len(codes))
    for number in personal:
        if not left[number]:
            raise ConfigError(f"{_where(number)}: {conditions[number].text!r} leaves no item to any user")
    packed = np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1)
    if not packed.any():
        raise ConfigError(f"publish.filters: each leaves items, all {len(conditions)} together leave none")
    of_user = of_combination[groups]
    return Allowed(everybody, of_user[1:], int(of_user[0]), packed)


def _true(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    condition: Condition,
    columns: Sequence[str],
    ds: date,
    start: int = 0,
    stop: int = 1,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Combinations from `start` to before `stop` and places of items for which a condition is true."""
    try:
        found = connection.execute(_statement(connection, condition, columns, ds), [start, stop]).fetchnumpy()
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise ConfigError(f"{_where(number)}: {condition.text!r}: {one_line(error)}") from None
    except duckdb.Error as error:  # what it says may repeat a user's value
        said = f"{type(error).__name__} for some user" if condition.user_columns else one_line(error)
        raise ConfigError(f"{_where(number)}: {condition.text!r}: {said}") from None
    return np.asarray(found[_NUMBER], np.int64), np.asarray(found[_PLACE], np.int64)


def _statement(connection: duckdb.DuckDBPyConnection, condition: Condition, columns: Sequence[str], ds: date) -> str:
    """What the condition is true of; it sees the items' columns, the user's as `users.<column>`, and the night."""
    values = ", ".join(f"{quoted(name)}: {quoted(name)}" for name in columns)
    users = f"select {_NUMBER}, {{{values}}} as {USERS} from {_GROUP}" if columns else f"select 0 as {_NUMBER}"
    night = "" if NIGHT in map(_lower, column_types(connection, _ITEM)) else f", date '{ds}' as {NIGHT}"
    return (
        f"select {_NUMBER}, {_PLACE} from (select *{night} from {_ITEM} cross join ({users})) as items "
        f"where {_NUMBER} >= ? and {_NUMBER} < ? and cast(({condition.text}\n) as boolean)"
    )
