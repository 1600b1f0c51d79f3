"""From the lake to what a model sees: data sets at a night, point-in-time training rows, and what came after."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from recommender.columns import CATEGORY, EVENT_TIMESTAMP, ITEM_ID, TS, USER_ID, WEIGHT
from recommender.config.profile import Profile
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, Truth, night_end
from recommender.data.events import known_events
from recommender.errors import NotReadyError, TrainingError
from recommender.features.affinity_keys import affinity_keys
from recommender.features.definitions import FeatureTable, declared_features, feature_tables, table_of
from recommender.features.kcore import k_core
from recommender.features.measures import KEYS, LONGEST_WINDOW, Entity
from recommender.features.pairs import ASKED_AT, PairFeatures
from recommender.features.provenance import built_versions
from recommender.storage.lake import Lake

if TYPE_CHECKING:
    from feast import FeatureStore


def load_dataset(lake: Lake, profile: Profile, ds: date, known: date) -> Dataset:
    """The world at the end of `ds`, over the users and items listed on the night `known` (not before `ds`).

    Events of users or items that are no longer listed are left out.

    Raises
    ------
    NotReadyError
        The lake lacks the night's events or feature snapshots, or these were made by other definitions.
    """
    users = _ids(lake, "users", USER_ID, known)
    items = _ids(lake, "items", ITEM_ID, known)
    events = _listed_events(lake, known, night_end(ds - timedelta(days=LONGEST_WINDOW)), night_end(ds), users, items)
    if len(events[TS]) == 0:
        raise NotReadyError(f"the lake holds no events up to {ds}: ingest an earlier night, or choose a later ds")
    features, versions = _entity_features(lake, profile, ds, {"user": users, "item": items})
    dataset = Dataset(
        ds=ds,
        user_ids=users,
        item_ids=items,
        user=events[USER_ID],
        item=events[ITEM_ID],
        ts=events[TS],
        weight=events[WEIGHT],
        user_features=features["user"],
        item_features=features["item"],
        feature_versions=versions,
        affinity_keys=affinity_keys(lake, profile, known, users, items),
    )
    if not profile.features.pair:
        return dataset
    return replace(dataset, pairs=load_pair_features(lake, profile, dataset, night_end(ds)))


def load_pair_features(lake: Lake, profile: Profile, dataset: Dataset, asked_at: datetime) -> PairFeatures:
    """The pair features of the data set's users and items on its night, for ranking.

    Raises
    ------
    NotReadyError
        The lake lacks the night's snapshots, or these were made by other definitions.
    """
    tables = feature_tables(profile)
    affinities = {
        table.keys[0]: _snapshot(lake, table, dataset.ds)[[*table.keys, *table.versions]]
        for table in tables.values()
        if table.keys[0] not in KEYS.values()
    }
    ids: dict[Entity, np.ndarray] = {"user": dataset.user_ids, "item": dataset.item_ids}
    user, item = (
        _rows_of(_snapshot(lake, tables[table_of(entity)], dataset.ds), key, ids[entity])
        for entity, key in KEYS.items()
    )
    return PairFeatures(
        declared_features(profile, "pair"), user, item, dataset.affinity_keys, affinities, asked_at=asked_at
    )


def training_events(profile: Profile, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the training window's events inside the k-core, and of those outside.

    Raises
    ------
    TrainingError
        The window has events, but none is inside.
    """
    window = np.flatnonzero(dataset.ts >= dataset.until - profile.training.window_days * SECONDS_A_DAY)
    core = profile.preprocessing.k_core
    inside = k_core(dataset.user[window], dataset.item[window], core.users, core.items)
    if len(window) and not inside.any():
        raise TrainingError(
            f"preprocessing.k_core leaves none of {len(window):,} events: no users with {core.users} items "
            f"share items with {core.items} users; lower it, or widen training.window_days"
        )
    return window[inside], window[~inside]


