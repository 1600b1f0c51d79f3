"""A shop of four items: its profile, its tables in a lake, and what a snapshot of it holds."""

from datetime import date
from typing import Any

import pandas as pd

from recommender.config.profile import Profile
from recommender.storage.lake import Lake
from tests.features.by_hand import Event

D1, D2, D8 = date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 8)
USER_FEATURES = (
    "events_7d", "events_30d", "events_total", "active_days_30d", "hours_30d", "creators_7d", "creators_total",
    "categories_30d", "categories_total", "category_diversity_30d", "top_category_30d", "top_category_7d",
    "top_creator_30d", "taste_energy", "taste_tempo_30d", "days_since_last_event", "tenure_days", "night_share_30d",
    "morning_share_30d", "afternoon_share_7d", "evening_share_30d", "weekend_share_30d", "top_hour_30d",
    "top_weekday_30d",
)  # fmt: skip
ITEM_FEATURES = (
    "events_7d", "events_30d", "events_total", "users_7d", "users_total", "creator_events_7d", "days_since_last_event",
    "days_since_first_event", "is_new_release_7d", "evening_share_30d", "weekend_share_30d", "decade", "title_length",
    "title_words", "title_digits",
)  # fmt: skip
ITEMS: dict[str, dict[str, Any]] = {
    "desk": {"title": "Desk 21", "creator": "oak", "category": ["wood", "old"], "year": 2001, "energy": 0.25,
             "tempo": 120.0, "duration": 180.0},
    "lamp": {"title": "  The\tLamp ", "creator": "lux", "category": ["light"], "year": 1999, "energy": None,
             "tempo": 60.5, "duration": None},
    "sofa": {"title": None, "creator": "oak", "category": ["wood", "soft"], "year": None, "energy": 0.75,
             "tempo": None, "duration": 3600.0},
    "vase": {"title": "", "creator": None, "category": [], "year": 1980, "energy": 0.1, "tempo": 90.0,
             "duration": 60.0},
}  # fmt: skip
USERS = {"ann": "UK", "bob": None, "cat": "FR", "dan": "UK"}


def make_profile(**features: Any) -> Profile:
    numbers = {name: {"column": name, "type": "number"} for name in ("energy", "tempo")}
    return Profile.model_validate(
        {
            "name": "shop",
            "events": {"path": "e.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t", "weight": "w"}},
            "users": {"path": "u.csv", "columns": {"user_id": "u", "country": "c", "age": "a", "registered": "r"}},
            "items": {
                "path": "i.csv",
                "columns": {
                    "item_id": "i", "title": "t", "creator": "c", "year": "y", "duration": "d",
                    "category": {"column": "k", "separator": "|"}, **numbers,
                },
            },
            "features": {"user": USER_FEATURES, "item": ITEM_FEATURES, "pair": [], **features},
        }
    )  # fmt: skip


def land(lake: Lake, events: list[Event], ds: date, items: dict[str, dict[str, Any]] = ITEMS) -> None:
    frame = pd.DataFrame(events, columns=["user_id", "item_id", "ts", "weight"])
    frame["ts"] = pd.to_datetime(frame["ts"]).astype("datetime64[us]")
    lake.write("events", ds, frame.assign(event_type="event", landed=ds, removed=False).astype({"weight": "float32"}))
    registered = pd.Series(["2019-12-31T12:00", None, "2020-01-05T00:00", None], dtype="datetime64[us]")
    users = pd.DataFrame({"user_id": list(USERS), "country": list(USERS.values()), "age": [34.0, None, 17.0, 50.0]})
    lake.write("users", ds, users.assign(age_band=["25-34", None, "under 18", "45-54"], registered=registered))
    table = pd.DataFrame([{"item_id": item, **columns} for item, columns in items.items()])
    lake.write("items", ds, table.astype({"year": "Int32"}))


def snapshot(lake: Lake, table: str, night: date, key: str) -> dict[str, dict[str, Any]]:
    frame = lake.read(table, night)
    assert frame["event_timestamp"].unique().tolist() == [pd.Timestamp(night) + pd.Timedelta(days=1)]
    rows = frame.set_index(key).astype(object).to_dict("index")
    assert list(rows) == sorted(rows), "rows are in the order of their keys"
    return rows
