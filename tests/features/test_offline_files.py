"""The files of our offline store: rows written to them, and what can't be read or asked, in one line."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    FeatureStore,
    FileSource,
    PushSource,
)
from feast.data_format import DeltaFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage

from recommender.errors import ConfigError, NotReadyError, SourceError
from recommender.features.offline.store import AsofOfflineStore
from tests.features.offline import LATER, START, asked, assert_same


def test_rows_are_appended_to_a_file_or_a_folder(offline_folder: Path, offline_store: FeatureStore) -> None:
    more = pa.table({"at": pa.array([datetime(2026, 1, 9)], pa.timestamp("us")), "rain": pa.array([9], pa.int32())})
    view = offline_store.get_feature_view("days")
    AsofOfflineStore.offline_write_batch(offline_store.config, view, more, None)
    assert sorted(pd.read_parquet(offline_folder / "days.parquet")["rain"]) == [2, 4, 9]
    (offline_folder / "rainy").mkdir()
    view.batch_source = FileSource(path="rainy", timestamp_field="at")
    for _ in range(2):
        AsofOfflineStore.offline_write_batch(offline_store.config, view, more, None)
    source = view.batch_source
    every = AsofOfflineStore.pull_all_from_table_or_query(offline_store.config, source, [], ["rain"], "at")
    assert every.to_df()["rain"].to_list() == [9, 9]
    view.batch_source = FileSource(path="*.parquet", timestamp_field="at")
    with pytest.raises(ConfigError, match="days: rows can't be appended to the pattern"):
        AsofOfflineStore.offline_write_batch(offline_store.config, view, more, None)


def test_rows_with_other_columns_are_not_appended(offline_folder: Path, offline_store: FeatureStore) -> None:
    before = (offline_folder / "days.parquet").read_bytes()
    more = pa.table({"rain": [9], "at": pa.array([datetime(2026, 1, 9)], pa.timestamp("us"))})
    with pytest.raises(SourceError, match="days: the rows have the columns rain, at, but .*days.parquet has at, rain"):
        AsofOfflineStore.offline_write_batch(offline_store.config, offline_store.get_feature_view("days"), more, None)
    assert (offline_folder / "days.parquet").read_bytes() == before


@pytest.mark.parametrize("path", ["saved.parquet", "saved"])
def test_a_result_is_saved_and_read_again(offline_folder: Path, offline_store: FeatureStore, path: str) -> None:
    rows = asked(10)[["user", "event_timestamp", "row"]]
    job = offline_store.get_historical_features(rows, ["scores:score", "lasting:word"])
    storage = SavedDatasetFileStorage(path=path)
    for _ in range(2):
        offline_store.create_saved_dataset(job, path, storage, allow_overwrite=True)
    again = offline_store.get_saved_dataset(path).to_df()
    columns = ["user", "score", "word", "event_timestamp"]
    assert_same(again[columns], job.to_df()[columns])
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(storage)


def test_logged_features_are_added_to_their_folder(offline_folder: Path, offline_store: FeatureStore) -> None:
    logging = LoggingConfig(destination=FileLoggingDestination(path=str(offline_folder / "logs")))
    logs = pa.table({"__log_timestamp": pa.array([datetime(2026, 1, 9)], pa.timestamp("us")), "rain": [9]})
    pq.write_table(logs, offline_folder / "one-log.parquet")
    for data in (logs, offline_folder / "one-log.parquet"):
        AsofOfflineStore.write_logged_features(offline_store.config, data, None, logging, offline_store.registry)
    source = logging.destination.to_data_source()
    found = AsofOfflineStore.pull_all_from_table_or_query(
        offline_store.config, source, [], ["rain"], "__log_timestamp"
    ).to_df()
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
def test_rows_that_cannot_be_asked_about(offline_store: FeatureStore, rows: pd.DataFrame | str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        offline_store.get_historical_features(rows, ["scores:score"])
    assert "\n" not in str(caught.value)
    assert "ann" not in str(caught.value)


def test_keys_of_another_type_are_one_line(offline_store: FeatureStore) -> None:
    rows = pd.DataFrame({"user": [[1, 2]], "event_timestamp": INSTANT})
    with pytest.raises(SourceError, match="features can't be read: .*VARCHAR") as caught:
        offline_store.get_historical_features(rows, ["scores:score"]).to_df()
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
    offline_folder: Path, offline_store: FeatureStore, source: FileSource, error: type[Exception], message: str
) -> None:
    (offline_folder / "text.parquet").write_text("no Parquet")
    with pytest.raises(error, match=message) as caught:
        AsofOfflineStore.pull_latest_from_table_or_query(
            offline_store.config, source, [], ["made"], "at", None, START, LATER
        )
    assert "\n" not in str(caught.value)


def test_validation_lets_files_come_later(offline_folder: Path, offline_store: FeatureStore) -> None:
    check = AsofOfflineStore().validate_data_source
    check(offline_store.config, FileSource(path="nothing-*.parquet", timestamp_field="at"))
    check(offline_store.config, FileSource(path="days.parquet", timestamp_field="at"))
    check(offline_store.config, PushSource(name="pushed", batch_source=FileSource(path="days.parquet")))
    with pytest.raises(ConfigError, match="reads local files"):
        check(offline_store.config, FileSource(path="s3://far/away.parquet", timestamp_field="at"))
