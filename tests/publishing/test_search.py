"""Search as people type: case, accents, typos, word order; and whatever else reaches it."""

import csv
import random
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import psycopg
import pytest
from rapidfuzz.distance import OSA

from benchmarks.typos import misspell
from recommender.config.settings import Settings
from recommender.data.spelling import fold
from recommender.publishing.publication import publish
from recommender.storage.postgres import READER, connect
from tests.publishing.contents import MODEL, made

NIGHT = date(2020, 1, 1)
SQL = Path(__file__).parents[2] / "sql"
CATALOGUE = [
    ("Bohemian Rhapsody", "Queen"),
    ("Rhapsody in Blue", "George Gershwin"),
    ("Blue Monday", "New Order"),
    ("Déjà Vu", "Beyoncé"),
    ("The Wall", None),
    ("Walk", "Foo Fighters"),
    ("Umbrella (feat. JAY-Z)", "Rihanna"),
    ("Death of Me", "Asking Alexandria"),
    ("The Death of Me", "Red"),
    ("Muse", None),
    ("Группа крови", "Кино"),
    ("東京フラッシュ", "Vaundy"),
    ("봄날", "방탄소년단"),
    ("ﬁre & ice ２", "Pat"),
    ("🔥", "🔥"),
    (None, "Nobody"),
    ("A title that goes on and on, far beyond the sixty letters which a pattern may have, without an end", "Longwind"),
]


def publication(settings: Settings, titles: list[str | None], creators: list[str | None]) -> None:
    small = made("a", k=10)
    count = len(titles)
    content = replace(
        small,
        item_ids=np.array([f"a-item-{n}" for n in range(count)], object),
        titles=np.array(titles, object),
        creators=np.array(creators, object),
        similar=replace(
            small.similar,
            items=((np.arange(count) + 1) % count).astype(np.int32)[:, None],
            scores=np.zeros((count, 1), np.float32),
        ),
    )
    with connect(settings, autocommit=True) as connection:
        publish(connection, NIGHT, MODEL, "searched", lambda: content, 5)


@pytest.fixture
def searched(world: Settings) -> Settings:
    publication(world, [title for title, _ in CATALOGUE], [creator for _, creator in CATALOGUE])
    return world


def ask(settings: Settings, query: str, *parameters: object) -> list[tuple]:
    with connect(settings) as connection:
        return connection.execute(query, parameters).fetchall()


def test_the_right_title_comes_first(searched: Settings) -> None:
    for query, title in {
        "bohemian rhapsody": "Bohemian Rhapsody",
        "quen bohemian rapsody": "Bohemian Rhapsody",
        "rapsody bohemian": "Bohemian Rhapsody",
        "BLUE   munday!": "Blue Monday",
        "deja vu": "Déjà Vu",
        "déjá-vú": "Déjà Vu",
        "wall": "The Wall",
        "teh wall": "The Wall",
        "umbrela": "Umbrella (feat. JAY-Z)",
        "umbrella ft. jay z": "Umbrella (feat. JAY-Z)",
        "gershwin": "Rhapsody in Blue",
        "the death of me": "The Death of Me",
        "death of me": "Death of Me",
        "daeth of me": "Death of Me",
        "mxue": "Muse",
        "grupa": None,
        "группа крви": "Группа крови",
        "東京フラシュ": "東京フラッシュ",
        "봄냘": "봄날",
        "FIRE AND ICE 2": "ﬁre & ice ２",
        "a title that goes on and on far beyond the sixty leters which a pattern may have without an end": CATALOGUE[
            -1
        ][0],
    }.items():
        found = ask(searched, "select title from reco.search_items(%s, 1)", query)
        assert (found[0][0] if found else None) == title, query


def test_similarity_is_one_for_the_same_and_falls_with_each_typo(searched: Settings) -> None:
    figures = [
        ask(searched, "select similarity from reco.search_items(%s, 1)", query)[0][0]
        for query in ("Blue Monday", "blue monday", "blue mondy", "bleu mondy", "blue")
    ]
    assert figures[0] == figures[1] == 1
    assert figures == sorted(figures, reverse=True) and len(set(figures)) == 4


@pytest.mark.parametrize(
    "query", ["", " ", None, "🔥", "zzzz", "%", "_", "\\", "'; drop schema reco cascade; --", "\n", "?" * 50]
)
def test_what_names_nothing_finds_nothing(searched: Settings, query: str | None) -> None:
    assert ask(searched, "select * from reco.search_items(%s)", query) == []


