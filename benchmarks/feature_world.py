"""A world written straight into a lake, and a profile that declares nearly everything that can be computed of it."""

import json
import tempfile
from datetime import date
from pathlib import Path

import duckdb

from recommender.config.profile import Profile
from recommender.config.settings import load_settings
from recommender.features.measures import DAYPARTS
from recommender.storage.lake import Lake

LAST = date(2020, 6, 30)
DAYS, CATEGORIES, ITEMS_A_CREATOR = 365, 24, 10
ATTRIBUTES = (
    "acousticness", "danceability", "energy", "instrumentalness", "key", "liveness",
    "loudness", "mode", "speechiness", "tempo", "time_signature", "valence",
)  # fmt: skip
WINDOWS = (7, 30, 90)
_MISSING = 0.03
_TIMES = (*(f"{part}_share_90d" for part in DAYPARTS), "weekend_share_90d")

USER_FEATURES = (
    *(f"events_{days}d" for days in WINDOWS), "events_total", "active_days_90d", "hours_30d", "creators_90d",
    "creators_total", "categories_90d", "categories_total", "category_diversity_90d", "top_category_90d",
    "top_creator_90d", *(f"taste_{name}" for name in ATTRIBUTES), *(f"taste_{name}_90d" for name in ATTRIBUTES),
    "days_since_last_event", "tenure_days", *_TIMES, "top_hour_90d", "top_weekday_90d", "age", "age_band", "country",
    "gender", "registered",
)  # fmt: skip
ITEM_FEATURES = (
    *(f"events_{days}d" for days in WINDOWS), "events_total", *(f"users_{days}d" for days in WINDOWS), "users_total",
    "creator_events_90d", "days_since_last_event", "days_since_first_event", "is_new_release_30d", *_TIMES, "decade",
    "title_length", "title_words", "title_digits", "title_embedding_16", "creator", "category", "year", "duration",
    *ATTRIBUTES,
)  # fmt: skip
PAIR_FEATURES = (
    *(f"taste_gap_{name}" for name in ATTRIBUTES), "daypart_affinity_90d", "country_category_affinity_365d",
    "age_band_category_affinity_365d", "hour_of_day", "day_of_week",
)  # fmt: skip


def profile(
    user: tuple[str, ...] = USER_FEATURES, item: tuple[str, ...] = ITEM_FEATURES, pair: tuple[str, ...] = PAIR_FEATURES
) -> Profile:
    """A profile of the world below that declares these features."""
    known = ("title", "creator", "year", "duration")
    content = {
        "name": "bench",
        "events": {"path": "events.parquet", "columns": _same("user_id", "item_id", "ts")},
        "users": {"path": "users.parquet", "columns": _same("user_id", "age", "country", "gender", "registered")},
        "items": {
            "path": "items.parquet",
            "columns": {
                **_same("item_id", *known),
                "category": {"column": "category", "type": "list"},
                **{name: {"column": name, "type": "number"} for name in ATTRIBUTES},
            },
        },
        "features": {"user": user, "item": item, "pair": pair},
        "schedule": {"start_date": LAST},
    }
    with tempfile.TemporaryDirectory() as folder:  # read as a user's profile is: every check applies
        path = Path(folder) / "bench.yaml"
        path.write_text(json.dumps(content, default=str), encoding="utf-8")  # JSON is YAML
        return load_settings(str(path), folder).profile


def write_world(lake: Lake, events: int, users: int, items: int) -> None:
    """One night's tables as an ingest leaves them, written streaming; the same arguments give the same world.

    Activity and popularity are skewed, events come in the order of time, some attributes are missing.
    """
    with duckdb.connect() as connection:
        lake.copy(
            connection,
            f"""select 'user-' || floor(pow({_uniform(0)}, 2) * {users})::int as user_id,
                       'item-' || floor(pow({_uniform(1)}, 3) * {items})::int as item_id,
                       timestamp '{LAST}' + interval 1 day
                           - to_seconds(ceil((1 - (i + {_uniform(2)}) / {events}) * {DAYS * 86_400})::bigint) as ts,
                       'event' as event_type, 1::float as weight, date '{LAST}' as landed, false as removed
                from range({events}) as t(i)""",
            "events",
            LAST,
        )
        lake.copy(
            connection,
            f"""select 'user-' || i as user_id, (15 + floor({_uniform(3)} * 60))::float as age,
                       case when age < 25 then 'under 25' when age < 45 then '25-44' else '45+' end as age_band,
                       'country-' || floor(pow({_uniform(4)}, 2) * 20)::int as country,
                       if({_uniform(5)} < 0.5, 'f', 'm') as gender,
                       timestamp '{LAST}' - to_days(floor({_uniform(6)} * 2000)::int) as registered
                from range({users}) as t(i)""",
            "users",
            LAST,
        )
        attributes = ", ".join(
            f"if({_uniform(20 + n)} < {_MISSING}, null, {_uniform(40 + n)})::float as {name}"
            for n, name in enumerate(ATTRIBUTES)
        )
        categories = ", ".join(f"'category-' || floor({_uniform(10 + n)} * {CATEGORIES})::int" for n in range(3))
        lake.copy(
            connection,
            f"""select 'item-' || i as item_id, 'The title of song ' || i as title,
                       'creator-' || (i // {ITEMS_A_CREATOR}) as creator,
                       [{categories}][:1 + floor({_uniform(13)} * 3)::int] as category,
                       1960 + floor({_uniform(14)} * 60)::bigint as year,
                       (60 + {_uniform(15)} * 400)::float as duration,
                       {attributes}
                from range({items}) as t(i)""",
            "items",
            LAST,
        )


def aggregate(lake: Lake) -> None:
    """The least that any snapshot of this night must compute: the events once by user, with sums of the items'
    attributes, and once by item.
    """
    recent = ", ".join(f"count(*) filter (ts >= {_ago(days)})" for days in WINDOWS)
    sums = ", ".join(f"sum(weight * {name}), sum(weight * {name}) filter (ts >= {_ago(90)})" for name in ATTRIBUTES)
    with duckdb.connect() as connection:
        for table in ("events", "items"):
            connection.read_parquet(str(lake.path(table, LAST))).create_view(table)
        for query in (
            f"select user_id, count(*), {recent}, {sums} from events join items using (item_id) group by user_id",
            f"select item_id, count(*), {recent}, count(distinct user_id) from events group by item_id",
        ):
            connection.sql(query).to_arrow_table()


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _uniform(stream: int) -> str:
    """A number from 0 to 1 of row `i`: independent of threads, unlike `random()`."""
    return f"((hash(i, {stream}) >> 11) / {2**53})"


def _ago(days: int) -> str:
    return f"timestamp '{LAST}' - interval {days - 1} day"
