"""Values of the declared features, from Feast: point-in-time for training rows, and online as last materialized.

    users, items = historical_features(store, profile, entity_rows)
    online_features(store, profile, "user-42")

Missing is NaN or None, never a value that stands for it.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from recommender.columns import EVENT_TIMESTAMP, ITEM_ID, USER_ID
from recommender.config.profile import Profile
from recommender.errors import NotReadyError, RecommenderError
from recommender.features.affinity_keys import affinity_key_names, affinity_keys
from recommender.features.definitions import Feature
from recommender.features.feast_objects import references
from recommender.features.measures import KEYS
from recommender.features.pairs import ASKED_AT
from recommender.storage.duckdb_sql import one_line
from recommender.storage.lake import Lake

with warnings.catch_warnings():  # importing Feast turns every library's deprecation warnings on
    from feast import FeatureStore

_ROW = "__row"

Value = float | str | list[float] | list[str] | None


def historical_features(
    store: FeatureStore, profile: Profile, entity_rows: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The declared features of each row's user and item as known at its instant.

    A row sees the last snapshot with `event_timestamp` at or before its own: a snapshot stands for an instant and
    knows what happened before it, so one taken at the very instant of an event doesn't know that event.

    Parameters
    ----------
    entity_rows
        user_id, item_id and event_timestamp (UTC); other columns are ignored.

    Returns
    -------
    Two frames with a row an entity row, in the same order: user features and item features, in the declared order
    and under the declared names. Missing is NaN or None; an entity without an earlier snapshot has only missing.

    Raises
    ------
    NotReadyError
        The lake has no snapshots, or none with a declared feature.
    RecommenderError
        The store answered with fewer or more rows than asked for.
    """
    rows = entity_rows[[USER_ID, ITEM_ID, EVENT_TIMESTAMP]]
    found = _historical(store, rows, list(references(profile, ("user", "item"))))
    user, item = (_named(found, references(profile, [entity])) for entity in KEYS)
    return user, item


def historical_pair_features(store: FeatureStore, profile: Profile, entity_rows: pd.DataFrame) -> pd.DataFrame:
    """The declared pair features of each row's user and item as known at its instant.

    Parameters
    ----------
    entity_rows
        user_id, item_id and event_timestamp as for `historical_features`; the columns of `affinity_keys`; and
        `asked_at`, the instant whose hour and weekday are meant, where it isn't event_timestamp.

    Returns
    -------
    A frame with a row an entity row, in the same order, and the declared names in the declared order.
    """
    chosen = references(profile, ["pair"])
    rows = entity_rows if ASKED_AT in entity_rows else entity_rows.assign(**{ASKED_AT: entity_rows[EVENT_TIMESTAMP]})
    keys = [USER_ID, ITEM_ID, EVENT_TIMESTAMP, ASKED_AT, *affinity_key_names(profile)]
    return _named(_historical(store, rows[keys], list(chosen)), chosen)


def online_features(store: FeatureStore, profile: Profile, user_id: str) -> dict[str, Value]:
    """A user's features as last materialized, by name in the declared order; all None for an unknown user."""
    chosen = references(profile, ["user"])
    if not chosen:
        return {}
    answer = store.get_online_features(list(chosen), [{USER_ID: user_id}]).to_dict()
    return {feature.name: _known(answer[feature.name][0]) for feature in chosen.values()}


def online_pair_features(
    store: FeatureStore, profile: Profile, lake: Lake, user_id: str, item_ids: Sequence[str], asked_at: datetime
) -> pd.DataFrame:
    """The declared pair features of a user with each item, from what was last materialized.

    Parameters
    ----------
    lake
        Its newest users and items say what affinities are looked up by.
    asked_at
        The instant whose hour and weekday are meant.

    Returns
    -------
    (items, features) in the order of `item_ids`, the declared names in the declared order.
    """
    chosen = references(profile, ["pair"])
    if not chosen:
        return pd.DataFrame(index=pd.RangeIndex(len(item_ids)))
    users, items = np.full(len(item_ids), user_id, dtype=object), np.array(item_ids, dtype=object)
    keys = affinity_keys(lake, profile, date.max, users, items)
    rows = {USER_ID: users, ITEM_ID: items, **keys}
    # Feast can't look up a missing key; nobody's is empty
    asked: dict[str, Any] = {name: ["" if value is None else value for value in rows[name]] for name in rows}
    answer = store.get_online_features(list(chosen), {**asked, ASKED_AT: [asked_at] * len(item_ids)}, True)
    return _named(answer.to_df(), chosen)


def _historical(store: FeatureStore, entity_rows: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """The rows with the features as columns `view__feature`, in the rows' order."""
    rows = entity_rows.reset_index(drop=True)
    if not features:
        return rows
    rows[_ROW] = np.arange(len(rows))
    try:
        found = store.get_historical_features(rows, features, full_feature_names=True).to_df()
    except duckdb.Error as error:
        raise NotReadyError(
            f"feature snapshots can't be read ({one_line(error)}): run `recommender run features`"
        ) from None
    if len(found) != len(rows) or not (np.sort(found[_ROW].to_numpy()) == rows[_ROW].to_numpy()).all():
        raise RecommenderError(f"the feature store returned {len(found)} rows for {len(rows)} entity rows")
    ordered: pd.DataFrame = found.iloc[np.argsort(found[_ROW].to_numpy())].reset_index(drop=True)
    return ordered


def _named(rows: pd.DataFrame, chosen: Mapping[str, Feature]) -> pd.DataFrame:
    """The chosen features under their own names; numbers are float32 with NaN, all else has None where missing."""
    frame = rows[[reference.replace(":", "__") for reference in chosen]]
    frame = frame.set_axis([feature.name for feature in chosen.values()], axis="columns")
    numeric = {feature.name: np.float32 for feature in chosen.values() if feature.kind == "numeric"}
    return frame.astype(numeric)


def _known(value: Value) -> Value:
    return None if isinstance(value, float) and math.isnan(value) else value
