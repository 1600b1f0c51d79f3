"""The same definitions on Spark and on DuckDB: equal events, equal snapshots, equal point-in-time joins."""

import importlib.util
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyspark.sql import SparkSession

from recommender import pipeline
from recommender.config.profile import Engine, Profile
from recommender.config.settings import Settings
from recommender.data.dataset import night_end
from recommender.errors import ConfigError, NotReadyError
from recommender.features.affinity_keys import affinity_keys
from recommender.features.attributes import numeric_item_attributes, user_segments
from recommender.features.definitions import Feature, feature_tables
from recommender.features.measures import MEASURES, Subject
from recommender.features.snapshots import build_snapshots
from recommender.features.snapshots.engine import feature_engine, known_events_table
from recommender.features.snapshots.spark import spark_conf, spark_session
from recommender.features.store import apply, feature_store, materialize
from recommender.features.values import historical_features, historical_pair_features, online_features
from recommender.storage.lake import Lake
from tests.data.shop import FIRST, PROFILE, write_shop
from tests.features import pair_world
from tests.features.pair_world import NEXT

pytestmark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17"),
    pytest.mark.filterwarnings("ignore:The spark:RuntimeWarning"),
]

QUICK = {  # for tables of a few rows: nothing is worth being compiled well
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": False,
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.constraintPropagation.enabled": False,
    "spark.sql.adaptive.enabled": False,
    "spark.sql.shuffle.partitions": 1,
    "spark.default.parallelism": 1,
}
SPARK = Engine(kind="spark", memory_gb=1, spark=QUICK)
D1 = date(2020, 1, 1)
NIGHTS = [date(2020, 1, 20), date(2020, 2, 4)]
USERS, ITEMS, EVENTS = 30, 25, 600


@pytest.fixture(scope="module")
def spark() -> Iterator[Engine]:
    """One Spark application for all tests: whatever asks for one takes it."""
    with spark_session(SPARK):
        yield SPARK


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_an_application_that_was_started_is_stopped_and_one_that_was_found_is_left() -> None:
    """The first test: the others share one application."""
    assert SparkSession.getActiveSession() is None
    with feature_engine(SPARK) as connection:
        held = ibis.memtable({"a": [1, 2]}).mutate(b=1)
        assert connection.to_pyarrow(held).num_rows == 2
        with feature_engine(SPARK):
            pass
        assert SparkSession.getActiveSession() is not None
    assert SparkSession.getActiveSession() is None


def every_feature(profile: Profile, subject: Subject) -> list[str]:
    """Names of every measure of the catalogue."""
    fill: dict[str, list[str]] = {
        "{w}": ["30"],
        "{n}": ["16"],
        "{a}": numeric_item_attributes(profile),
        "{s}": user_segments(profile),
    }
    names = [measure.pattern for measure in MEASURES[subject]]
    for mark, values in fill.items():
        names = [name.replace(mark, value) for name in names for value in (values if mark in name else [""])]
    return names


def make_profile() -> Profile:
    text = {name: name for name in ("title", "creator", "year", "duration")}
    numbers = {name: {"column": name, "type": "number"} for name in ("energy", "tempo")}
    profile = Profile.model_validate(
        {
            "name": "world",
            "events": {"path": "e", "columns": {"user_id": "u", "item_id": "i", "ts": "t", "weight": "w"}},
            "users": {"path": "u", "columns": {"user_id": "u", "country": "c", "age": "a", "registered": "r"}},
            "items": {
                "path": "i",
                "columns": {"item_id": "i", "category": {"column": "c", "separator": "|"}, **text, **numbers},
            },
        }
    )
    features = {
        "user": [
            *every_feature(profile, "user"),
            "events_7d",
            "creators_7d",
            "country",
            "age",
            "age_band",
            "registered",
        ],
        "item": [*every_feature(profile, "item"), "creator", "category", "year", "duration", "energy"],
        "pair": every_feature(profile, "pair"),
    }
    return profile.model_copy(update={"features": profile.features.model_copy(update=features)})


