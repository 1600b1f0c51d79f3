"""A tiny shop with two nights of snapshots, every row written out: what is inspected here."""

from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from recommender.config.settings import Settings, load_settings
from recommender.features.definitions import feature_tables
from recommender.features.snapshots import build_snapshots
from recommender.storage.lake import Lake

PROFILE = """
name: shop
events: {path: e.csv, columns: {user_id: u, item_id: i, ts: t}}
users: {path: u.csv, columns: {user_id: u, country: c, age: {column: a, min: 10, max: 99}}}
items:
  path: i.csv
  columns:
    item_id: i
    title: t
    creator: m
    category: {column: k, separator: "|"}
    energy: {column: e, type: number, min: 0, max: 1}
features:
  user: [events_7d, events_total, creators_total, days_since_last_event, country, age]
  item: [events_7d, creator_events_7d, is_new_release_7d, category, energy, title_words, title_embedding_4]
  pair: [taste_gap_energy, country_category_affinity_30d, hour_of_day]
"""
FIRST, SECOND = date(2020, 1, 1), date(2020, 1, 9)
USERS = pd.DataFrame(
    {"user_id": ["ann", "bob", "cat"], "country": ["Zanzibarland", None, "FR"], "age": [34.0, None, 17]}
)
ITEMS = pd.DataFrame(
    {
        "item_id": ["desk", "lamp", "sofa"],
        "title": ["Old Desk", "Lamp", "Sofa"],
        "creator": ["oak", "lux", "oak"],
        "category": [["wood", "old"], ["light"], []],
        "energy": [0.25, 0.75, None],
    }
)
EVENTS = pd.DataFrame(
    [
        ("ann", "desk", datetime(2020, 1, 1, 12)),
        ("ann", "sofa", datetime(2020, 1, 3)),  # the first instant of the last week
        ("ann", "lamp", datetime(2020, 1, 9, 23, 59, 59)),
        ("bob", "desk", datetime(2020, 1, 2, 23, 59, 59)),  # a second before it
        ("bob", "lamp", datetime(2020, 1, 10)),  # the first instant after the second night
    ],
    columns=["user_id", "item_id", "ts"],
)


def write_world(folder: Path) -> Settings:
    """The lake after its second night; RECOMMENDER_HOME must be set."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.yaml").write_text(PROFILE)
    settings = load_settings(str(folder / "shop.yaml"), reads_sources=False)
    lake = Lake(settings.lake)
    events = EVENTS.assign(
        ts=EVENTS["ts"].astype("datetime64[us]"), event_type="event", weight=np.float32(1), landed=SECOND, removed=False
    )
    lake.write("events", SECOND, events)
    lake.write("users", SECOND, USERS)
    lake.write("items", SECOND, ITEMS)
    build_snapshots(
        lake, settings.profile, {name: [FIRST, SECOND] for name in feature_tables(settings.profile)}, known=SECOND
    )
    return settings
