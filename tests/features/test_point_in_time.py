"""Training rows know what was known before their event, and nothing else."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from feast import FeatureStore
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.data.dataset import Dataset, night_end
from recommender.features.definitions import feature_tables
from recommender.features.loading import load_dataset, training_rows
from recommender.features.snapshots import build_snapshots
from recommender.features.store import apply, feature_store
from recommender.storage import embedded
from recommender.storage.lake import Lake

FIRST = date(2026, 1, 5)
DAYS = 8
NIGHTS = [FIRST + timedelta(days=day) for day in range(DAYS)]
LAST = NIGHTS[-1]
USERS, ITEMS = ("ann", "bob", "cat"), ("desk", "lamp", "sofa")
PROFILE = Profile.model_validate(
    {
        "name": "small",
        "events": {"path": "e.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
        "items": {"path": "i.csv", "columns": {"item_id": "i"}},
        "features": {"user": ["events_total"], "item": ["events_total"], "pair": []},
    }
)


@dataclass(frozen=True)
class Event:
    user: str
    item: str
    ts: datetime
    landed: date
    """The night that brought it, on its own day or later."""


@dataclass(frozen=True)
class World:
    """A lake and a feature store that all tests share; each begins with an empty lake."""

    lake: Lake
    store: FeatureStore

    def clear(self) -> None:
        shutil.rmtree(self.lake.root, ignore_errors=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, postgres_socket: str) -> Iterator[World]:
    folder, name = tmp_path_factory.mktemp("in-time"), f"in_time_{os.getpid()}"
    settings = Settings(PROFILE, folder / "small.yaml", folder, folder / "home", None)
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    store = feature_store(settings, embedded.url(postgres_socket, name))
    apply(store, PROFILE, settings.lake)
    yield World(Lake(settings.lake), store)
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def land(lake: Lake, events: list[Event], listed_from: dict[str, date]) -> None:
    """What each night brought; a user is listed from a night on."""
    for night in NIGHTS:
        brought = [event for event in events if event.landed == night]
        columns = {
            "user_id": pa.array([event.user for event in brought], pa.string()),
            "item_id": pa.array([event.item for event in brought], pa.string()),
            "ts": pa.array([event.ts for event in brought], pa.timestamp("us")),
            "event_type": pa.array(["event"] * len(brought), pa.string()),
            "weight": pa.array([1.0] * len(brought), pa.float32()),
            "landed": pa.array([night] * len(brought), pa.date32()),
            "removed": pa.array([False] * len(brought), pa.bool_()),
        }
        lake.write("events", night, pa.table(columns))
        users = [user for user in USERS if listed_from[user] <= night]
        lake.write("users", night, pa.table({"user_id": pa.array(users, pa.string())}))
        lake.write("items", night, pd.DataFrame({"item_id": ITEMS}))


def expected(
    row: Event, key: str, events: list[Event], builds: dict[date, date], listed_from: dict[str, date]
) -> float | None:
    """The value of `events_total` a row may know, by looking at everything; None where it knows no snapshot.

    `builds` tells which night's knowledge the snapshot of each night was last built with.
    """
    for night in sorted(builds, reverse=True):
        instant = night_end(night).replace(tzinfo=None)
        known = builds[night]
        if instant < row.ts and (key == "item" or listed_from[row.user] <= known):
            same = [event for event in events if getattr(event, key) == getattr(row, key)]
            counted = [event for event in same if event.landed <= known and listed_from[event.user] <= known]
            return float(sum(event.ts < instant for event in counted))
    return None


moments = st.one_of(
    # full days are the very instants of snapshots; half days make several events of one instant
    st.integers(0, 2 * DAYS - 1).map(lambda half: timedelta(hours=12 * half)),
    st.integers(1, DAYS - 1).map(lambda day: timedelta(days=day, seconds=-1)),
    st.integers(1, DAYS - 1).map(lambda day: timedelta(days=day, seconds=1)),
)


@st.composite
def drawn_events(draw: st.DrawFn) -> Event:
    ts = datetime(FIRST.year, FIRST.month, FIRST.day) + draw(moments)
    late = timedelta(days=draw(st.sampled_from([0, 0, 0, 1, 3])))
    return Event(draw(st.sampled_from(USERS)), draw(st.sampled_from(ITEMS)), ts, min(ts.date() + late, LAST))


# shrinking would rebuild the world hundreds of times
@hypothesis_settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    events=st.lists(
        drawn_events(), min_size=1, max_size=25, unique_by=lambda event: (event.user, event.item, event.ts)
    ),
    on_time=st.sets(st.sampled_from(NIGHTS[:-1]), max_size=DAYS),
    filled_later=st.sets(st.sampled_from(NIGHTS[:-1]), max_size=3),
    middle=st.sampled_from(NIGHTS),
    lists=st.tuples(*[st.sampled_from([FIRST, FIRST, NIGHTS[3], LAST])] * len(USERS)),
)
def test_rows_equal_looking_through_everything(
    world: World,
    events: list[Event],
    on_time: set[date],
    filled_later: set[date],
    middle: date,
    lists: tuple[date, ...],
) -> None:
    """Ties, late data, back-filled snapshots, missing nights, and users that no snapshot knows."""
    world.clear()
    listed_from = dict(zip(USERS, lists, strict=True))
    land(world.lake, events, listed_from)
    first, later = sorted({night for night in on_time if night <= middle}), sorted(filled_later | {LAST})
    for nights, known in ((first, middle), (later, LAST)):
        build_snapshots(world.lake, PROFILE, dict.fromkeys(feature_tables(PROFILE), nights), known=known)
    builds = dict.fromkeys(first, middle) | dict.fromkeys(later, LAST)

    dataset = load_dataset(world.lake, PROFILE, LAST, known=LAST)
    rows = training_rows(world.store, PROFILE, dataset)
    assert rows.event.tolist() == list(range(len(events)))
    for number, event in enumerate(rows.event):
        row = event_of(dataset, int(event))
        for key, frame in (("user", rows.user_features), ("item", rows.item_features)):
            found = frame["events_total"].iloc[number]
            assert (None if np.isnan(found) else found) == expected(row, key, events, builds, listed_from), (row, key)


def event_of(dataset: Dataset, number: int) -> Event:
    ts = datetime.fromtimestamp(int(dataset.ts[number]), UTC).replace(tzinfo=None)
    return Event(dataset.user_ids[dataset.user[number]], dataset.item_ids[dataset.item[number]], ts, LAST)


def test_an_event_at_the_very_instant_of_a_snapshot_sees_the_one_before(world: World) -> None:
    world.clear()
    midnight = datetime(2026, 1, 7)
    events = [
        Event("ann", "desk", midnight - timedelta(days=1, hours=1), NIGHTS[0]),
        Event("ann", "lamp", midnight - timedelta(hours=1), NIGHTS[1]),
        Event("ann", "sofa", midnight, NIGHTS[2]),
        Event("ann", "sofa", midnight + timedelta(seconds=1), NIGHTS[2]),
    ]
    land(world.lake, events, dict.fromkeys(USERS, FIRST))
    build_snapshots(world.lake, PROFILE, dict.fromkeys(feature_tables(PROFILE), NIGHTS), known=LAST)
    rows = training_rows(world.store, PROFILE, load_dataset(world.lake, PROFILE, LAST, known=LAST))
    assert rows.user_features["events_total"].fillna(-1).to_list() == [-1, 1, 1, 2]


def test_fractions_of_a_second_do_not_carry_an_event_into_the_next_day(world: World) -> None:
    world.clear()
    almost_midnight = datetime(2026, 1, 6, 23, 59, 59, 999_999)
    land(world.lake, [Event("ann", "desk", almost_midnight, NIGHTS[1])], dict.fromkeys(USERS, FIRST))
    build_snapshots(world.lake, PROFILE, dict.fromkeys(feature_tables(PROFILE), NIGHTS), known=LAST)
    dataset = load_dataset(world.lake, PROFILE, NIGHTS[1], known=LAST)
    assert dataset.ts.tolist() == [dataset.until - 1]
    rows = training_rows(world.store, PROFILE, dataset)
    assert rows.user_features["events_total"].to_list() == [0], "not the snapshot that knows the event"


def planted(world: World, honest: bool) -> tuple[np.ndarray, np.ndarray]:
    """A snapshot value that knows which item its user takes on the next day, and whether rows are of that item.

    Everybody takes one item a day, by the throw of a coin. Honest snapshots are stamped with the end of the day that
    they know; dishonest ones a day too early.
    """
    world.clear()
    rng = np.random.default_rng(0)
    days, people = 40, [f"u{number:02}" for number in range(30)]
    taken = rng.integers(0, 2, (len(people), days))
    nights = [FIRST + timedelta(days=day) for day in range(days)]
    ids = {"user": people, "item": ["left", "right"]}
    for day, night in enumerate(nights):
        stamp = night_end(night).replace(tzinfo=None) - timedelta(days=0 if honest else 1)
        for entity, values in (("user", taken[:, day]), ("item", np.zeros(2))):
            columns = {f"{entity}_id": ids[entity], "event_timestamp": stamp, "events_total": values.astype("float32")}
            frame = pd.DataFrame(columns).astype({"event_timestamp": "datetime64[us]"})
            world.lake.write(f"{entity}_features", night, frame)
    user, day = (index.ravel() for index in np.indices(taken.shape))
    noon = int(night_end(FIRST).timestamp()) - 43_200
    dataset = Dataset(
        ds=nights[-1],
        user_ids=np.array(people, dtype=object),
        item_ids=np.array(ids["item"], dtype=object),
        user=user.astype(np.int32),
        item=taken.ravel().astype(np.int32),
        ts=noon + day * 86_400,
        weight=np.ones(user.size, np.float32),
        user_features=pd.DataFrame(index=range(len(people))),
        item_features=pd.DataFrame(index=range(2)),
    )
    rows = training_rows(world.store, PROFILE, dataset)
    return rows.user_features["events_total"].to_numpy(), dataset.item[rows.event]


def skill(feature: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve: how often the feature ranks a positive row above a negative one."""
    known = ~np.isnan(feature)
    positive, negative = feature[known & (label == 1)], feature[known & (label == 0)]
    return float(np.mean((positive[:, None] > negative) + (positive[:, None] == negative) / 2))


def test_a_feature_that_knows_the_future_does_not_help(world: World) -> None:
    feature, label = planted(world, honest=True)
    assert np.isnan(feature).sum() == 30, "only the first day's rows know nothing yet"
    assert abs(skill(feature, label) - 0.5) < 0.05


def test_it_would_help_were_its_snapshots_stamped_too_early(world: World) -> None:
    """Without this the test above could pass for the wrong reason."""
    feature, label = planted(world, honest=False)
    assert skill(feature, label) == 1
