"""Side tables beside a source's rows."""

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.config.profile import Profile
from recommender.data.sources import open_source
from recommender.errors import SourceError
from tests.data.sources import MAPPING, unparsable


def items(connection: duckdb.DuckDBPyConnection, data: Path, joins: list[dict], columns: dict) -> list[tuple]:
    source = {"path": "items.csv", "joins": joins, "columns": {"item_id": "id", **columns}}
    shop = Profile.model_validate({"name": "shop", "events": {"path": "e.csv", "columns": MAPPING}, "items": source})
    open_source(connection, shop, "items", data)
    return connection.execute("select * exclude (raw) from items").fetchall()


AUDIO = {"name": "audio", "path": "audio.csv", "on": {"fold(title)": "fold(artist)"}}
AUDIO |= {"columns": {"energy": "avg(energy::double)", "kinds": "list(kind order by kind)"}}


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    (tmp_path / "items.csv").write_text("id,title,energy\n1,Beyoncé,own\n2,Nobody,own\n3,,own\n4,BEYONCE!,own\n")
    (tmp_path / "audio.csv").write_text("artist,energy,kind\nbeyoncé,0.2,b\nBeyonce,0.4,a\n,9,z\nQueen,1,q\n")
    return tmp_path


def test_a_side_table_adds_columns_and_never_rows(connection, catalogue: Path) -> None:
    columns = {"e": {"sql": "audio.energy", "type": "number"}, "kinds": {"sql": "audio.kinds", "type": "list"}}
    rows = items(connection, catalogue, [AUDIO], {**columns, "own": {"sql": "energy"}})
    expected = pytest.approx(0.3)
    assert rows == [
        ("1", expected, ["a", "b"], "own"),
        ("2", None, None, "own"),
        ("3", None, None, "own"),  # a key that is null meets nothing
        ("4", expected, ["a", "b"], "own"),
    ]
    raw = connection.execute("select raw from items limit 1").fetchall()[0][0]
    assert json.loads(raw) == {"id": "1", "title": "Beyoncé", "energy": "own"}


def test_rows_stay_in_the_order_of_the_source(connection, tmp_path: Path) -> None:
    """Whatever the join's plan: a side table larger than the source is the one that is probed."""
    connection.execute(f"copy (select i as id from range(5000) t(i)) to '{tmp_path}/items.csv'")
    connection.execute(f"copy (select i as id, i as n from range(300000) t(i)) to '{tmp_path}/n.parquet'")
    join = {"name": "n", "path": "n.parquet", "on": {"id": "id"}, "columns": {"n": "sum(n)"}}
    items(connection, tmp_path, [join], {"n": {"sql": "n.n", "type": "integer"}})
    numbered = "select n, row_number() over () - 1 as place from items"
    assert connection.execute(f"select count(*) from ({numbered}) where n <> place").fetchall() == [(0,)]


def test_keys_of_other_types_meet_as_text(connection, catalogue: Path) -> None:
    pq.write_table(pa.table({"item": [1, 4], "n": [10, 40]}), catalogue / "n.parquet")
    join = {"name": "n", "path": "n.parquet", "on": {"id": "item"}, "columns": {"n": "sum(n)"}}
    rows = items(connection, catalogue, [join], {"n": {"sql": "n.n", "type": "integer"}})
    assert rows == [("1", 10), ("2", None), ("3", None), ("4", 40)]


def test_side_tables_have_side_tables_and_reach_earlier_ones(connection, catalogue: Path) -> None:
    (catalogue / "tagged.csv").write_text("item,tag\n1,7\n1,8\n4,8\n")
    (catalogue / "tags.csv").write_text("tag,name\n7,rock\n8,pop\n")
    (catalogue / "moods.csv").write_text("tag,mood\npop,happy\n")
    names = {"name": "names", "path": "tags.csv", "on": {"tag": "tag"}, "columns": {"name": "any_value(name)"}}
    tags = {"name": "tags", "path": "tagged.csv", "joins": [names], "on": {"id": "item"}}
    tags |= {"columns": {"all": "list(names.name order by names.name)", "first": "min(names.name)"}}
    mood = {"name": "mood", "path": "moods.csv", "on": {"tags.first": "tag"}, "columns": {"mood": "any_value(mood)"}}
    columns = {"tags": {"sql": "tags.all", "type": "list"}, "mood": {"sql": "mood.mood"}}
    rows = items(connection, catalogue, [tags, mood], columns)
    assert rows == [("1", ["pop", "rock"], "happy"), ("2", None, None), ("3", None, None), ("4", ["pop"], "happy")]


def test_unparsable_rows_of_side_tables_are_kept_too(connection, catalogue: Path) -> None:
    (catalogue / "audio.csv").write_text("artist,energy,kind\nqueen,1\n")
    items(connection, catalogue, [AUDIO], {})
    assert unparsable(connection, "items") == [
        ("queen,1", "line 2 of audio.csv unparsable: Expected Number of Columns: 3 Found: 2")
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "audo.csv"}, r"no file matches .*audo\.csv \(items\.joins\.audio\.path of profile shop\)"),
        ({"on": {"fold(title)": "fold(arist)"}}, r"items\.joins\.audio\.on: .*\"arist\".*artist"),
        ({"on": {"titel": "artist"}}, r"items\.joins\.audio\.on\.titel: .*\"titel\".*title"),
        ({"columns": {"energy": "avg(enrgy)"}}, r"items\.joins\.audio\.columns\.energy: .*\"enrgy\".*energy"),
        ({"columns": {"energy": "energy"}}, r"items\.joins\.audio\.columns\.energy: .*energy.*"),
        ({"name": "title"}, r"items\.joins\.title: the source has a column 'title' itself"),
    ],
)
def test_a_side_table_that_does_not_fit_is_named(connection, catalogue: Path, change: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        items(connection, catalogue, [{**AUDIO, **change}], {})
    assert "\n" not in str(caught.value)
