"""One folding in Python, DuckDB and PostgreSQL."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import duckdb
import psycopg
import pytest

from recommender.config.settings import load_settings
from recommender.data.sources.macros import create_macros
from recommender.data.spelling import fold, search_form
from recommender.storage.postgres import connect

NAMES = {
    "Beyoncé  feat. JAY-Z": "beyonce feat jay z",
    "Motörhead": "motorhead",
    "Sigur Rós": "sigur ros",
    "MØ": "mo",
    "Straße": "strasse",
    "Łona i Webber": "lona i webber",
    "AC/DC": "ac dc",
    "Simon & Garfunkel": "simon garfunkel",
    "  P!nk ": "p nk",
    "Кино": "кино",
    "ЁЛКА": "елка",
    "Ελλάδα": "ελλαδα",
    "東京事変": "東京事変",
    "방탄소년단": "방탄소년단",
    "Summer 🔥 2012": "summer 2012",
    "1975": "1975",
    "ＡＢＢＡ": "abba",
    "ﬁnal": "final",
    "Χάρις": "χαρισ",
    "x²": "x2",
    "ガガ": "ガガ",
    "🔥": "",
    "": "",
}


@pytest.fixture
def database(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    with connect(load_settings("synthetic")) as connection:
        yield connection


@pytest.mark.parametrize(("name", "folded"), NAMES.items())
def test_folding(name: str, folded: str) -> None:
    assert fold(name) == folded
    assert fold(folded) == folded


def test_duckdb_folds_the_same() -> None:
    with duckdb.connect() as connection:
        create_macros(connection)
        found = {name: connection.execute("select fold(?)", [name]).fetchone()[0] for name in NAMES}
    assert found == NAMES


def test_postgresql_folds_every_character_the_same(database: psycopg.Connection) -> None:
    assigned = [chr(code) for code in range(1, 0x1FB00) if unicodedata.category(chr(code)) not in ("Cs", "Cn")]
    phrases = [f"x{character}Y" for character in assigned] + list(NAMES)
    query = "select reco.fold(phrase) from unnest(%s::text[]) with ordinality as t (phrase, place) order by place"
    found = [row[0] for row in database.execute(query, [phrases]).fetchall()]
    assert [pair for pair in zip(phrases, found, strict=True) if fold(pair[0]) != pair[1]] == []


@pytest.mark.parametrize(
    ("title", "form"),
    [
        ("The Wall", "wall"),
        ("Beatles, The", "beatles"),
        ("Umbrella (feat. JAY-Z)", "umbrella"),
        ("Back and Forth", "back forth"),
        ("Simon & Garfunkel", "simon garfunkel"),
        ("And", "and"),
        ("The The", "the"),
        ("The", "the"),
        ("", ""),
    ],
)
def test_what_people_leave_out_of_a_title(database: psycopg.Connection, title: str, form: str) -> None:
    assert search_form(title) == form
    assert database.execute("select reco.search_form(%s)", [title]).fetchone() == (form,)
