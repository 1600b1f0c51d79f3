"""The lake: partitions appear whole or not at all."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from recommender.errors import NotReadyError
from recommender.storage.lake import Lake

NIGHT = date(2020, 1, 2)


def test_a_partition_is_replaced_whole_and_keeps_its_facts(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("events", NIGHT, pd.DataFrame({"n": [1, 2]}), {"kind": "night"})
    lake.write("events", NIGHT, pd.DataFrame({"n": [3]}), {"kind": "bootstrap"})
    assert lake.read("events", NIGHT)["n"].tolist() == [3]
    assert lake.facts("events", NIGHT) == {"kind": "bootstrap"}
    assert lake.nights("events") == [NIGHT]


def test_a_write_that_fails_leaves_the_old_partition_and_no_scraps(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("events", NIGHT, pd.DataFrame({"n": [1]}))
    with pytest.raises(ZeroDivisionError), lake.writing("events", NIGHT) as scratch:
        scratch.write_bytes(b"half")
        raise ZeroDivisionError
    assert lake.read("events", NIGHT)["n"].tolist() == [1]
    assert [path.name for path in lake.path("events", NIGHT).parent.iterdir()] == ["data.parquet"]


def test_scraps_of_a_killed_writer_are_never_read_and_are_removed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    folder = lake.path("events", NIGHT).parent
    folder.mkdir(parents=True)
    (folder / ".writing-dead.parquet").write_bytes(b"half")
    assert lake.nights("events") == []
    lake.write("events", NIGHT, pd.DataFrame({"n": [1]}))
    assert [path.name for path in folder.iterdir()] == ["data.parquet"]


def test_the_latest_partition_is_not_after_the_night(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for day in (1, 5):
        lake.write("users", date(2020, 1, day), pd.DataFrame({"n": [day]}))
    assert lake.latest("users", date(2020, 1, 4)) == lake.path("users", date(2020, 1, 1))
    with pytest.raises(NotReadyError, match="holds no users up to 2019-12-31"):
        lake.latest("users", date(2019, 12, 31))
