"""Materialization replaces a table whole: what readers see meanwhile, what a kill, a rival and an older night do."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from feast import FeatureStore, FeatureView, types

from recommender.errors import DatabaseError, NotReadyError
from recommender.features.online import materialization
from recommender.features.online.materialization import replace_rows
from recommender.features.online.store import WideOnlineStore
from recommender.features.online.tables import OnlineTable
from recommender.storage import copy_arrow
from tests.features.online import NIGHT, PROJECT, batches, make_config, make_store, make_view, update, users

IDS = [f"u{number}" for number in range(30)]


def write_source(path: Path, ids: list[str | None], days: list[int], plays: list[Any], **columns: Any) -> None:
    moments = pa.array([NIGHT + timedelta(days=day) for day in days], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"user_id": ids, "event_timestamp": moments, "plays": plays, **columns}), path)


def materialize(store: FeatureStore, first: int, last: int) -> None:
    with redirect_stdout(StringIO()):
        store.materialize(NIGHT + timedelta(days=first), NIGHT + timedelta(days=last))


def plays(store: FeatureStore, *ids: str) -> list[float | None]:
    view = store.list_feature_views()[0].name
    found = store.get_online_features([f"{view}:plays"], [{"user_id": user_id} for user_id in ids]).to_dict()
    values: list[float | None] = found["plays"]
    return values


def online(url: str, folder: Path, name: str) -> tuple[OnlineTable, FeatureView, WideOnlineStore]:
    view = make_view(name)
    return OnlineTable.of(PROJECT, view), view, update(make_config(url, folder), view)


def tables(url: str, like: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("select relname from pg_class where relname ~ %s and relkind in ('r', 'i')", [like])
        return {name for (name,) in rows.fetchall()}


def test_the_last_row_of_each_entity_and_of_no_other(url: str, tmp_path: Path) -> None:
    source = tmp_path / "rows.parquet"
    write_source(source, ["a", "a", "b", "c", None], [0, 1, 0, 2, 1], [1.0, 2.0, None, 4.0, 5.0])
    store = make_store(url, tmp_path, make_view("latest", {"plays": types.Float32}, path=source))
    materialize(store, 0, 1)
    assert plays(store, "a", "b", "c") == [2.0, None, None]
    materialize(store, 2, 2)
    assert plays(store, "a", "b", "c") == [None, None, 4.0], "entities without a row in the range are gone"
    with redirect_stdout(StringIO()):
        write_source(source, ["a", "c"], [3, 0], [8.0, 4.0])
        store.materialize_incremental(NIGHT + timedelta(days=3))
    assert plays(store, "a", "c") == [8.0, None]


def test_an_older_or_an_empty_range_changes_nothing(url: str, tmp_path: Path) -> None:
    source = tmp_path / "rows.parquet"
    write_source(source, ["a", "a"], [0, 5], [1.0, 2.0])
    store = make_store(url, tmp_path, make_view("refused", {"plays": types.Float32}, path=source))
    materialize(store, 1, 9)
    with pytest.raises(NotReadyError, match=r"small_refused holds values of 2026-01-10 .* it stays"):
        materialize(store, 0, 1)
    with pytest.raises(NotReadyError, match="nothing to materialize into small_refused"):
        materialize(store, 6, 9)
    with pytest.raises(NotReadyError, match="nothing to materialize"), redirect_stdout(StringIO()):
        store.materialize_incremental(NIGHT + timedelta(days=30))
    assert plays(store, "a") == [2.0]
    assert tables(url, "small_refused") == {"small_refused", "small_refused_key"}
    materialize(store, 5, 5)  # the same again


def test_columns_of_the_source_under_other_names(url: str, tmp_path: Path) -> None:
    source = tmp_path / "rows.parquet"
    write_source(source, ["a"], [0], [3], mood=["calm"])
    view = make_view(
        "mapped", {"plays": types.Int32, "feeling": types.String}, path=source, field_mapping={"mood": "feeling"}
    )
    store = make_store(url, tmp_path, view)
    materialize(store, 0, 0)
    found = store.get_online_features(["mapped:plays", "mapped:feeling"], [{"user_id": "a"}]).to_dict()
    assert found == {"user_id": ["a"], "plays": [3], "feeling": ["calm"]}


def test_who_may_read_the_old_table_may_read_the_new_one(url: str, tmp_path: Path) -> None:
    table, _, _ = online(url, tmp_path, "granted")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute('create role "an app"')
        connection.execute(
            f'grant select on feast.{table.name} to public; grant insert on feast.{table.name} to "an app"'
        )
        for _ in range(2):
            replace_rows(url, table, batches(table, ["a"], 1))
        found = connection.execute(
            """select grantee, privilege_type from information_schema.role_table_grants
               where table_name = %s and grantee in ('PUBLIC', 'an app') order by 1""",
            [table.name],
        ).fetchall()
    assert found == [("PUBLIC", "SELECT"), ("an app", "INSERT")]


def test_memory_is_bounded_by_the_chunk(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, chunks = tmp_path / "rows.parquet", []
    ids = [f"u{number}" for number in range(250)]
    write_source(source, ids, [0] * 250, list(map(float, range(250))))
    store = make_store(url, tmp_path, make_view("chunked", {"plays": types.Float32}, path=source), chunk_rows=40)
    encode = copy_arrow.encode_rows
    monkeypatch.setattr(copy_arrow, "encode_rows", lambda batch: chunks.append(batch.num_rows) or encode(batch))
    materialize(store, 0, 0)
    assert max(chunks) <= 40 and sum(chunks) == 250
    assert plays(store, *ids) == list(map(float, range(250)))


def test_readers_never_see_half_of_a_materialization(url: str, tmp_path: Path) -> None:
    table, view, _ = online(url, tmp_path, "swapped")
    config = make_config(url, tmp_path)
    replace_rows(url, table, batches(table, IDS, 0))
    done, seen, wrong = threading.Event(), set(), []

    def read() -> None:
        reader = WideOnlineStore()
        while not done.is_set():
            values = {
                (row and row["plays"].float_val, row and row["country"].string_val)
                for _, row in reader.online_read(config, view, users(*IDS))
            }
            seen.update(values)
            if len(values) != 1:
                wrong.append(values)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with psycopg.connect(url) as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select 1 from pg_class limit 1")  # its snapshot is older than all that follows
        for round_number in range(1, 21):
            replace_rows(url, table, batches(table, IDS, round_number))
        rows = old.execute("select count(*), min(plays), max(plays) from feast.small_swapped").fetchall()
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen) > 5 and seen <= {(value, f"at {value}") for value in range(21)}
    assert rows == [(len(IDS), 20, 20)]


def start_and_kill(url: str, table: OnlineTable, filled: bool) -> None:
    """A process of its own materializes twos; it is killed with the fresh table filled, or just before its end."""
    ready, told = os.pipe()

    def wait(*_: object) -> None:
        os.write(told, b"x")
        time.sleep(60)

    def rows() -> Iterator[pa.RecordBatch]:
        yield from batches(table, IDS, 2)
        if not filled:
            wait()

    child = os.fork()
    if child == 0:
        try:
            materialization._swap = wait
            replace_rows(url, table, rows())
        finally:
            os._exit(1)  # never back into pytest
    os.close(told)
    assert os.read(ready, 1) == b"x"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("filled", [False, True])
def test_a_killed_materialization_leaves_the_old_values(url: str, tmp_path: Path, filled: bool) -> None:
    name = f"killed_{filled}"
    table, view, store = online(url, tmp_path, name)
    config = make_config(url, tmp_path)
    replace_rows(url, table, batches(table, IDS, 1))
    start_and_kill(url, table, filled)
    assert {row and row["plays"].float_val for _, row in store.online_read(config, view, users(*IDS))} == {1}
    assert (f"small_{name}_fresh" in tables(url, f"small_{name}")) == filled
    replace_rows(url, table, batches(table, IDS, 3))
    assert {row and row["plays"].float_val for _, row in store.online_read(config, view, users(*IDS))} == {3}
    assert tables(url, f"small_{name}") == {f"small_{name}", f"small_{name}_key"}


def test_two_at_once_come_one_after_the_other(url: str, tmp_path: Path) -> None:
    table, view, store = online(url, tmp_path, "rivals")
    inside, most, failed = [0], [0], []

    def counted(value: float) -> Iterator[pa.RecordBatch]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        for batch in batches(table, IDS, value):
            time.sleep(0.002)
            yield batch
        inside[0] -= 1

    def run(value: float) -> None:
        try:
            replace_rows(url, table, counted(value))
        except DatabaseError as error:
            failed.append(error)

    rivals = [threading.Thread(target=run, args=[value]) for value in range(3)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    assert (failed, most) == ([], [1])
    rows = store.online_read(make_config(url, tmp_path), view, users(*IDS))
    assert len({row and row["plays"].float_val for _, row in rows}) == 1


def test_what_goes_wrong_is_one_line_without_an_id(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, _, _ = online(url, tmp_path, "broken")
    replace_rows(url, table, batches(table, IDS, 1))
    monkeypatch.setattr(materialization, "_LOCK_TIMEOUT_MS", 20)
    monkeypatch.setattr(materialization, "_SWAP_TRIES", 2)
    said = []
    with pytest.raises(DatabaseError, match="could not create unique index") as caught:
        replace_rows(url, table, batches(table, ["u-secret", "u-secret"], 2))
    said.append(str(caught.value))
    with pytest.raises(DatabaseError, match="invalid byte sequence") as caught:
        replace_rows(url, table, batches(table, ["u-secret\0"], 2))
    said.append(str(caught.value))
    with psycopg.connect(url) as other:
        other.execute("select 1 from feast.small_broken")
        with pytest.raises(DatabaseError, match="held by another session's transaction") as caught:
            replace_rows(url, table, batches(table, IDS, 2))
        said.append(str(caught.value))
        assert other.execute("select distinct plays from feast.small_broken").fetchall() == [(1,)]
    assert not any("u-secret" in line or "\n" in line for line in said)
    assert tables(url, "small_broken") == {"small_broken", "small_broken_key"}


def test_feasts_own_command_line_materializes(url: str, tmp_path: Path) -> None:
    from feast.cli.cli import cli

    source = tmp_path / "rows.parquet"
    write_source(source, ["a", "b"], [0, 1], [1.0, 2.0])
    store = make_store(url, tmp_path, make_view("commanded", {"plays": types.Float32}, path=source))
    (tmp_path / "feature_store.yaml").write_text(
        f"""project: {PROJECT}
provider: local
registry: {store.config.registry.path}
entity_key_serialization_version: 3
offline_store: {{type: recommender.features.offline.store.AsofOfflineStore}}
online_store: {{type: recommender.features.online.store.WideOnlineStore, url: "{url}"}}
batch_engine: recommender.features.online.materialization.SwapComputeEngine
"""
    )
    end = datetime(2026, 1, 6, tzinfo=UTC).isoformat()
    for command in (["materialize", NIGHT.isoformat(), end], ["materialize-incremental", end]):
        answer = CliRunner().invoke(cli, ["-c", str(tmp_path), *command])
        assert answer.exit_code == 0, answer.output
    assert plays(store, "a", "b") == [None, 2.0]
