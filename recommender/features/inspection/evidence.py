"""One user's or item's values at a night and where they come from: the rows and events behind each.

`recommender features --user U --item I` prints it. Values of a person are in here: it is for whoever asks for that one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd

from recommender.columns import CATEGORY, CREATOR, EVENT_TIMESTAMP, ITEM_ID, TS
from recommender.config.profile import Profile
from recommender.data.dataset import night_end
from recommender.data.events import known_events
from recommender.data.session import working_database
from recommender.errors import NotReadyError, first_line
from recommender.features.definitions import (
    Feature,
    affinity_table,
    columns_behind,
    declared_features,
    feature_tables,
    is_affinity,
    pair_inputs,
    table_of,
)
from recommender.features.inspection import counts_events, snapshot_night, source_of
from recommender.features.measures import KEYS, Entity
from recommender.features.pairs import pair_values
from recommender.features.provenance import built_versions, known_to
from recommender.storage.duckdb_sql import column_types, quoted
from recommender.storage.lake import Lake, parquet

if TYPE_CHECKING:
    from feast import FeatureStore

Value = float | str | list[str] | list[float] | None

_CREATOR_FAMILY = "creator_events"
_RELEASE_FAMILY = "is_new_release"
"""Its window is for the first event there is: all events are behind it."""


@dataclass(frozen=True)
class Explained:
    """One value and what it was made of."""

    feature: Feature
    value: Value
    """None where it is missing."""
    source: str
    outdated: bool = False
    """True where the snapshot was made by another definition, or lacks the feature."""
    events: int | None = None
    """Behind a measure: those of its window whose item has what it reads, for a release all; None for what no events
    are behind."""
    first: datetime | None = None
    last: datetime | None = None
    """The oldest and the newest of them, UTC."""
    taken_from: date | None = None
    """Night of the users or items table that says an attribute."""
    inputs: tuple[tuple[str, Value], ...] = ()
    """What a pair feature is computed from or looked up by."""


@dataclass(frozen=True)
class Explanation:
    """The values of one user, one item, or of the two together."""

    table: str
    night: date
    """Of the snapshot: the last one up to the night that was asked for."""
    instant: datetime
    """What it stands for, UTC: it knows what happened before."""
    values: tuple[Explained, ...]
    online_instant: datetime | None = None
    """What the online store's values stand for, UTC; None where it was not asked or holds nothing."""
    online: Mapping[str, Value] = field(default_factory=dict)

    @property
    def differing(self) -> list[str]:
        """Names of the features of which the online store holds another value for the same instant."""
        if self.online_instant != self.instant:
            return []
        return [one.feature.name for one in self.values if self.online.get(one.feature.name) != one.value]


def explain(lake: Lake, profile: Profile, entity: Entity, entity_id: str, ds: date | None = None) -> Explanation:
    """A user's or item's values in the last snapshot up to `ds`, each with what is behind it.

    Raises
    ------
    NotReadyError
        There is no such snapshot, or it has no such user or item.
    """
    table = feature_tables(profile)[table_of(entity)]
    night = _night(lake, table.name, ds)
    known = known_to(lake, table.name, night)
    built = built_versions(lake, table.name, night) or {}
    with working_database(profile.engine) as connection:
        row = _row_of(connection, parquet([lake.path(table.name, night)]), {KEYS[entity]: entity_id})
        if row is None:
            whom = "no such user" if entity == "user" else f"no item {entity_id!r}"
            raise NotReadyError(
                f"the snapshot of {table.name} of {night} has {whom}; what is new joins with the next night"
            )
        _own_events(connection, lake, entity, entity_id, known, night)
        taken_from = date.fromisoformat(lake.latest(f"{entity}s", known).parent.name.removeprefix("ds="))
        values = []
        for feature in table.features:
            outdated = built.get(feature.name) != feature.version
            value = Explained(feature, _plain(row.get(feature.name)), source_of(profile, feature), outdated)
            if counts_events(feature):
                values.append(_with_events(connection, value, night))
            else:
                values.append(replace(value, taken_from=taken_from))
    return Explanation(table.name, night, row[EVENT_TIMESTAMP], tuple(values))


def explain_pair(
    lake: Lake, profile: Profile, user_id: str, item_id: str, user: Explanation, item: Explanation
) -> Explanation:
    """The pair features of a user and an item that `explain` has explained, asked for at the user's instant."""
    pairs = declared_features(profile, "pair")
    night = user.night
    known = known_to(lake, user.table, night)
    values = []
    with working_database(profile.engine) as connection:
        rows: dict[Entity, dict[str, Any]] = {}
        ids: dict[Entity, str] = {"user": user_id, "item": item_id}
        for entity, entity_id in ids.items():
            relation = parquet([lake.latest(f"{entity}s", known)])
            rows[entity] = _row_of(connection, relation, {KEYS[entity]: entity_id}) or {}
        for pair in pairs:
            if is_affinity(pair):
                keys = {str(pair.of): rows["user"].get(str(pair.of)), CATEGORY: _first(rows["item"].get(CATEGORY))}
                table = affinity_table(str(pair.of))
                found = _row_of(connection, parquet([lake.path(table, _night(lake, table, night))]), keys) or {}
                inputs: tuple[tuple[str, Value], ...] = tuple(keys.items())
                values.append(Explained(pair, _plain(found.get(pair.name)), source_of(profile, pair), inputs=inputs))
            else:
                values.append(_computed(profile, pair, user, item))
    return Explanation("pairs", night, user.instant, tuple(values))


