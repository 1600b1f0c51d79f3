"""Names of the night's items: one spelling each, every merge listed, nothing flips, people have the last word."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from recommender.cli import app
from recommender.config.profile import Names
from recommender.config.settings import Settings
from recommender.data.names import NamesSummary, canonicalise
from recommender.data.names.matching import find_merges
from recommender.errors import ConfigError
from recommender.storage.lake import Lake
from tests.data.shop import write_shop

NIGHT, NEXT = date(2020, 1, 2), date(2020, 1, 3)
ITEMS = [
    ("1", "Halo", "Beyoncé", ["R&B", "pop"]),
    ("2", "Crazy in Love", "Beyoncé feat. JAY-Z", ["r'n'b"]),
    ("3", "Hello", "BEYONCE", ["Pop", "pop", "soul"]),
    ("4", "Déjà Vu", "Beyoncé", ["pop"]),
    ("5", "Nothing", None, None),
    ("6", "Let It Be", "The Beatles", []),
]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def settings(home: Path, tmp_path: Path) -> Settings:
    return write_shop(tmp_path / "shop")


def fill(connection: duckdb.DuckDBPyConnection, items: list[tuple[Any, ...]]) -> None:
    connection.execute(
        "create or replace table kept_items (item_id varchar, title varchar, creator varchar, category varchar[])"
    )
    connection.executemany("insert into kept_items values (?, ?, ?, ?)", items)


def column(connection: duckdb.DuckDBPyConnection, name: str) -> list[Any]:
    return [row[0] for row in connection.execute(f"select {name} from kept_items order by item_id").fetchall()]


def with_names(settings: Settings, **names: Any) -> Settings:
    return replace(settings, profile=settings.profile.model_copy(update={"names": Names(**names)}))


def land(connection: duckdb.DuckDBPyConnection, settings: Settings, ds: date) -> Lake:
    lake = Lake(settings.lake)
    for table, query in (("items", "select * from kept_items"), ("name_merges", "select * from name_merges")):
        lake.copy(connection, query, table, ds)
    return lake


def test_items_get_canonical_names_and_every_merge_is_listed(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    fill(connection, ITEMS)
    found = canonicalise(connection, settings, Lake(settings.lake), NIGHT)
    assert column(connection, "creator") == ["Beyoncé"] * 4 + [None, "The Beatles"]
    assert column(connection, "title") == [row[1] for row in ITEMS]
    assert column(connection, "category") == [["R&B", "pop"], ["r'n'b"], ["pop", "soul"], ["pop"], None, []]
    assert connection.execute("select * from name_merges order by all").fetchall() == [
        ("category", "Pop", "pop", 1, 1.0, "spelling", True),
        ("creator", "BEYONCE", "Beyoncé", 1, 1.0, "spelling", True),
        ("creator", "Beyoncé feat. JAY-Z", "Beyoncé", 1, 0.96, "main artist", True),
    ]
    assert found == NamesSummary(applied=3, listed=0)


def test_what_is_below_the_threshold_is_listed_but_left(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    fill(connection, ITEMS)
    found = canonicalise(connection, with_names(settings, apply_above=0.99), Lake(settings.lake), NIGHT)
    assert column(connection, "creator")[1] == "Beyoncé feat. JAY-Z"
    assert found == NamesSummary(applied=2, listed=1)


def test_canonical_names_stay_from_night_to_night(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    fill(connection, ITEMS)
    canonicalise(connection, settings, Lake(settings.lake), NIGHT)
    lake = land(connection, settings, NIGHT)
    more = [(f"new-{n}", "More", "BEYONCE", ["POP"]) for n in range(9)]
    fill(connection, ITEMS + more)
    canonicalise(connection, settings, lake, NEXT)
    assert set(column(connection, "creator")) == {"Beyoncé", "The Beatles", None}
    assert "POP" not in str(column(connection, "category"))
    fill(connection, ITEMS + more)  # without a night before, the most frequent spelling is canonical
    canonicalise(connection, settings, lake, NIGHT)
    assert set(column(connection, "creator")) == {"BEYONCE", "The Beatles", None}


def test_the_night_again_gives_the_same(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    fill(connection, ITEMS)
    canonicalise(connection, settings, Lake(settings.lake), NIGHT)
    first = connection.execute("select * from name_merges").fetchall()
    lake = land(connection, settings, NIGHT)
    fill(connection, ITEMS)
    canonicalise(connection, settings, lake, NIGHT)
    assert connection.execute("select * from name_merges").fetchall() == first


def test_ids_and_personal_columns_are_left_alone(
    connection: duckdb.DuckDBPyConnection, home: Path, tmp_path: Path
) -> None:
    profile = (Path(__file__).parent / "shop.py").read_text().split('"""')[3]
    coded = profile.replace("creator: maker", "creator: maker_id").replace(
        "category: kind", "category: {column: kind, personal: true}"
    )
    settings = write_shop(tmp_path / "coded", profile=coded)
    fill(connection, ITEMS)
    assert canonicalise(connection, settings, Lake(settings.lake), NIGHT) == NamesSummary()
    assert column(connection, "creator") == [row[2] for row in ITEMS]
    assert connection.execute("select count(*) from name_merges").fetchone() == (0,)


