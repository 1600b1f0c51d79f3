"""Four users and five items with features of every kind, written out; and the profile that declares pairs of them."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from recommender.config.profile import Profile
from recommender.data.dataset import night_end
from recommender.features.definitions import FeatureTable, feature_tables
from recommender.storage.lake import Lake

NIGHT, NEXT = date(2026, 1, 5), date(2026, 1, 12)
USERS, ITEMS = ["u0", "u1", "u2", "u3"], ["i0", "i1", "i2", "i3", "i4"]
COUNTRIES = ["UK", "FR", None, "UK"]
CATEGORIES = [["pop", "rock"], ["rock"], [], None, ["jazz"]]
ENERGY = [0.5, 0.25, None, 1.0, 0.0]
PAIRS = (
    "taste_gap_energy",
    "country_category_affinity_90d",
    "hour_of_day",
    "daypart_affinity_90d",
    "day_of_week",
    "taste_gap_energy_30d",
)


def pair_profile(**features: Any) -> Profile:
    return Profile.model_validate(
        {
            "name": "small",
            "events": {"path": "e.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
            "users": {"path": "u.csv", "columns": {"user_id": "u", "country": "c"}},
            "items": {
                "path": "i.csv",
                "columns": {
                    "item_id": "i",
                    "title": "t",
                    "category": {"column": "c", "type": "list", "separator": "|"},
                    "energy": {"column": "e", "type": "number"},
                },
            },
            "features": {
                "user": ["events_7d", "country"],
                "item": ["events_7d", "category", "title_embedding_4"],
                "pair": PAIRS,
                **features,
            },
        }
    )


def write_pair_world(lake: Lake, profile: Profile) -> None:
    """Three events of the first night, and snapshots of two nights with values drawn at random."""
    events = pd.DataFrame(
        {
            "user_id": ["u0", "u1", "u2"],
            "item_id": ["i0", "i1", "i2"],
            "ts": pd.to_datetime(["2026-01-05 05:30", "2026-01-05 12:00", "2026-01-05 23:59"]).as_unit("us"),
        }
    )
    events = events.assign(event_type="event", landed=NIGHT, removed=False, weight=np.float32(1))
    lake.write("events", NIGHT, events)
    lake.write("users", NIGHT, pd.DataFrame({"user_id": USERS, "country": COUNTRIES}))
    items = pd.DataFrame({"item_id": ITEMS, "title": ITEMS, "category": CATEGORIES, "energy": ENERGY})
    lake.write("items", NIGHT, items)
    for night in (NIGHT, NEXT):
        for table in feature_tables(profile).values():
            write_table(lake, table, night)


def write_table(lake: Lake, table: FeatureTable, night: date) -> None:
    rng = np.random.default_rng(night.toordinal())
    match table.keys:
        case ("user_id",):
            columns: dict[str, Any] = {"user_id": USERS}
        case ("item_id",):
            columns = {"item_id": ITEMS}
        case (segment, category):
            columns = {segment: ["UK", "UK", "FR"], category: ["pop", "rock", "rock"]}
    rows = len(next(iter(columns.values())))
    columns["event_timestamp"] = pd.Series([night_end(night).replace(tzinfo=None)] * rows, dtype="datetime64[us]")
    for feature in table.features:
        match feature.kind:
            case "numeric":
                values: Any = rng.random(rows).astype("float32")
                values[rows - 1] = np.nan if rows == len(USERS) else values[rows - 1]
            case "categorical":
                values = COUNTRIES
            case "categories":
                values = CATEGORIES
            case "vector":
                values = [*rng.random((rows - 1, int(feature.width or 0))).astype("float32"), None]
        columns[feature.name] = pd.Series(values) if feature.kind != "numeric" else values
    lake.write(table.name, night, pd.DataFrame(columns), {"versions": table.versions})