def training_rows(store: "FeatureStore", profile: Profile, dataset: Dataset) -> TrainingRows:
    """Positive examples of the training window, each with the features known before it happened."""
    # Feast takes seconds to import: only training needs it
    from recommender.features.values import historical_features, historical_pair_features

    event, outside = training_events(profile, dataset)
    happened = pd.to_datetime(dataset.ts[event], unit="s", utc=True).as_unit("us")
    entity_rows = pd.DataFrame(
        {
            USER_ID: dataset.user_ids[dataset.user[event]],
            ITEM_ID: dataset.item_ids[dataset.item[event]],
            # Feast's join takes a snapshot of the very instant; this one is to be strictly before the event
            EVENT_TIMESTAMP: happened - timedelta(microseconds=1),
        }
    )
    user_features, item_features = historical_features(store, profile, entity_rows)
    rows = TrainingRows(event=event, user_features=user_features, item_features=item_features, outside=outside)
    if not profile.features.pair:
        return rows
    keys = {
        name: values[(dataset.item if name == CATEGORY else dataset.user)[event]]
        for name, values in dataset.affinity_keys.items()
    }
    pairs = historical_pair_features(store, profile, entity_rows.assign(**{ASKED_AT: happened}, **keys))
    return replace(rows, pair_features=pairs)


def truth_after(lake: Lake, dataset: Dataset, last: date, known: date) -> Truth:
    """What the data set's users chose after its `ds` up to the end of `last`, as the night `known` knows it."""
    events = _events(lake, known, night_end(dataset.ds), night_end(last))
    return truth_of(dataset, events[USER_ID], events[ITEM_ID])


def truth_of(dataset: Dataset, users: np.ndarray, items: np.ndarray) -> Truth:
    """New choices among (user id, item id) pairs: of users and items seen before, pairs not seen before."""
    user, item = _codes(users, dataset.user_ids), _codes(items, dataset.item_ids)
    listed = (user >= 0) & (item >= 0)
    user, item = user[listed], item[listed]
    warm = (np.diff(dataset.offsets)[user] > 0) & dataset.known_items[item]
    shape = dataset.seen.shape
    chosen = sparse.csr_matrix((np.ones(int(warm.sum()), np.float32), (user[warm], item[warm])), shape=shape)
    chosen.data[:] = 1.0
    new = (chosen - chosen.multiply(dataset.seen)).tocsr()
    new.eliminate_zeros()
    new.sort_indices()
    active = np.flatnonzero(np.diff(new.indptr))
    return Truth(users=active, relevant=new[active])


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of everything in a data set: the same data gives the same models."""
    digest = hashlib.sha256(dataset.ds.isoformat().encode())
    for ids in (dataset.user_ids, dataset.item_ids):
        digest.update("\0".join(ids).encode())
    for array in (dataset.user, dataset.item, dataset.ts, dataset.weight):
        digest.update(array.tobytes())
    columns = [*dataset.user_features.items(), *dataset.item_features.items()]
    for name, column in [*columns, *((key, pd.Series(values)) for key, values in dataset.affinity_keys.items())]:
        digest.update(str(name).encode() + b"\0")
        digest.update(_cells_hash(column))
    digest.update(json.dumps(dataset.feature_versions, sort_keys=True).encode())
    return digest.hexdigest()


def _cells_hash(column: pd.Series) -> bytes:
    try:
        return pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes()
    except TypeError:  # cells that are lists can't be hashed: their lengths and values can
        cells = [cell if isinstance(cell, np.ndarray | list) else None for cell in column]
        lengths = np.array([-1 if cell is None else len(cell) for cell in cells], np.int64)
        values = pd.Series(np.concatenate([np.zeros(0), *(cell for cell in cells if cell is not None and len(cell))]))
        return lengths.tobytes() + pd.util.hash_pandas_object(values, index=False).to_numpy().tobytes()


def _ids(lake: Lake, table: str, key: str, known: date) -> np.ndarray:
    ids = pd.read_parquet(lake.latest(table, known), columns=[key])[key]
    return np.sort(ids.to_numpy(object))


def _events(lake: Lake, known: date, start: datetime, end: datetime) -> dict[str, np.ndarray]:
    """User and item ids of the events in [start, end) that the night `known` knows."""
    found = duckdb.execute(f"select {USER_ID}, {ITEM_ID} from {_between(lake, known)}", [start, end]).df()
    return {name: found[name].to_numpy() for name in found.columns}


def _listed_events(
    lake: Lake, known: date, start: datetime, end: datetime, users: np.ndarray, items: np.ndarray
) -> dict[str, np.ndarray]:
    """Events of these users and items, as positions in both, seconds and weights; sorted by user, then time.

    No id of an event becomes a Python object: hundreds of millions of them would be tens of gigabytes.
    """
    with duckdb.connect() as database:
        for name, ids in (("listed_users", users), ("listed_items", items)):
            database.register(
                name, pa.table({"id": pa.array(ids, pa.string()), "n": np.arange(len(ids), dtype=np.int32)})
            )
        # item and weight last: the lake gives events in any order, and those of one second may differ in these alone
        found = database.execute(
            f"""select listed_users.n as {USER_ID}, listed_items.n as {ITEM_ID},
                       epoch_us({TS}) // 1_000_000 as {TS}, {WEIGHT}::float as {WEIGHT}
                from {_between(lake, known)} as event
                join listed_users on listed_users.id = event.{USER_ID}
                join listed_items on listed_items.id = event.{ITEM_ID}
                order by 1, 3, 2, 4""",
            [start, end],
        ).fetchnumpy()
    return {name: np.asarray(column) for name, column in found.items()}


def _between(lake: Lake, known: date) -> str:
    """SQL of the events that the night `known` knows, from one instant, a parameter, to before another."""
    return f"""(select * from {known_events(lake, known)}
                where {TS} >= ?::timestamptz at time zone 'UTC' and {TS} < ?::timestamptz at time zone 'UTC')"""


def _codes(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Position of each value in the sorted `ids`, -1 where absent."""
    codes: np.ndarray = pd.Index(ids).get_indexer(pd.Index(values, dtype=object))
    return codes


