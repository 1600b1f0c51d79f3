"""Feast over a small lake: point-in-time joins, materialization, and what a changed or broken world does."""

import logging
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from recommender.columns import EVENT_TIMESTAMP, ITEM_ID, USER_ID
from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.data.dataset import night_end
from recommender.errors import DatabaseError, NotReadyError
from recommender.features.definitions import declared_features
from recommender.features.measures import Entity
from recommender.features.store import apply, feature_store, materialize
from recommender.features.values import historical_features, online_features
from recommender.storage.lake import Lake

NIGHTS = [date(2026, 1, 5), date(2026, 1, 12), date(2026, 1, 19), date(2026, 1, 20)]
KEYS: dict[Entity, str] = {"user": USER_ID, "item": ITEM_ID}


def make_profile(**features: Any) -> Profile:
    return Profile.model_validate(
        {
            "name": "small",
            "events": {"path": "e.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
            "users": {"path": "u.csv", "columns": {"user_id": "u", "age": "a", "country": "c"}},
            "items": {"path": "i.csv", "columns": {"item_id": "i", "creator": "c"}},
            "features": {"user": ["events_7d", "age", "country"], "item": ["events_7d", "creator"], **features},
        }
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(make_profile(), tmp_path / "small.yaml", tmp_path, tmp_path / "home", None)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake)


def write_snapshot(lake: Lake, profile: Profile, entity: Entity, ds: date, ids: list[str], seed: int = 0) -> None:
    """Random values, every tenth of them missing."""
    rng = np.random.default_rng([seed, ds.toordinal()])
    columns: dict[str, Any] = {KEYS[entity]: ids}
    columns[EVENT_TIMESTAMP] = pd.Series([night_end(ds).replace(tzinfo=None)] * len(ids), dtype="datetime64[us]")
    for feature in declared_features(profile, entity):
        if feature.kind == "numeric":
            values = rng.integers(0, 50, len(ids)).astype("float32")
            values[rng.random(len(ids)) < 0.1] = np.nan
            columns[feature.name] = values
        else:
            columns[feature.name] = pd.Series(rng.choice(["red", "blue", None], len(ids)), dtype=object)
    lake.write(f"{entity}_features", ds, pd.DataFrame(columns))


def write_world(lake: Lake, profile: Profile) -> None:
    """Users come and go; `u-never` is in no snapshot, `i-late` only in the last."""
    for number, ds in enumerate(NIGHTS):
        write_snapshot(lake, profile, "user", ds, [f"u{n}" for n in range(number, 8)])
        write_snapshot(lake, profile, "item", ds, [f"i{n}" for n in range(6)] + ["i-late"] * (ds == NIGHTS[-1]))


def last_known(lake: Lake, profile: Profile, entity: Entity, rows: pd.DataFrame) -> pd.DataFrame:
    """The slow, obviously right answer: look through all snapshots for each row."""
    names = [feature.name for feature in declared_features(profile, entity)]
    snapshots = pd.concat([lake.read(f"{entity}_features", ds) for ds in lake.nights(f"{entity}_features")])
    answers = []
    for _, row in rows.iterrows():
        best: dict[str, Any] = dict.fromkeys(names)
        newest = None
        for _, snapshot in snapshots.iterrows():
            instant = snapshot[EVENT_TIMESTAMP].tz_localize("UTC")
            known = snapshot[KEYS[entity]] == row[KEYS[entity]] and instant <= row[EVENT_TIMESTAMP]
            if known and (newest is None or instant > newest):
                best, newest = snapshot[names].to_dict(), instant
        answers.append(best)
    return pd.DataFrame(answers, columns=names)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(found.columns) == list(expected.columns)
    for name in expected:
        left = [None if pd.isna(value) else value for value in found[name]]
        right = [None if pd.isna(value) else value for value in expected[name]]
        assert left == right, name


def some_rows(count: int = 150) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = pd.DataFrame(
        {
            ITEM_ID: rng.choice([f"i{n}" for n in range(7)] + ["i-late"], count),
            USER_ID: rng.choice([f"u{n}" for n in range(8)] + ["u-never"], count),
            EVENT_TIMESTAMP: [start + timedelta(seconds=int(s)) for s in rng.integers(0, 25 * 86_400, count)],
        }
    )
    instant = night_end(NIGHTS[1])
    for position, moment in enumerate([instant, instant - timedelta(seconds=1), instant, instant]):
        rows.loc[position] = ["i1", "u3", moment]  # the very instant, just before it, and the same row twice
    return rows.astype({EVENT_TIMESTAMP: "datetime64[us, UTC]"})


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_rows_see_the_last_snapshot_at_or_before_their_instant(
    settings: Settings, lake: Lake, database_url: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    profile = settings.profile
    write_world(lake, profile)
    store = feature_store(settings, database_url)
    apply(store, profile, settings.lake)
    rows = some_rows().sample(frac=1, random_state=1)  # a shuffled index must not matter
    users, items = historical_features(store, profile, rows)
    monkeypatch.undo()
    time.tzset()
    assert_same(users, last_known(lake, profile, "user", rows))
    assert_same(items, last_known(lake, profile, "item", rows))
    assert users["events_7d"].dtype == np.float32
    assert users["events_7d"].notna().sum() > 50
    assert users[(rows[USER_ID] == "u-never").to_numpy()].isna().all(axis=None)


def test_a_snapshot_from_the_future_is_not_seen(settings: Settings, lake: Lake, database_url: str) -> None:
    profile = settings.profile
    write_world(lake, profile)
    store = feature_store(settings, database_url)
    apply(store, profile, settings.lake)
    rows = some_rows()
    before = historical_features(store, profile, rows)
    write_snapshot(lake, profile, "user", date(2026, 3, 1), [f"u{n}" for n in range(8)], seed=9)
    write_snapshot(lake, profile, "item", date(2026, 3, 1), [f"i{n}" for n in range(6)], seed=9)
    for old, new in zip(before, historical_features(store, profile, rows), strict=True):
        pd.testing.assert_frame_equal(old, new)


def test_no_rows_give_no_rows(settings: Settings, lake: Lake, database_url: str) -> None:
    write_world(lake, settings.profile)
    store = feature_store(settings, database_url)
    apply(store, settings.profile, settings.lake)
    users, items = historical_features(store, settings.profile, some_rows().head(0))
    assert (len(users), len(items)) == (0, 0)
    assert list(users.columns) == ["events_7d", "age", "country"]


def test_online_values_are_the_materialized_snapshot(
    settings: Settings,
    lake: Lake,
    database_url: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    profile = settings.profile
    write_world(lake, profile)
    store = feature_store(settings, database_url)
    apply(store, profile, settings.lake)
    capfd.readouterr()
    caplog.set_level(logging.INFO)
    assert materialize(store, NIGHTS[1])
    assert materialize(store, NIGHTS[2])
    assert materialize(store, NIGHTS[2]), "the same night again is fine"
    assert not materialize(store, NIGHTS[1]), "an older night leaves the newer one alone"
    apply(store, profile, settings.lake)
    assert capfd.readouterr().out == ""
    assert [record for record in caplog.records if record.name.startswith("feast")] == []
    snapshot = lake.read("user_features", NIGHTS[2]).set_index(USER_ID)
    for user_id in ("u2", "u5", "u7"):
        expected = {name: None if pd.isna(value) else value for name, value in snapshot.loc[user_id].items()}
        del expected[EVENT_TIMESTAMP]
        assert online_features(store, profile, user_id) == expected
    assert online_features(store, profile, "nobody") == {"events_7d": None, "age": None, "country": None}
    again = feature_store(settings, database_url)
    assert online_features(again, profile, "u5") == online_features(store, profile, "u5")


def test_every_entity_of_a_large_snapshot_goes_online(settings: Settings, lake: Lake, database_url: str) -> None:
    """Without a batch size Feast writes only a table's first Arrow chunk; with one, every batch arrives."""
    profile, ids = settings.profile, [f"u{n}" for n in range(5_000)]
    write_snapshot(lake, profile, "user", NIGHTS[0], ids)
    write_snapshot(lake, profile, "item", NIGHTS[0], ["i0"])
    store = feature_store(settings, database_url)
    apply(store, profile, settings.lake)
    assert store.config.materialization_config.online_write_batch_size is not None
    store.config.materialization_config.online_write_batch_size = 700
    materialize(store, NIGHTS[0])
    references = ["user_features:events_7d"]
    found = store.get_online_features(references, [{USER_ID: user_id} for user_id in ids]).to_df().set_index(USER_ID)
    expected = lake.read("user_features", NIGHTS[0]).set_index(USER_ID)["events_7d"]
    np.testing.assert_array_equal(found.loc[ids, "events_7d"].to_numpy("float32"), expected[ids].to_numpy())


def test_a_feature_declared_later_is_missing_in_older_partitions(
    settings: Settings, lake: Lake, database_url: str
) -> None:
    write_world(lake, settings.profile)
    store = feature_store(settings, database_url)
    apply(store, settings.profile, settings.lake)
    wider = make_profile(user=["events_30d", "events_7d", "country"])
    write_snapshot(lake, wider, "user", date(2026, 1, 26), [f"u{n}" for n in range(8)])
    write_snapshot(lake, wider, "item", date(2026, 1, 26), [f"i{n}" for n in range(6)])
    apply(store, wider, settings.lake)
    rows = some_rows()
    users, _ = historical_features(store, wider, rows)
    assert list(users.columns) == ["events_30d", "events_7d", "country"]
    assert users["events_30d"].isna().all()
    assert materialize(store, date(2026, 1, 26))
    assert list(online_features(store, wider, "u1")) == ["events_30d", "events_7d", "country"]


def test_an_empty_snapshot_empties_the_table_and_a_missing_one_is_an_error(
    settings: Settings, lake: Lake, database_url: str
) -> None:
    write_world(lake, settings.profile)
    store = feature_store(settings, database_url)
    apply(store, settings.profile, settings.lake)
    assert materialize(store, NIGHTS[0])
    before = online_features(store, settings.profile, "u3")
    with pytest.raises(NotReadyError, match="nothing to materialize into recommender_user_features"):
        materialize(store, date(2026, 1, 6))
    assert online_features(store, settings.profile, "u3") == before != dict.fromkeys(before)
    write_snapshot(lake, settings.profile, "user", date(2026, 1, 6), [])
    write_snapshot(lake, settings.profile, "item", date(2026, 1, 6), ["i0"])
    assert materialize(store, date(2026, 1, 6))
    assert set(online_features(store, settings.profile, "u3").values()) == {None}
    assert not materialize(store, NIGHTS[0]), "of the empty night too"


def test_an_entity_without_features_has_an_empty_frame(settings: Settings, lake: Lake, database_url: str) -> None:
    profile = make_profile(user=[])
    write_world(lake, profile)
    store = feature_store(settings, database_url)
    apply(store, profile, settings.lake)
    rows = some_rows()
    users, items = historical_features(store, profile, rows)
    assert users.shape == (len(rows), 0)
    assert_same(items, last_known(lake, profile, "item", rows))
    assert online_features(store, profile, "u1") == {}


def test_without_snapshots_the_message_says_what_to_run(settings: Settings, database_url: str) -> None:
    store = feature_store(settings, database_url)
    apply(store, settings.profile, settings.lake)
    with pytest.raises(NotReadyError, match="run `recommender run features`") as caught:
        historical_features(store, settings.profile, some_rows())
    assert "\n" not in str(caught.value)


def test_an_unreachable_database_is_one_line_without_the_password(settings: Settings) -> None:
    with pytest.raises(DatabaseError, match="cannot reach PostgreSQL") as caught:
        feature_store(settings, "postgresql+psycopg://me:secret@127.0.0.1:1/nowhere")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_role_that_may_not_create_the_schema_is_told_what_to_run(settings: Settings, database_url: str) -> None:
    role = f"guest_{database_url.split('/')[3].partition('?')[0]}"
    theirs = database_url.replace("postgres@", f"{role}@")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"create role {role} login")
        try:
            with pytest.raises(DatabaseError, match=f"run `create schema feast authorization {role}`") as caught:
                feature_store(settings, theirs)
            assert "\n" not in str(caught.value)
            connection.execute(f"create schema feast authorization {role}")
            apply(feature_store(settings, theirs), settings.profile, settings.lake)
        finally:
            connection.execute(f"drop owned by {role} cascade")
            connection.execute(f"drop role {role}")
