"""From the lake to what a model sees: data sets at a night, point-in-time training rows, and what came after."""

import hashlib
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
from scipy import sparse

from recommender.columns import EVENT_TIMESTAMP, ITEM_ID, TS, USER_ID, WEIGHT
from recommender.config.profile import Profile
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, Truth, night_end
from recommender.data.events import known_events
from recommender.errors import NotReadyError, TrainingError
from recommender.features.definitions import KEYS, Entity, declared_features
from recommender.features.kcore import k_core
from recommender.features.snapshots import snapshot_table
from recommender.storage.lake import Lake

if TYPE_CHECKING:
    from feast import FeatureStore


def load_dataset(lake: Lake, profile: Profile, ds: date, known: date) -> Dataset:
    """The world at the end of `ds`, over the users and items listed on the night `known` (not before `ds`).

    Events of users or items that are no longer listed are left out.

    Raises
    ------
    NotReadyError
        The lake lacks the night's events or feature snapshots.
    """
    users = _ids(lake, "users", USER_ID, known)
    items = _ids(lake, "items", ITEM_ID, known)
    events = _events(lake, known, night_end(ds - timedelta(days=36_500)), night_end(ds))
    user, item = _codes(events[USER_ID], users), _codes(events[ITEM_ID], items)
    listed = (user >= 0) & (item >= 0)
    order = np.lexsort((item[listed], events[TS][listed], user[listed]))
    if order.size == 0:
        raise NotReadyError(f"the lake holds no events up to {ds}: ingest an earlier night, or choose a later ds")
    return Dataset(
        ds=ds,
        user_ids=users,
        item_ids=items,
        user=user[listed][order].astype(np.int32),
        item=item[listed][order].astype(np.int32),
        ts=events[TS][listed][order].astype(np.int64),
        weight=events[WEIGHT][listed][order].astype(np.float32),
        user_features=_features(lake, profile, "user", ds, users),
        item_features=_features(lake, profile, "item", ds, items),
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
    from recommender.features.store import historical_features  # Feast takes seconds: only training needs it

    event, outside = training_events(profile, dataset)
    entity_rows = pd.DataFrame(
        {
            USER_ID: dataset.user_ids[dataset.user[event]],
            ITEM_ID: dataset.item_ids[dataset.item[event]],
            EVENT_TIMESTAMP: pd.to_datetime(dataset.ts[event], unit="s", utc=True).as_unit("us"),
        }
    )
    user_features, item_features = historical_features(store, profile, entity_rows)
    return TrainingRows(event=event, user_features=user_features, item_features=item_features, outside=outside)


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
    for frame in (dataset.user_features, dataset.item_features):
        digest.update(",".join(frame.columns).encode())
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _ids(lake: Lake, table: str, key: str, known: date) -> np.ndarray:
    ids = pd.read_parquet(lake.latest(table, known), columns=[key])[key]
    return np.sort(ids.to_numpy(object))


def _events(lake: Lake, known: date, start: datetime, end: datetime) -> dict[str, np.ndarray]:
    """Ids, seconds and weights of the events in [start, end) that the night `known` knows."""
    table = duckdb.execute(
        f"""select {USER_ID}, {ITEM_ID}, epoch({TS})::bigint as {TS}, {WEIGHT} from {known_events(lake, known)}
            where {TS} >= ?::timestamptz at time zone 'UTC' and {TS} < ?::timestamptz at time zone 'UTC'""",
        [start, end],
    ).df()
    return {name: table[name].to_numpy() for name in table.columns}


def _codes(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Position of each value in the sorted `ids`, -1 where absent."""
    codes: np.ndarray = pd.Index(ids).get_indexer(pd.Index(values, dtype=object))
    return codes


def _features(lake: Lake, profile: Profile, entity: Entity, ds: date, ids: np.ndarray) -> pd.DataFrame:
    table = snapshot_table(entity)
    if not lake.path(table, ds).is_file():
        raise NotReadyError(f"no {table} snapshot for {ds}: run `recommender run features` for the night first")
    names = [feature.name for feature in declared_features(profile, entity)]
    snapshot = lake.read(table, ds)
    missing = [name for name in names if name not in snapshot.columns]
    if missing:
        raise NotReadyError(
            f"the {table} snapshot of {ds} lacks {', '.join(missing)}: "
            "the profile changed; run `recommender run features` again"
        )
    return snapshot.set_index(KEYS[entity])[names].reindex(ids).reset_index(drop=True)
