"""Our offline store gives what Feast's own duckdb store gives, and what that one doesn't."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import (
    FeatureStore,
    FileSource,
)

from recommender.errors import RecommenderError
from recommender.features.offline.parquet_source import ParquetSource
from recommender.features.offline.retrieval_job import DuckDBJob, engine
from recommender.features.offline.store import AsofOfflineStore
from tests.features.offline import (
    LATER,
    OURS,
    START,
    STOCK,
    asked,
    assert_same,
    open_store,
    retrieved,
    write,
    write_world,
)


@pytest.mark.parametrize("known_only", [False, True], ids=["all", "known only"])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_values_as_feasts_duckdb_store(offline_folder: Path, seed: int, known_only: bool) -> None:
    write_world(offline_folder, seed)
    rows = asked(seed)
    expected = retrieved(open_store(offline_folder, STOCK), rows.copy(), filter_by_created_timestamp=known_only)
    found = retrieved(open_store(offline_folder, OURS), rows, filter_by_created_timestamp=known_only)
    assert found["row"].to_list() == list(range(len(rows))), "the caller's order"
    assert found["scores__score"].notna().sum() > 30
    assert_same(found, expected.sort_values("row").reset_index(drop=True))


def test_a_query_asks_like_a_frame(offline_store: FeatureStore, offline_folder: Path) -> None:
    rows = asked(7)
    write(rows.rename(columns={"event_timestamp": "moment"}), offline_folder / "rows.parquet")
    found = retrieved(offline_store, f"select * from '{offline_folder}/rows.parquet' order by \"row\" desc;")
    expected = retrieved(offline_store, rows.iloc[::-1]).rename(columns={"event_timestamp": "moment"})
    assert list(found.columns) == list(expected.columns)
    assert_same(found, expected)


def test_texts_and_naive_times_are_utc(offline_store: FeatureStore) -> None:
    rows = asked(7)
    texts = rows.assign(event_timestamp=rows["event_timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    naive = rows.assign(event_timestamp=rows["event_timestamp"].dt.tz_localize(None))
    for other in (texts, naive):
        assert_same(retrieved(offline_store, other), retrieved(offline_store, rows))


def test_never_more_or_fewer_rows_and_the_same_bits_twice(offline_store: FeatureStore) -> None:
    rows = asked(8).sample(500, replace=True, random_state=0)
    first, second = retrieved(offline_store, rows), retrieved(offline_store, rows)
    assert first["row"].to_list() == rows["row"].to_list()
    pd.testing.assert_frame_equal(first, second)
    assert len(retrieved(offline_store, rows.head(0))) == 0


def test_without_entity_rows_every_snapshot_in_the_range_answers(
    offline_store: FeatureStore, offline_folder: Path
) -> None:
    start, end = START + timedelta(days=2), START + timedelta(days=4)
    found = offline_store.get_historical_features(
        features=["scores:score", "lasting:word"], start_date=start, end_date=end
    ).to_df()
    snapshots = pd.read_parquet(offline_folder / "scores.parquet").sort_values("made")
    snapshots["at"] = snapshots["at"].dt.tz_localize("UTC")
    expected = snapshots[snapshots["at"].between(start, end)].drop_duplicates(["user", "at"], keep="last")
    expected = expected.sort_values(["at", "user"]).reset_index(drop=True)
    assert found["event_timestamp"].is_monotonic_increasing
    assert_same(
        found.sort_values(["event_timestamp", "user"]).reset_index(drop=True),
        expected[["user", "at", "raw_score", "word"]].set_axis(["user", "event_timestamp", "score", "word"], axis=1),
    )


def test_on_demand_features_see_the_joined_ones(offline_store: FeatureStore) -> None:
    job = offline_store.get_historical_features(asked(9), ["sums:more", "scores:score", "pairs:weight"])
    found = job.to_df()
    assert found["more"].notna().sum() > 5
    np.testing.assert_allclose(found["more"], found["score"] + found["weight"])
    batches = list(job.to_arrow_batches(50))
    assert [len(batch) for batch in batches] == [50, 50, 20]
    assert "more" in batches[0].schema.names


def test_a_view_without_entities_is_joined_by_time_alone(offline_store: FeatureStore) -> None:
    rows = pd.DataFrame({"event_timestamp": pd.to_datetime(["2026-01-05", "2026-01-02", "2026-01-01"], utc=True)})
    found = offline_store.get_historical_features(rows, ["days:rain"]).to_df()
    assert [None if pd.isna(value) else value for value in found["rain"]] == [4, 2, None]


def test_batches_are_the_whole_result(offline_folder: Path) -> None:
    count = 5_000
    numbers = pd.DataFrame({"at": [pd.Timestamp(2026, 1, 1)] * count, "rain": range(count), "user": "ann"})
    write(numbers, offline_folder / "many.parquet")
    store = open_store(offline_folder, OURS)
    job = AsofOfflineStore.pull_all_from_table_or_query(
        store.config, FileSource(path=str(offline_folder / "many.parquet")), ["user"], ["rain"], "at"
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


def test_too_little_memory_says_which_setting_to_raise(offline_folder: Path) -> None:
    rows = pd.concat([asked(seed, count=20_000) for seed in range(5)])
    with pytest.raises(RecommenderError, match="more than 0.002 GB: raise memory_gb under offline_store"):
        retrieved(open_store(offline_folder, OURS, memory_gb=0.002), rows)


@pytest.mark.parametrize("created", [None, "made"])
def test_the_latest_rows_are_those_of_feasts_duckdb_store(offline_folder: Path, created: str | None) -> None:
    write_world(offline_folder, seed=3)
    start, end = datetime(2026, 1, 3, 5, tzinfo=UTC), datetime(2026, 1, 6, 17, tzinfo=UTC)
    answers = []
    for kind in (OURS, STOCK):
        store, source = (
            open_store(offline_folder, kind),
            FileSource(path=str(offline_folder / "scores.parquet")),
        )
        frame = (
            store._get_provider()
            .offline_store.pull_latest_from_table_or_query(
                store.config,
                source,
                ["user"],
                ["raw_score", "word"][: 2 if created else 0],
                "at",
                created,
                start,
                end,
            )
            .to_df()
        )
        instants = {name: pd.to_datetime(frame[name], utc=True) for name in ("at", "made") if name in frame}
        answers.append(frame.assign(**instants).sort_values("user", ignore_index=True))
    ours, stock = answers
    assert ours["at"].between(start, end).all()
    assert len(ours) == ours["user"].nunique() == len(stock)
    assert_same(ours[["user", "at", *(["made", "raw_score", "word"] if created else [])]], stock)


def test_without_feature_columns_all_columns_are_pulled(offline_folder: Path) -> None:
    store = open_store(offline_folder, OURS)
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


def test_a_column_that_older_files_lack_is_missing_there(offline_folder: Path, offline_store: FeatureStore) -> None:
    old = pd.DataFrame({"place_id": [77], "at": [pd.Timestamp(2025, 6, 1)]})
    write(old, offline_folder / "heats-0.parquet")
    write(old.assign(at=pd.Timestamp(2025, 7, 1), heat=np.float32(3)), offline_folder / "heats-2.parquet")
    rows = pd.DataFrame(
        {"place_id": [77, 77], "event_timestamp": pd.to_datetime(["2025-06-15", "2025-07-15"], utc=True)}
    )
    found = offline_store.get_historical_features(rows, ["heats:heat"]).to_df()["heat"]
    assert np.isnan(found[0]) and found[1] == 3
    columns = dict(
        AsofOfflineStore().get_table_column_names_and_types_from_data_source(
            offline_store.config, offline_store.get_feature_view("heats").batch_source
        )
    )
    assert columns["heat"] == "float"
