"""Our offline store gives what Feast's own duckdb store gives, and what that one doesn't."""

import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    RepoConfig,
    ValueType,
)
from feast.data_format import DeltaFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.on_demand_feature_view import PandasTransformation
from feast.types import Float32, Float64, Int64, String

from recommender.errors import ConfigError, NotReadyError, RecommenderError, SourceError
from recommender.features.offline.parquet_source import ParquetSource
from recommender.features.offline.retrieval_job import DuckDBJob, engine
from recommender.features.offline.store import AsofOfflineStore

OURS, STOCK = "recommender.features.offline.store.AsofOfflineStore", "duckdb"
START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def open_store(folder: Path, kind: str, **options: Any) -> FeatureStore:
    return FeatureStore(
        config=RepoConfig(
            project="test",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store={"type": kind, **options},
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )


def a_sum(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"more": inputs["score"] + inputs["weight"]})


def definitions(folder: Path) -> list[Any]:
    """Two keys, a shared key under two names, renamed columns, creation times, and times to live."""
    user, shop = (Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in ("user", "shop"))
    place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.INT64)
    scores = FileSource(
        name="scores",
        path=str(folder / "scores.parquet"),
        timestamp_field="at",
        created_timestamp_column="made",
        field_mapping={"raw_score": "score"},
    )
    pairs = FileSource(name="pairs", path=str(folder / "pairs.parquet"), timestamp_field="at")
    heats = FileSource(name="heats", path=str(folder / "heats-*.parquet"), timestamp_field="at")
    fields = [Field(name="score", dtype=Float32), Field(name="word", dtype=String), Field(name="user", dtype=String)]
    pair_fields = [Field(name="weight", dtype=Float64), Field(name="user", dtype=String)]
    first = FeatureView(name="scores", entities=[user], schema=fields, source=scores, ttl=timedelta(0))
    second = FeatureView(
        name="pairs",
        entities=[user, shop],
        schema=[*pair_fields, Field(name="shop", dtype=String)],
        source=pairs,
        ttl=timedelta(days=3),
    )
    lasting = FeatureView(name="lasting", entities=[user], schema=fields, source=scores, ttl=timedelta(days=1))
    heat_fields = [Field(name="heat", dtype=Float32), Field(name="place_id", dtype=Int64)]
    heat = FeatureView(name="heats", entities=[place], schema=heat_fields, source=heats, ttl=timedelta(0))
    homes = heat.with_name("home").with_join_key_map({"place_id": "place"})
    offices = heat.with_name("work").with_join_key_map({"place_id": "office"})
    days = FileSource(name="days", path="days.parquet", timestamp_field="at")
    everywhere = FeatureView(name="days", schema=[Field(name="rain", dtype=Int64)], source=days, ttl=timedelta(0))
    return [
        everywhere,
        user,
        shop,
        place,
        first,
        lasting,
        second,
        heat,
        FeatureService(name="all", features=[first, lasting, second, homes, offices]),
        OnDemandFeatureView(
            name="sums",
            sources=[first, second],
            schema=[Field(name="more", dtype=Float64)],
            feature_transformation=PandasTransformation(udf=a_sum, udf_string=inspect.getsource(a_sum)),
            mode="pandas",
        ),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry and the files of one world."""
    folder = tmp_path_factory.mktemp("offline")
    write_world(folder, seed=0)
    open_store(folder, OURS).apply(definitions(folder))
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> FeatureStore:
    return open_store(folder, OURS)


def instants(rng: np.random.Generator, count: int, hours: int = 12 * 24) -> pd.Series:
    """On full hours, so that many coincide."""
    return pd.Series(START.replace(tzinfo=None) + pd.to_timedelta(rng.integers(0, hours, count), unit="h"))


def write_world(folder: Path, seed: int) -> None:
    """Snapshots with several creation times an instant, missing values, and a heat file without the column `heat`."""
    rng = np.random.default_rng(seed)
    n = 150
    users, shops = rng.choice(["ann", "bob", "o'neil", "дима"], n), rng.choice(["s1", "s2"], n)
    made = instants(rng, n, hours=20 * 24) + pd.to_timedelta(np.arange(n), unit="ms")  # no two alike
    scores = pd.DataFrame({"user": users, "at": instants(rng, n), "made": made, "raw_score": rng.random(n)})
    scores["raw_score"] = scores["raw_score"].astype("float32").mask(rng.random(n) < 0.2)
    scores["word"] = rng.choice(["x", "y", None], n)
    write(scores, folder / "scores.parquet")
    pairs = pd.DataFrame({"user": users, "shop": shops, "at": instants(rng, n), "weight": rng.random(n)})
    pairs = pairs.drop_duplicates(["user", "shop", "at"])
    write(pairs, folder / "pairs.parquet")
    heats = pd.DataFrame({"place_id": rng.integers(0, 5, n), "at": instants(rng, n)})
    heats["heat"] = rng.random(n).astype("float32")
    write(heats.drop_duplicates(["place_id", "at"]), folder / "heats-1.parquet")
    write(pd.DataFrame({"at": [pd.Timestamp(2026, 1, day) for day in (2, 4)], "rain": [2, 4]}), folder / "days.parquet")


def write(frame: pd.DataFrame, path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, coerce_timestamps="us")


def asked(seed: int, count: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng([seed, 1])
    return pd.DataFrame(
        {
            "place": rng.integers(0, 7, count),
            "user": rng.choice(["ann", "bob", "o'neil", "дима", "nobody", None], count),
            "event_timestamp": instants(rng, count, hours=16 * 24).dt.tz_localize("UTC"),
            "shop": rng.choice(["s1", "s2", "s3"], count),
            "office": rng.integers(0, 7, count),
            "row": np.arange(count),
        }
    )


def retrieved(store: FeatureStore, rows: pd.DataFrame | str | None, **options: Any) -> pd.DataFrame:
    """Features of all views; one of them twice under the names of two columns of the entity rows."""
    return store.get_historical_features(
        rows, store.get_feature_service("all"), full_feature_names=True, **options
    ).to_df()


def assert_same(ours: pd.DataFrame, other: pd.DataFrame) -> None:
    assert sorted(ours.columns) == sorted(other.columns)
    for name in ours:
        left, right = ([None if pd.isna(value) else value for value in frame[name]] for frame in (ours, other))
        assert left == right, name


@pytest.mark.parametrize("known_only", [False, True], ids=["all", "known only"])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_values_as_feasts_duckdb_store(folder: Path, seed: int, known_only: bool) -> None:
    write_world(folder, seed)
    rows = asked(seed)
    expected = retrieved(open_store(folder, STOCK), rows.copy(), filter_by_created_timestamp=known_only)
    found = retrieved(open_store(folder, OURS), rows, filter_by_created_timestamp=known_only)
    assert found["row"].to_list() == list(range(len(rows))), "the caller's order"
    assert found["scores__score"].notna().sum() > 30
    assert_same(found, expected.sort_values("row").reset_index(drop=True))


def test_a_query_asks_like_a_frame(store: FeatureStore, folder: Path) -> None:
    rows = asked(7)
    write(rows.rename(columns={"event_timestamp": "moment"}), folder / "rows.parquet")
    found = retrieved(store, f"select * from '{folder}/rows.parquet' order by \"row\" desc;")
    expected = retrieved(store, rows.iloc[::-1]).rename(columns={"event_timestamp": "moment"})
    assert list(found.columns) == list(expected.columns)
    assert_same(found, expected)


def test_texts_and_naive_times_are_utc(store: FeatureStore) -> None:
    rows = asked(7)
    texts = rows.assign(event_timestamp=rows["event_timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    naive = rows.assign(event_timestamp=rows["event_timestamp"].dt.tz_localize(None))
    for other in (texts, naive):
        assert_same(retrieved(store, other), retrieved(store, rows))


def test_never_more_or_fewer_rows_and_the_same_bits_twice(store: FeatureStore) -> None:
    rows = asked(8).sample(500, replace=True, random_state=0)
    first, second = retrieved(store, rows), retrieved(store, rows)
    assert first["row"].to_list() == rows["row"].to_list()
    pd.testing.assert_frame_equal(first, second)
    assert len(retrieved(store, rows.head(0))) == 0


def test_without_entity_rows_every_snapshot_in_the_range_answers(store: FeatureStore, folder: Path) -> None:
    start, end = START + timedelta(days=2), START + timedelta(days=4)
    found = store.get_historical_features(
        features=["scores:score", "lasting:word"], start_date=start, end_date=end
    ).to_df()
    snapshots = pd.read_parquet(folder / "scores.parquet").sort_values("made")
    snapshots["at"] = snapshots["at"].dt.tz_localize("UTC")
    expected = snapshots[snapshots["at"].between(start, end)].drop_duplicates(["user", "at"], keep="last")
    expected = expected.sort_values(["at", "user"]).reset_index(drop=True)
    assert found["event_timestamp"].is_monotonic_increasing
    assert_same(
        found.sort_values(["event_timestamp", "user"]).reset_index(drop=True),
        expected[["user", "at", "raw_score", "word"]].set_axis(["user", "event_timestamp", "score", "word"], axis=1),
    )


def test_on_demand_features_see_the_joined_ones(store: FeatureStore) -> None:
    job = store.get_historical_features(asked(9), ["sums:more", "scores:score", "pairs:weight"])
    found = job.to_df()
    assert found["more"].notna().sum() > 5
    np.testing.assert_allclose(found["more"], found["score"] + found["weight"])
    batches = list(job.to_arrow_batches(50))
    assert [len(batch) for batch in batches] == [50, 50, 20]
    assert "more" in batches[0].schema.names


def test_a_view_without_entities_is_joined_by_time_alone(store: FeatureStore) -> None:
    rows = pd.DataFrame({"event_timestamp": pd.to_datetime(["2026-01-05", "2026-01-02", "2026-01-01"], utc=True)})
    found = store.get_historical_features(rows, ["days:rain"]).to_df()
    assert [None if pd.isna(value) else value for value in found["rain"]] == [4, 2, None]


def test_batches_are_the_whole_result(folder: Path) -> None:
    count = 5_000
    numbers = pd.DataFrame({"at": [pd.Timestamp(2026, 1, 1)] * count, "rain": range(count), "user": "ann"})
    write(numbers, folder / "many.parquet")
    store = open_store(folder, OURS)
    job = AsofOfflineStore.pull_all_from_table_or_query(
        store.config, FileSource(path=str(folder / "many.parquet")), ["user"], ["rain"], "at"
    )
    assert isinstance(job, DuckDBJob)
    batches = list(job.to_arrow_batches(2_048))
    assert max(len(batch) for batch in batches) <= 2_048
    assert pa.Table.from_batches(batches).equals(job.to_arrow())
    taken = job.to_arrow_batches(2_048)
    assert len(next(taken)) > 0
    taken.close()


def test_the_engine_keeps_to_its_limits_and_leaves_nothing_behind() -> None:
    with engine(0.25, 1) as connection:
        names = ("memory_limit", "threads", "temp_directory", "timezone")
        limits = {name: connection.execute(f"select current_setting('{name}')").fetchone()[0] for name in names}
        assert Path(limits["temp_directory"]).is_dir()
    assert not Path(limits["temp_directory"]).exists()
    assert limits["memory_limit"].startswith("238.4 M")  # 0.25 GB
    assert (limits["threads"], limits["timezone"]) == (1, "UTC")


def test_too_little_memory_says_which_setting_to_raise(folder: Path) -> None:
    rows = pd.concat([asked(seed, count=20_000) for seed in range(5)])
    with pytest.raises(RecommenderError, match="more than 0.002 GB: raise memory_gb under offline_store"):
        retrieved(open_store(folder, OURS, memory_gb=0.002), rows)


@pytest.mark.parametrize("created", [None, "made"])
def test_the_latest_rows_are_those_of_feasts_duckdb_store(folder: Path, created: str | None) -> None:
    write_world(folder, seed=3)
    start, end = datetime(2026, 1, 3, 5, tzinfo=UTC), datetime(2026, 1, 6, 17, tzinfo=UTC)
    answers = []
    for kind in (OURS, STOCK):
        store, source = open_store(folder, kind), FileSource(path=str(folder / "scores.parquet"))
        frame = (
            store._get_provider()
            .offline_store.pull_latest_from_table_or_query(
                store.config, source, ["user"], ["raw_score", "word"][: 2 if created else 0], "at", created, start, end
            )
            .to_df()
        )
        instants = {name: pd.to_datetime(frame[name], utc=True) for name in ("at", "made") if name in frame}
        answers.append(frame.assign(**instants).sort_values("user", ignore_index=True))
    ours, stock = answers
    assert ours["at"].between(start, end).all()
    assert len(ours) == ours["user"].nunique() == len(stock)
    assert_same(ours[["user", "at", *(["made", "raw_score", "word"] if created else [])]], stock)


def test_without_feature_columns_all_columns_are_pulled(folder: Path) -> None:
    store = open_store(folder, OURS)
    source = FileSource(path="days.parquet")
    for keys in ([], ["__dummy_id"]):  # of a view without entities
        latest = AsofOfflineStore.pull_latest_from_table_or_query(
            store.config, source, keys, [], "at", None, START, LATER
        )
        assert latest.to_df().drop(columns="at").to_dict("list") == {"rain": [4], "__dummy_id": [""]}
    every = AsofOfflineStore.pull_all_from_table_or_query(store.config, source, [], ["rain"], "at")
    assert sorted(every.to_df()["rain"]) == [2, 4]
    edge = datetime(2026, 1, 2, tzinfo=UTC)
    at_edge = AsofOfflineStore.pull_all_from_table_or_query(
        store.config, source, [], ["rain"], "at", start_date=edge, end_date=edge
    )
    assert at_edge.to_df()["rain"].to_list() == [2], "both bounds are included"


def test_files_outside_the_bounds_are_skipped_by_their_statistics() -> None:
    def where(kind: str) -> str:
        return ParquetSource("p", "r", {"at": kind}, "at").between(START, None)

    assert where("TIMESTAMP") == "\"at\" >= TIMESTAMP '2026-01-01 00:00:00'"
    assert where("TIMESTAMP WITH TIME ZONE") == "\"at\" >= TIMESTAMP WITH TIME ZONE '2026-01-01 00:00:00+00:00'"
    assert where("VARCHAR").startswith('"at"::timestamptz >= ')


def test_a_column_that_older_files_lack_is_missing_there(folder: Path, store: FeatureStore) -> None:
    old = pd.DataFrame({"place_id": [77], "at": [pd.Timestamp(2025, 6, 1)]})
    write(old, folder / "heats-0.parquet")
    write(old.assign(at=pd.Timestamp(2025, 7, 1), heat=np.float32(3)), folder / "heats-2.parquet")
    rows = pd.DataFrame(
        {"place_id": [77, 77], "event_timestamp": pd.to_datetime(["2025-06-15", "2025-07-15"], utc=True)}
    )
    found = store.get_historical_features(rows, ["heats:heat"]).to_df()["heat"]
    assert np.isnan(found[0]) and found[1] == 3
    columns = dict(
        AsofOfflineStore().get_table_column_names_and_types_from_data_source(
            store.config, store.get_feature_view("heats").batch_source
        )
    )
    assert columns["heat"] == "float"


def test_rows_are_appended_to_a_file_or_a_folder(folder: Path, store: FeatureStore) -> None:
    more = pa.table({"at": pa.array([datetime(2026, 1, 9)], pa.timestamp("us")), "rain": pa.array([9], pa.int32())})
    view = store.get_feature_view("days")
    AsofOfflineStore.offline_write_batch(store.config, view, more, None)
    assert sorted(pd.read_parquet(folder / "days.parquet")["rain"]) == [2, 4, 9]
    (folder / "rainy").mkdir()
    view.batch_source = FileSource(path="rainy", timestamp_field="at")
    for _ in range(2):
        AsofOfflineStore.offline_write_batch(store.config, view, more, None)
    source = view.batch_source
    every = AsofOfflineStore.pull_all_from_table_or_query(store.config, source, [], ["rain"], "at")
    assert every.to_df()["rain"].to_list() == [9, 9]
    view.batch_source = FileSource(path="*.parquet", timestamp_field="at")
    with pytest.raises(ConfigError, match="days: rows can't be appended to the pattern"):
        AsofOfflineStore.offline_write_batch(store.config, view, more, None)


def test_rows_with_other_columns_are_not_appended(folder: Path, store: FeatureStore) -> None:
    before = (folder / "days.parquet").read_bytes()
    more = pa.table({"rain": [9], "at": pa.array([datetime(2026, 1, 9)], pa.timestamp("us"))})
    with pytest.raises(SourceError, match="days: the rows have the columns rain, at, but .*days.parquet has at, rain"):
        AsofOfflineStore.offline_write_batch(store.config, store.get_feature_view("days"), more, None)
    assert (folder / "days.parquet").read_bytes() == before


@pytest.mark.parametrize("path", ["saved.parquet", "saved"])
def test_a_result_is_saved_and_read_again(folder: Path, store: FeatureStore, path: str) -> None:
    rows = asked(10)[["user", "event_timestamp", "row"]]
    job = store.get_historical_features(rows, ["scores:score", "lasting:word"])
    storage = SavedDatasetFileStorage(path=path)
    for _ in range(2):
        store.create_saved_dataset(job, path, storage, allow_overwrite=True)
    again = store.get_saved_dataset(path).to_df()
    columns = ["user", "score", "word", "event_timestamp"]
    assert_same(again[columns], job.to_df()[columns])
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(storage)


def test_logged_features_are_added_to_their_folder(folder: Path, store: FeatureStore) -> None:
    logging = LoggingConfig(destination=FileLoggingDestination(path=str(folder / "logs")))
    logs = pa.table({"__log_timestamp": pa.array([datetime(2026, 1, 9)], pa.timestamp("us")), "rain": [9]})
    pq.write_table(logs, folder / "one-log.parquet")
    for data in (logs, folder / "one-log.parquet"):
        AsofOfflineStore.write_logged_features(store.config, data, None, logging, store.registry)
    source = logging.destination.to_data_source()
    found = AsofOfflineStore.pull_all_from_table_or_query(store.config, source, [], ["rain"], "__log_timestamp").to_df()
    assert found["rain"].to_list() == [9, 9]


INSTANT = pd.to_datetime(["2026-01-05"], utc=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            pd.DataFrame({"event_timestamp": INSTANT}),
            "entity rows lack user, a join key of feature view scores; they have",
        ),
        (pd.DataFrame({"user": ["ann"]}), "need one column of instants, named event_timestamp; they have user"),
        (pd.DataFrame({"user": ["ann"], "a": INSTANT, "b": INSTANT}), "need one column of instants"),
        (
            pd.DataFrame({"user": ["ann", 5], "event_timestamp": [*INSTANT, *INSTANT]}),
            "Conversion failed for column user",
        ),
        (pd.DataFrame({"user": ["ann"], "event_timestamp": INSTANT, "score": 1}), "columns .* would be named score"),
        ("select * from nowhere", "entity rows can't be read: .*nowhere"),
        ("select from", "entity rows can't be read"),
    ],
)
def test_rows_that_cannot_be_asked_about(store: FeatureStore, rows: pd.DataFrame | str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        store.get_historical_features(rows, ["scores:score"])
    assert "\n" not in str(caught.value)
    assert "ann" not in str(caught.value)


def test_keys_of_another_type_are_one_line(store: FeatureStore) -> None:
    rows = pd.DataFrame({"user": [[1, 2]], "event_timestamp": INSTANT})
    with pytest.raises(SourceError, match="features can't be read: .*VARCHAR") as caught:
        store.get_historical_features(rows, ["scores:score"]).to_df()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (
            FileSource(path="nothing-*.parquet"),
            NotReadyError,
            "no files match .*nothing-.*: run `recommender run features`",
        ),
        (
            FileSource(path="days.parquet"),
            NotReadyError,
            "days.parquet has a column made: run `recommender run features`",
        ),
        (FileSource(path="s3://far/away.parquet"), ConfigError, "reads local files, not s3://far/away.parquet"),
        (FileSource(path="x", file_format=DeltaFormat()), ConfigError, "reads Parquet, not"),
        (FileSource(path="text.parquet"), SourceError, "text.parquet can't be read"),
        (None, ConfigError, "reads Parquet file sources, not no source"),
    ],
)
def test_sources_that_cannot_be_read(
    folder: Path, store: FeatureStore, source: FileSource, error: type[Exception], message: str
) -> None:
    (folder / "text.parquet").write_text("no Parquet")
    with pytest.raises(error, match=message) as caught:
        AsofOfflineStore.pull_latest_from_table_or_query(store.config, source, [], ["made"], "at", None, START, LATER)
    assert "\n" not in str(caught.value)


def test_validation_lets_files_come_later(folder: Path, store: FeatureStore) -> None:
    check = AsofOfflineStore().validate_data_source
    check(store.config, FileSource(path="nothing-*.parquet", timestamp_field="at"))
    check(store.config, FileSource(path="days.parquet", timestamp_field="at"))
    check(store.config, PushSource(name="pushed", batch_source=FileSource(path="days.parquet")))
    with pytest.raises(ConfigError, match="reads local files"):
        check(store.config, FileSource(path="s3://far/away.parquet", timestamp_field="at"))
