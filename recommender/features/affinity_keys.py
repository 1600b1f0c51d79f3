"""What affinities are looked up by: a user's segments, such as the country, and an item's first category."""

from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from recommender.columns import CATEGORY, ITEM_ID, USER_ID
from recommender.config.profile import Profile
from recommender.features.definitions import feature_tables
from recommender.features.measures import KEYS
from recommender.storage.lake import Lake


def affinity_key_names(profile: Profile) -> list[str]:
    """Columns that the profile's affinities are looked up by: segments of the users, and the items' category."""
    keys = [key for table in feature_tables(profile).values() for key in table.keys]
    return [key for key in dict.fromkeys(keys) if key not in KEYS.values()]


def affinity_keys(
    lake: Lake, profile: Profile, known: date, user_ids: npt.NDArray[np.object_], item_ids: npt.NDArray[np.object_]
) -> dict[str, npt.NDArray[np.object_]]:
    """What the profile's affinities are looked up by, as the night `known` has it; missing is None.

    (users,) values for each segment, and (items,) first categories; nothing where no affinity is declared.
    """
    found = {}
    for name in affinity_key_names(profile):
        table, key, ids = ("items", ITEM_ID, item_ids) if name == CATEGORY else ("users", USER_ID, user_ids)
        path = lake.latest(table, known)
        if name not in pq.read_schema(path).names:
            found[name] = np.full(len(ids), None, dtype=object)
            continue
        values = pd.read_parquet(path, columns=[key, name]).set_index(key)[name].reindex(ids)
        found[name] = np.array([_first(value) for value in values], dtype=object)
    return found


def _first(value: object) -> object:
    """Of several values the first; None for none."""
    if isinstance(value, np.ndarray | list):
        return value[0] if len(value) else None
    return value if isinstance(value, str) else None