def land_world(lake: Lake, seed: int) -> None:
    """Users and items with missing values, events with odd weights and on the instants where nights and days end."""
    rng = np.random.default_rng(seed)

    def missing(values: list[Any], share: float = 0.15) -> list[Any]:
        return [None if rng.random() < share else value for value in values]

    users = pd.DataFrame(
        {
            "user_id": [f"user {n}" for n in range(USERS)],
            "country": missing(rng.choice(["UK", "FR", "Türkiye"], USERS).tolist()),
            "age": pd.array(missing(rng.integers(10, 80, USERS).tolist()), dtype="Float32"),
            "age_band": missing(rng.choice(["18-24", "25-34"], USERS).tolist()),
            "registered": pd.to_datetime(
                missing([datetime(2019, 12, 1) + timedelta(hours=int(h)) for h in rng.integers(0, 2000, USERS)])
            ),
        }
    )
    titles = ["The  Lamp", " étude №5\t", "", "a", "Ştraße 1999", "hello hello", "99 Luftballons", "x" * 40, "日本の歌"]
    titles += ["ΣΊΣΥΦΟΣ", "İstanbul", "a\x0bb"]  # what Java's own small letters and white space are not DuckDB's of
    categories = [["jazz"], ["jazz", "rock"], [], ["pop", "rock", "jazz"], ["rock"]]
    items = pd.DataFrame(
        {
            "item_id": [f"item-{n}" for n in range(ITEMS)],
            "title": missing([titles[n % len(titles)] for n in range(ITEMS)]),
            "creator": missing(rng.choice(["oak", "lux", "Ümit", "zed"], ITEMS).tolist()),
            "category": missing([categories[n] for n in rng.integers(0, len(categories), ITEMS)]),
            "year": pd.array(missing(rng.integers(1960, 2021, ITEMS).tolist()), dtype="Int32"),
            "duration": pd.array(missing(rng.uniform(30, 400, ITEMS).tolist()), dtype="Float64"),
            "energy": pd.array(missing(rng.random(ITEMS).tolist()), dtype="Float64"),
            "tempo": pd.array(missing(rng.normal(0, 1e5, ITEMS).tolist()), dtype="Float64"),
        }
    )
    seconds = rng.integers(0, 36 * 86_400, EVENTS)
    seconds[:60] -= seconds[:60] % 86_400
    seconds[60:80] += 86_399 - seconds[60:80] % 86_400
    events = pd.DataFrame(
        {
            "user_id": [f"user {int(n)}" for n in np.minimum(rng.exponential(6, EVENTS), USERS - 3)],
            "item_id": [f"item-{n}" for n in rng.integers(0, ITEMS + 2, EVENTS)],
            "ts": [datetime(2020, 1, 1) + timedelta(seconds=int(s), microseconds=int(s) % 997) for s in seconds],
            "event_type": "play",
            "weight": rng.choice([1, 0.1, 3.7, 0, 250.0], EVENTS).astype("float32"),
            "landed": NIGHTS[-1],
            "removed": False,
        }
    )
    for table, frame in (("users", users), ("items", items), ("events", events)):
        lake.write(table, NIGHTS[-1], frame)


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame, features: tuple[Feature, ...]) -> None:
    assert list(found.columns) == list(expected.columns)
    for feature in features:
        left, right = found[feature.name], expected[feature.name]
        if feature.kind == "numeric" and feature.unit in ("events", "days", "creators", "categories", "users"):
            np.testing.assert_array_equal(left, right, err_msg=feature.name)
        elif feature.kind == "numeric":
            np.testing.assert_allclose(left, right, rtol=1e-6, err_msg=feature.name)
        elif feature.kind == "vector":
            assert [value is None for value in left] == [value is None for value in right], feature.name
            for one, other in zip(left, right, strict=True):
                if one is not None:
                    np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=feature.name)
        else:
            assert _plain(left) == _plain(right), feature.name
    rest = [name for name in expected if name not in {feature.name for feature in features}]
    pd.testing.assert_frame_equal(found[rest], expected[rest])


def _plain(values: pd.Series) -> list[Any]:
    return [list(value) if isinstance(value, np.ndarray) else None if pd.isna(value) else value for value in values]