def test_people_decide_by_a_file_beside_the_profile(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    file = settings.profile_path.parent / "names.csv"
    file.write_text("column,value,canonical\n,BEYONCE,BEYONCE\ncreator,The Beatles,Beatles\ncategory,Beyoncé,x\n")
    fill(connection, ITEMS)
    canonicalise(connection, with_names(settings, overrides="names.csv"), Lake(settings.lake), NIGHT)
    assert column(connection, "creator") == ["Beyoncé", "Beyoncé", "BEYONCE", "Beyoncé", None, "Beatles"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .*names.csv"),
        ("value\nx\n", "names.csv .* has no column 'canonical'"),
        ("value,canonical\nx,y\nz,\n", "names.csv .*line 3: value and canonical must both be given"),
    ],
)
def test_a_bad_file_of_decisions_is_refused(
    connection: duckdb.DuckDBPyConnection, settings: Settings, text: str | None, message: str
) -> None:
    if text is not None:
        (settings.profile_path.parent / "names.csv").write_text(text)
    fill(connection, ITEMS)
    with pytest.raises(ConfigError, match=message):
        canonicalise(connection, with_names(settings, overrides="names.csv"), Lake(settings.lake), NIGHT)


def test_the_command_prints_and_writes_what_people_review(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path
) -> None:
    run = CliRunner().invoke
    profile = ["--profile", str(settings.profile_path)]
    nothing = run(app, ["names", *profile])
    assert nothing.exit_code == 2
    fill(connection, ITEMS)
    canonicalise(connection, settings, Lake(settings.lake), NIGHT)
    land(connection, settings, NIGHT)
    printed = run(app, ["names", *profile, "--column", "creator"]).output
    assert "creator: 2 merged, 0 only listed" in printed and "main artist" in printed
    assert "category" not in printed
    file = tmp_path / "review.csv"
    run(app, ["names", *profile, "--csv", str(file)])
    rows = list(csv.DictReader(file.open()))
    assert [(row["column"], row["value"], row["canonical"]) for row in rows] == [
        ("category", "Pop", "pop"),
        ("creator", "Beyoncé feat. JAY-Z", "Beyoncé"),
        ("creator", "BEYONCE", "Beyoncé"),
    ]


@pytest.mark.shared_data
def test_artists_of_real_listeners(shared_data: Path) -> None:
    with gzip.open(shared_data / "hetrec-lastfm-2k" / "artists.dat.gz", "rt", encoding="utf-8") as file:
        artists = {row["id"]: row["name"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    with gzip.open(shared_data / "hetrec-lastfm-2k" / "user_artists.dat.gz", "rt") as file:
        listeners: dict[str, int] = {}
        for row in csv.DictReader(file, delimiter="\t"):
            name = artists[row["artistID"]]
            listeners[name] = listeners.get(name, 0) + 1
    merges = {merge.value: merge for merge in find_merges(listeners, 0.95)}
    done = {value: merge.canonical for value, merge in merges.items() if merge.applied}
    for value, canonical in {
        "Florence and The Machine": "Florence + the Machine",
        "Yael Naïm": "Yael Naim",
        "The Black Eyed Peas": "Black Eyed Peas",
        "Killers": "The Killers",
        "Seether (Feat. Amy Lee)": "Seether",
        "Marilyn Mansoon": "Marilyn Manson",
        "MICHAAEL JACKSON": "Michael Jackson",
    }.items():
        assert done[value] == canonical
    for apart in ("The Crash", "Jeremiah", "Anastasia", "Ark", "S.H.E", "Act", "Submerged"):
        assert apart not in done
    assert 200 < len(done) < 300