def _entity_features(
    lake: Lake, profile: Profile, ds: date, ids: Mapping[Entity, np.ndarray]
) -> tuple[dict[Entity, pd.DataFrame], dict[str, dict[str, str]]]:
    """The declared features of these users and items, and which definitions made them."""
    frames: dict[Entity, pd.DataFrame] = {}
    versions: dict[str, dict[str, str]] = {}
    for entity in KEYS:
        table, declared = feature_tables(profile)[table_of(entity)], declared_features(profile, entity)
        snapshot = _snapshot(lake, replace(table, features=tuple(declared)), ds)
        frame = _rows_of(snapshot, KEYS[entity], ids[entity])[[feature.name for feature in declared]]
        lists = [feature.name for feature in declared if feature.kind in ("categories", "vector")]
        frames[entity] = frame.assign(**{name: _lists(frame[name]) for name in lists})
        versions[entity] = {feature.name: feature.version for feature in declared}
    return frames, versions


def _snapshot(lake: Lake, table: FeatureTable, ds: date) -> pd.DataFrame:
    """The night's partition, which must be of the table's definitions."""
    built = built_versions(lake, table.name, ds)
    if built is None:
        raise NotReadyError(f"no {table.name} snapshot for {ds}: run `recommender run features` for the night first")
    changed = [name for name, version in table.versions.items() if built.get(name) != version]
    if changed:
        raise NotReadyError(
            f"the {table.name} snapshot of {ds} was made by other definitions of {', '.join(changed)}: "
            "the profile changed; run `recommender run features` again, after `run ingest` where a column is new"
        )
    return lake.read(table.name, ds)


def _rows_of(snapshot: pd.DataFrame, key: str, ids: np.ndarray) -> pd.DataFrame:
    """A row an id, in their order; one that the snapshot doesn't know has only missing values."""
    return snapshot.set_index(key).reindex(ids).reset_index(drop=True)


def _lists(column: pd.Series) -> pd.Series:
    """Cells as given, None for every kind of missing."""
    return pd.Series([cell if isinstance(cell, np.ndarray | list) else None for cell in column], dtype=object)