def test_snapshots_are_equal_on_both_engines(spark: Engine, lake: Lake, tmp_path: Path) -> None:
    land_world(lake, seed=1)
    other = Lake(tmp_path / "spark")
    shutil.copytree(lake.root, other.root)
    profile = make_profile()
    tables = feature_tables(profile)
    todo = dict.fromkeys(tables, NIGHTS)
    build_snapshots(lake, profile, todo, NIGHTS[-1])
    build_snapshots(other, profile.model_copy(update={"engine": spark}), todo, NIGHTS[-1])
    for name, table in tables.items():
        for night in NIGHTS:
            expected = lake.read(name, night)
            assert len(expected) > 0
            assert_equal(other.read(name, night), expected, table.features)


changes = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["desk", "lamp"]),
        st.sampled_from([0, 1]),
        st.sampled_from([1.0, 2.5]),
        st.booleans(),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=25,
)


@hypothesis_settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # without shrinking: a run takes a second
    suppress_health_check=list(HealthCheck),
)
@given(changes, st.integers(0, 3))
def test_the_log_of_changes_is_replayed_alike(
    spark: Engine, tmp_path_factory: pytest.TempPathFactory, drawn: list[Any], last: int
) -> None:
    lake = Lake(tmp_path_factory.mktemp("log"))
    log = pd.DataFrame(drawn, columns=["user_id", "item_id", "ts", "weight", "removed", "landed"])
    log["ts"] = log["ts"].map(lambda hour: datetime(2020, 1, 1, hour)).astype("datetime64[us]")
    log["landed"] = log["landed"].map(lambda day: D1 + timedelta(days=day))
    log = log.assign(event_type="event").astype({"weight": "float32"})
    for night, rows in log.groupby("landed"):
        lake.write("events", night, rows, {"removed": int(rows["removed"].sum())})
    known = max(D1 + timedelta(days=last), lake.nights("events")[0])
    answers = []
    for engine in (Engine(), spark):
        with feature_engine(engine) as connection:
            events = known_events_table(connection, lake, known)
            columns = sorted(events.columns)
            answers.append((columns, sorted(events.select(columns).to_pyarrow().to_pylist(), key=str)))
    assert answers[0] == answers[1]


ROWS = pd.DataFrame(
    [
        (user, item, moment)
        for user in [*pair_world.USERS, "u-never"]
        for item in pair_world.ITEMS
        for moment in (night_end(pair_world.NIGHT), night_end(NEXT) - timedelta(microseconds=1), night_end(NEXT))
    ],
    columns=["user_id", "item_id", "event_timestamp"],
).astype({"event_timestamp": "datetime64[us, UTC]"})