def with_online(store: "FeatureStore", profile: Profile, entity_id: str, explanation: Explanation) -> Explanation:
    """The explanation of a user or an item with what the online store holds of it.

    Raises
    ------
    NotReadyError
        The store's registry doesn't have the table as the profile declares it.
    """
    from feast.errors import FeastError  # its import takes seconds

    table = feature_tables(profile)[explanation.table]
    names = [feature.name for feature in table.features]
    references = [f"{table.name}:{name}" for name in names]
    try:
        answer = store.get_online_features(references, [{table.keys[0]: entity_id}]).to_dict(True)
    except (FeastError, KeyError, ValueError) as error:
        raise NotReadyError(f"the online store does not hold {table.name} as declared ({first_line(error)})") from None
    seconds = max((int(answer[f"{name}__ts"][0]) for name in names), default=0)
    if seconds <= 0:
        return explanation
    instant = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return replace(explanation, online_instant=instant, online={name: _plain(answer[name][0]) for name in names})


def _computed(profile: Profile, pair: Feature, user: Explanation, item: Explanation) -> Explained:
    """By the code that computes it for training and ranking."""
    values = {(side.table, value.feature.name): value.value for side in (user, item) for value in side.values}
    inputs = [(one, values.get((table_of(one.entity), one.name))) for one in pair_inputs(profile, pair)]  # type: ignore[arg-type]
    frames = [
        pd.DataFrame({one.name: [value] for one, value in inputs if one.entity == entity}, index=[0], dtype="float64")
        for entity in KEYS
    ]
    instant = pd.Series([user.instant])
    result = pair_values([pair], frames[0], frames[1], instant)[pair.name].iloc[0]
    shown: list[tuple[str, Value]] = [(f"{one.entity}'s {one.name}", value) for one, value in inputs]
    return Explained(
        pair,
        _plain(result),
        source_of(profile, pair),
        inputs=tuple(shown or [("asked at", f"{user.instant:%Y-%m-%d %H:%M}")]),
    )


def _night(lake: Lake, table: str, ds: date | None) -> date:
    night = snapshot_night(lake, table, ds)
    if night is None:
        raise NotReadyError(f"the lake has no snapshot of {table}: run `recommender run features --ds …` first")
    return night


def _own_events(
    connection: duckdb.DuckDBPyConnection, lake: Lake, entity: Entity, entity_id: str, known: date, night: date
) -> None:
    """Table `own`: the entity's events with the columns of their items, and for an item those of its creator's."""
    items = parquet([lake.latest("items", known)])
    types = column_types(connection, items)
    own = f"event.{KEYS[entity]} = ?"
    condition, parameters = own, [entity_id]
    if entity == "item" and CREATOR in types:
        creator = f"{CREATOR}[1]" if types[CREATOR].endswith("[]") else CREATOR
        same = f"select {ITEM_ID} from {items} where {creator} = (select {creator} from {items} where {ITEM_ID} = ?)"
        condition, parameters = f"({own} or event.{ITEM_ID} in ({same}))", [entity_id, entity_id]
    connection.execute(
        f"""create table own as
            select item.*, event.{TS}, {own} as is_own
            from {known_events(lake, known)} as event join {items} as item using ({ITEM_ID})
            where {condition} and event.{TS} < ?""",
        [entity_id, *parameters, night_end(night).replace(tzinfo=None)],
    )


def _with_events(connection: duckdb.DuckDBPyConnection, value: Explained, night: date) -> Explained:
    feature = value.feature
    types = column_types(connection, "own")
    conditions, parameters = [], []
    if feature.family != _CREATOR_FAMILY:
        conditions.append("is_own")
    for column in columns_behind(feature):
        if column not in types:
            conditions.append("false")
        elif types[column].endswith("[]"):
            conditions.append(f"len({quoted(column)}) > 0")
        else:
            conditions.append(f"{quoted(column)} is not null")
    if feature.window_days is not None and feature.family != _RELEASE_FAMILY:
        conditions.append(f"{TS} >= ?")
        parameters.append(night_end(night).replace(tzinfo=None) - timedelta(days=feature.window_days))
    where = f"where {' and '.join(conditions)}" if conditions else ""
    [(events, first, last)] = connection.execute(
        f"select count(*), min({TS}), max({TS}) from own {where}", parameters
    ).fetchall()
    return replace(value, events=int(events), first=first, last=last)


def _row_of(connection: duckdb.DuckDBPyConnection, relation: str, keys: dict[str, Any]) -> dict[str, Any] | None:
    """The one row with these keys, by column; None where there is none."""
    where = " and ".join(f"{quoted(name)} = ?" for name in keys)
    cursor = connection.execute(f"select * from {relation} where {where}", list(keys.values()))
    names: Sequence[str] = [column[0] for column in cursor.description or ()]
    row = cursor.fetchone()
    return None if row is None else dict(zip(names, row, strict=True))


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, list) else value


def _plain(value: Any) -> Value:
    """As Python has it; NaN is missing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return list(value)
    number = float(value)
    return None if math.isnan(number) else number
