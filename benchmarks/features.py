"""Point-in-time retrieval through Feast against the bare join, and snapshots against a bare aggregation."""

from collections.abc import Iterator
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd

from benchmarks.measure import Measurement, seconds
from benchmarks.scratch import scratch_world
from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.features.snapshots import build_snapshots
from recommender.features.store import apply, feature_store, historical_features
from recommender.storage.lake import Lake
from recommender.storage.postgres import libpq_url

USERS, ITEMS, EVENTS, NIGHTS = 10_000, 10_000, 1_000_000, 26
LAST = date(2020, 6, 30)
ROWS = 500_000


def run() -> Iterator[Measurement]:
    with scratch_world() as settings:
        yield from _measured(settings)


def _measured(settings: Settings) -> Iterator[Measurement]:
    lake, profile = Lake(settings.lake), settings.profile
    events = _world(lake)
    nights = [LAST - timedelta(days=7 * n) for n in range(NIGHTS)]

    def snapshots(nights: list[date] = nights) -> None:
        for entity in ("user", "item"):
            build_snapshots(lake, profile, entity, nights, known=LAST)

    whole, single = seconds(snapshots, lambda: snapshots(nights[:1]), rounds=1)
    name = f"feature snapshots of {NIGHTS} nights, {EVENTS // 10**6} M events"
    yield Measurement(name, whole, "s", f"one night, {NIGHTS} times", single * NIGHTS)
    store = feature_store(settings, libpq_url(settings))
    apply(store, profile, settings.lake)
    rows = events.sample(ROWS, random_state=0)[["user_id", "item_id", "ts"]]
    entity_rows = rows.rename(columns={"ts": "event_timestamp"}).assign(
        event_timestamp=lambda frame: frame["event_timestamp"].dt.tz_localize("UTC")
    )
    ours, bare = seconds(
        lambda: historical_features(store, profile, entity_rows),
        lambda: _bare_join(lake, profile, rows),
    )
    yield Measurement(
        f"point-in-time features of {ROWS // 1000} k rows through Feast", ours, "s", "bare DuckDB ASOF join", bare
    )


def _bare_join(lake: Lake, profile: Profile, rows: pd.DataFrame) -> pd.DataFrame:
    user = ", ".join(f'u."{name}"' for name in profile.features.user)
    item = ", ".join(f'i."{name}"' for name in profile.features.item)
    query = f"""select {user}, {item} from rows r
            asof left join read_parquet('{lake.glob("user_features")}', hive_partitioning = false) u
                on r.user_id = u.user_id and r.ts >= u.event_timestamp
            asof left join read_parquet('{lake.glob("item_features")}', hive_partitioning = false) i
                on r.item_id = i.item_id and r.ts >= i.event_timestamp"""
    with duckdb.connect() as connection:
        return connection.register("rows", rows).execute(query).df()


def _world(lake: Lake) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    users = np.array([f"user-{n}" for n in range(USERS)], object)
    items = np.array([f"item-{n}" for n in range(ITEMS)], object)
    start = pd.Timestamp(LAST) - pd.Timedelta(days=250)
    events = pd.DataFrame(
        {
            "user_id": users[rng.integers(USERS, size=EVENTS)],
            "item_id": items[np.minimum(rng.zipf(1.3, EVENTS), ITEMS) - 1],
            "ts": (start + pd.to_timedelta(rng.integers(250 * 86_400, size=EVENTS), unit="s")).astype("datetime64[us]"),
            "event_type": "event",
            "weight": np.float32(1),
            "landed": LAST,
            "removed": False,
        }
    )
    lake.write("events", LAST, events)
    attributes = pd.DataFrame({"user_id": users, "country": "UK", "gender": "F", "age": np.float32(30)})
    lake.write("users", LAST, attributes)
    creators = [f"creator-{n}" for n in rng.integers(ITEMS // 5, size=ITEMS)]
    lake.write("items", LAST, pd.DataFrame({"item_id": items, "title": items, "creator": creators, "category": "pop"}))
    return events