def test_feast_on_spark_joins_and_materializes_the_same_values(
    spark: Engine, tmp_path: Path, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    profile = pair_world.pair_profile()
    settings = Settings(profile, tmp_path / "small.yaml", tmp_path, tmp_path / "home", None)
    lake = Lake(settings.lake)
    pair_world.write_pair_world(lake, profile)
    older = pd.DataFrame({"item_id": ["i0"], "event_timestamp": pd.to_datetime(["2025-12-30"]).as_unit("us")})
    lake.write("item_features", date(2025, 12, 29), older)  # of a time when no feature was declared
    rows = pd.concat([ROWS, ROWS.head(2), ROWS.head(1).assign(event_timestamp=pd.Timestamp("2025-12-31", tz="UTC"))])
    known = affinity_keys(lake, profile, NEXT, rows["user_id"].to_numpy(object), rows["item_id"].to_numpy(object))
    answers = []
    for engine in (Engine(), spark):
        chosen = profile.model_copy(update={"engine": engine})
        store = feature_store(replace(settings, profile=chosen), database_url)
        apply(store, chosen, settings.lake)
        users, items = historical_features(store, chosen, rows)
        answers.append([users, items, historical_pair_features(store, chosen, rows.assign(**known))])
        assert materialize(store, NEXT)
        online = [online_features(store, chosen, user) for user in pair_world.USERS]
        answers[-1].append(pd.DataFrame(online))
    for left, right in zip(*answers, strict=True):
        pd.testing.assert_frame_equal(right, left)
        assert right.notna().any(axis=None)
    said = capfd.readouterr()
    assert (said.out, "Traceback" in said.err, "Warning" in said.err) == ("", False, False)


def test_two_keys_are_not_run_together(spark: Engine, tmp_path: Path, database_url: str) -> None:
    """Feast identifies a row by its keys' texts in a row: ("a", "bc") would be ("ab", "c")."""
    profile = pair_world.pair_profile(pair=["country_category_affinity_90d"], user=[], item=[])
    settings = Settings(profile.model_copy(update={"engine": spark}), tmp_path / "p", tmp_path, tmp_path, None)
    moment = pd.Timestamp("2026-01-06")
    snapshot = {"country": ["a", "ab"], "category": ["bc", "c"], "event_timestamp": [moment.as_unit("us")] * 2}
    values = {"country_category_affinity_90d": np.array([1, 2], "float32")}
    Lake(settings.lake).write("country_category_affinity", pair_world.NIGHT, pd.DataFrame(snapshot | values))
    store = feature_store(settings, database_url)
    apply(store, settings.profile, settings.lake)
    rows = ROWS.tail(2).assign(country=["ab", "a"], category=["c", "bc"])
    found = historical_pair_features(store, settings.profile, rows)
    assert found["country_category_affinity_90d"].to_list() == [2, 1]


def test_without_snapshots_the_message_says_what_to_run(
    spark: Engine, tmp_path: Path, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    profile = pair_world.pair_profile(pair=[]).model_copy(update={"engine": spark})
    store = feature_store(Settings(profile, tmp_path / "p", tmp_path, tmp_path, None), database_url)
    apply(store, profile, tmp_path / "lake")
    with pytest.raises(NotReadyError, match="run `recommender run features`") as caught:
        historical_features(store, profile, ROWS)
    assert "\n" not in str(caught.value)
    with pytest.raises(NotReadyError, match="run `recommender run features`"):
        materialize(store, NEXT)
    assert "Traceback" not in capfd.readouterr().err


def test_the_features_stage_runs_on_spark(
    spark: Engine, tmp_path: Path, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    shop = write_shop(tmp_path / "shop", profile=PROFILE + "quality: {max_rejected_share: 1.0}\n")
    pipeline.ingest(shop, FIRST)
    on_spark = replace(shop, profile=shop.profile.model_copy(update={"engine": spark}))
    first = pipeline.features(on_spark, FIRST)
    lake, names = Lake(shop.lake), list(feature_tables(shop.profile))
    built = {(name, night): lake.read(name, night) for name in names for night in lake.nights(name)}
    assert len(built) >= len(names)
    for name, night in built:
        lake.remove(name, night)
    assert pipeline.features(shop, FIRST).detail == first.detail
    for (name, night), rows in built.items():
        pd.testing.assert_frame_equal(rows, lake.read(name, night))


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"spark_master": "localhost:7077"}, "no master of Spark.s: write spark://host:7077"),
        ({"spark": {"executor.memory": "8g"}}, "begin with spark\\."),
        ({"kind": "sparc"}, "kind"),
    ],
)
def test_a_wrong_engine_is_refused(engine: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Engine.model_validate(engine)


def test_settings_of_spark_come_from_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = spark_conf(Engine(kind="spark", memory_gb=3, threads=2))
    assert (conf["spark.master"], conf["spark.driver.memory"]) == ("local[2]", "3072m")
    assert conf["spark.driver.bindAddress"] == "127.0.0.1"
    _, _, logging = conf["spark.driver.defaultJavaOptions"].strip('"').partition("=file:")
    assert Path(logging).is_file()
    own = {"spark.dynamicAllocation.enabled": True, "spark.driver.memory": "8g"}
    conf = spark_conf(Engine(kind="spark", spark_master="spark://head:7077", spark=own))
    assert (conf["spark.master"], conf["spark.driver.memory"]) == ("spark://head:7077", "8g")
    assert conf["spark.dynamicAllocation.enabled"] == "true"
    assert "spark.driver.bindAddress" not in conf


def test_without_java_or_pyspark_the_message_says_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(ConfigError, match="needs Java 17, and /nowhere .JAVA_HOME. has no bin/java"):
        spark_conf(SPARK)
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="no `java` is on the PATH"):
        spark_conf(SPARK)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'nightly-recommender[spark]'")):
        spark_conf(SPARK)