@pytest.mark.parametrize("query", ["x" * 10_000, "love " * 2_000, "東" * 10_000, "🔥" * 10_000, "é" * 10_000])
def test_a_huge_query_is_cut(searched: Settings, query: str) -> None:
    started = time.perf_counter()
    ask(searched, "select * from reco.search_items(%s)", query)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(("k", "rows"), [(0, 0), (-1, 0), (1, 1), (2, 2), (10**6, 2), (None, 2)])
def test_how_many_rows(searched: Settings, k: int | None, rows: int) -> None:
    assert len(ask(searched, "select * from reco.search_items('death of me', %s) where similarity > .9", k)) == rows


def test_the_postings_that_are_loaded_are_those_that_sql_makes(searched: Settings) -> None:
    loaded = ask(searched, "select trigram, items, entries from reco.search_postings order by 1")
    made_by_sql = ask(
        searched,
        """select trigram, count(*), array_agg(entry order by entry)
           from (select unnest(every) as trigram, reco.search_entry(label, own, cardinality(every)) as entry
                 from (select label, cardinality(reco.trigrams(reco.search_form(coalesce(title, '')))) as own,
                              reco.trigrams(concat_ws(' ', reco.fold(title), reco.fold(creator))) as every
                       from reco.catalogue offset 0) as item) as occurrence
           group by trigram order by 1""",
    )
    assert loaded == made_by_sql and len(loaded) > 100


def test_likeness_is_the_distance_with_swaps(searched: Settings) -> None:
    rng = random.Random(4)  # noqa: S311
    words = ["".join(rng.choices("abcé", k=rng.randint(1, 60))) for _ in range(150)]
    pairs = [(one, misspell(one, rng.randint(0, 6), rng) if rng.random() < 0.7 else rng.choice(words)) for one in words]
    query = """select reco.likeness(one, reco.letter_places(one), other, -0.01)
               from unnest(%s::text[], %s::text[]) with ordinality as pair (one, other, place) order by place"""
    found = ask(searched, query, [one for one, _ in pairs], [other for _, other in pairs])
    assert [row[0] for row in found] == [
        pytest.approx(OSA.normalized_similarity(one, other), abs=1e-6) for one, other in pairs
    ]
    floored = ask(searched, "select reco.likeness('abcd', reco.letter_places('abcd'), 'abxy', .5)")
    assert floored == [(0.0,)]
    assert ask(searched, "select reco.likeness('abcd', reco.letter_places('abcd'), 'abxd', .5)") == [(0.75,)]


def test_readers_reach_titles_through_search_only(searched: Settings) -> None:
    with connect(searched, READER, autocommit=True) as connection:
        assert connection.execute("select title from reco.search_items('blue')").fetchall()
        for refused in ("select * from reco.search_postings", "select reco.fold('x')", "select reco.trigrams('x')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused)


def test_what_was_published_before_the_migration_is_found_after_it(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create schema if not exists reco")
        for name in ("0001_tables.sql", "0002_lookups.sql"):
            connection.execute((SQL / name).read_text(encoding="utf-8"))
        connection.execute(
            """insert into reco.models (model_version, kind, ds, status, artifact, checksum)
               values ('m', 'm', '2020-01-01', 'champion', 'a', 'c');
               insert into reco.publications (ds, model_version, status, users, items, fingerprint)
               values ('2020-01-01', 'm', 'live', 1, 1, 'f');
               create table reco.catalogue_1 partition of reco.catalogue for values in (1);
               create table reco.search_postings_1 partition of reco.search_postings for values in (1);
               insert into reco.catalogue values (1, 'bike', 0, 'Bicycle Race', 'Queen', '{}', '{}')"""
        )
        connection.execute((SQL / "0004_search.sql").read_text(encoding="utf-8"))
        connection.execute("set role reco_reader")
        assert connection.execute("select item_id from reco.search_items('bycicle rase')").fetchall() == [("bike",)]


@pytest.mark.shared_data
@pytest.mark.parametrize("typos", [1, 2])
def test_real_titles_with_typos(world: Settings, shared_data: Path, typos: int) -> None:
    with (shared_data / "lfm" / "tracks.csv").open(encoding="utf-8", newline="") as file:
        tracks = [(row["name"], row["artist_id"]) for row in csv.DictReader(file)]
    publication(world, [title for title, _ in tracks], [creator for _, creator in tracks])
    rng = random.Random(typos)  # noqa: S311
    sample = rng.sample([title for title, _ in tracks], 400)
    right = 0
    with connect(world, READER, autocommit=True) as connection:
        for title in sample:
            typed = rng.choice((str.lower, str.upper, str))(misspell(title, typos, rng))
            first = connection.execute("select title from reco.search_items(%s, 1)", [typed], prepare=True).fetchone()
            right += first is not None and fold(first[0]) == fold(title)
    assert right / len(sample) >= 0.95
