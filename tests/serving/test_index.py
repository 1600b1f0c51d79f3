"""The HNSW index out of PostgreSQL: the answers of exact search in one call, and clear words when there is none."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import hnswlib
import numpy as np
import psycopg
import pytest

from recommender.config.settings import Settings, load_settings
from recommender.errors import ArtifactError, DatabaseError, NotReadyError, RequestError
from recommender.publishing.publication import publish
from recommender.retrieval.hnsw import HnswIndex
from recommender.serving.index import load_index
from recommender.storage.postgres import READER, connect, libpq_url, sqlalchemy_url
from tests.publishing.contents import MODEL, made, register_model

ITEMS, DIMENSION = 40, 5
VECTORS = np.random.default_rng(0).normal(size=(ITEMS, DIMENSION)).astype(np.float32)
VECTORS *= np.random.default_rng(1).lognormal(0, 0.5, (ITEMS, 1)).astype(np.float32)
QUERIES = np.random.default_rng(2).normal(size=(7, DIMENSION)).astype(np.float32)


@pytest.fixture
def world(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    settings = load_settings("synthetic")
    register_model(settings, date(2020, 1, 1))
    return settings


def index_of(vectors: np.ndarray, labels: np.ndarray, space: str = "ip") -> HnswIndex:
    if space == "l2":
        squared = (vectors**2).sum(axis=1)
        vectors = np.column_stack([vectors, np.sqrt(squared.max() - squared)])
    index = hnswlib.Index(space=space, dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors))
    index.add_items(vectors, labels, num_threads=1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.bin"
        index.save_index(str(file))
        return HnswIndex(file.read_bytes(), space, vectors.shape[1], len(vectors), 1.0)


def release(settings: Settings, index: HnswIndex | None) -> None:
    content = replace(made("a", k=ITEMS), index=index)
    with connect(settings, autocommit=True) as connection:
        publish(connection, date(2020, 1, 1), MODEL, "a", lambda: content, 5)


def alter(settings: Settings, *statements: str) -> None:
    with connect(settings) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("space", ["ip", "l2"])
def test_it_finds_what_exact_search_finds_with_the_dot_products(world: Settings, space: str) -> None:
    release(world, index_of(VECTORS, np.arange(ITEMS), space))
    index = load_index(libpq_url(world))
    assert (index.dimension, index.recall, index.beam) == (DIMENSION, 1.0, 200)
    assert load_index(libpq_url(world), beam=7).beam == 7
    ids, scores = index.search(QUERIES, k=6)
    exact = QUERIES @ VECTORS.T
    order = np.argsort(-exact, axis=1)[:, :6]
    assert ids.tolist() == [[f"a-item-{item}" for item in row] for row in order]
    np.testing.assert_allclose(scores, np.take_along_axis(exact, order, axis=1), rtol=1e-5)
    one, _ = index.search(QUERIES[0], k=6)
    assert one.tolist() == ids[:1].tolist()


def test_labels_of_an_index_that_leaves_items_out_are_told_by_the_catalogue(world: Settings) -> None:
    kept = np.array([3, 7, 8, 39])
    release(world, index_of(VECTORS[kept], kept))
    ids, scores = load_index(libpq_url(world)).search(QUERIES, k=100)
    assert ids.shape == scores.shape == (7, 4)
    order = kept[np.argsort(-QUERIES @ VECTORS[kept].T, axis=1)]
    assert ids.tolist() == [[f"a-item-{item}" for item in row] for row in order]


def test_any_url_string_or_connection_will_do(world: Settings) -> None:
    release(world, index_of(VECTORS, np.arange(ITEMS)))
    url = libpq_url(world)
    strings = (
        url,
        sqlalchemy_url(world),
        url.replace("postgresql://", "postgres://"),
        psycopg.conninfo.make_conninfo(url),
    )
    expected = load_index(url).search(QUERIES)[0].tolist()
    for source in strings:
        assert load_index(source).search(QUERIES)[0].tolist() == expected
    with connect(world) as connection:
        assert load_index(connection).search(QUERIES)[0].tolist() == expected


def test_nothing_asked_is_nothing_found(world: Settings) -> None:
    release(world, index_of(VECTORS, np.arange(ITEMS)))
    index = load_index(libpq_url(world))
    assert index.search(QUERIES, k=0)[0].shape == (7, 0)
    assert index.search(QUERIES[:0], k=3)[0].shape == (0, 3)
    with pytest.raises(RequestError, match="takes vectors of 5 dimensions, not of 4"):
        index.search(QUERIES[:, :4])


def test_without_an_index_the_error_says_what_is_missing(world: Settings) -> None:
    with pytest.raises(NotReadyError, match="nothing is published yet"):
        load_index(libpq_url(world))
    release(world, None)
    with pytest.raises(NotReadyError, match="publication 1 has no index 'items'"):
        load_index(libpq_url(world))


@pytest.mark.parametrize(
    "damage",
    [
        "update reco.indexes set data = set_byte(data, 100, get_byte(data, 100) # 1)",
        "update reco.indexes set data = substr(data, 2)",
        "update reco.indexes set chunk = 1",
        """insert into reco.indexes
           select publication_id, name, 2, '', checksum, space, dimension, elements, recall, beam from reco.indexes""",
    ],
)
def test_damaged_bytes_are_refused(world: Settings, damage: str) -> None:
    release(world, index_of(VECTORS, np.arange(ITEMS)))
    alter(world, damage)
    with pytest.raises(ArtifactError, match="index 'items' of publication 1 is corrupt or lacks a chunk"):
        load_index(libpq_url(world))


@pytest.mark.parametrize("lost", [0, ITEMS - 1])
def test_an_item_that_the_catalogue_lacks_is_told(world: Settings, lost: int) -> None:
    release(world, index_of(VECTORS, np.arange(ITEMS)))
    alter(world, f"delete from reco.catalogue where label = {lost}")
    with pytest.raises(ArtifactError, match="items that publication 1 lacks"):
        load_index(libpq_url(world))


def test_an_index_of_many_chunks_is_put_together_in_order(world: Settings) -> None:
    release(world, index_of(VECTORS, np.arange(ITEMS)))
    expected = load_index(libpq_url(world)).search(QUERIES)[0].tolist()
    alter(
        world,
        """insert into reco.indexes
           select publication_id, name, n, substr(data, 1 + n * 100, case when n = 12 then length(data) else 100 end),
                  checksum, space, dimension, elements, recall, beam
           from reco.indexes, generate_series(1, 12) as n""",
        "update reco.indexes set data = substr(data, 1, 100) where chunk = 0",
    )
    assert load_index(libpq_url(world)).search(QUERIES)[0].tolist() == expected


def _reader(settings: Settings) -> psycopg.Connection:
    connection = psycopg.connect(libpq_url(settings))
    connection.execute(f"set role {READER}")
    return connection


def test_a_reader_may_not_load_until_it_is_granted(world: Settings) -> None:
    release(world, index_of(VECTORS, np.arange(ITEMS)))
    with _reader(world) as connection, pytest.raises(DatabaseError, match="a role that may select from"):
        load_index(connection)
    alter(world, f"grant select on reco.publications, reco.indexes, reco.catalogue to {READER}")
    with _reader(world) as connection:
        assert load_index(connection).search(QUERIES, k=3)[0].shape == (7, 3)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (lambda _: "mysql://somewhere/db", "not from mysql://"),
        (lambda _: "postgresql://nobody@127.0.0.1:1/db", "cannot reach PostgreSQL"),
        (lambda _: "no connection string", "cannot reach PostgreSQL"),
        (lambda settings: libpq_url(settings), "can't be read from PostgreSQL: relation"),
    ],
)
def test_what_cannot_be_read_is_told(
    home: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    url: Callable[[Settings], str],
    reason: str,
) -> None:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    with pytest.raises(DatabaseError, match=reason):
        load_index(url(load_settings("synthetic")))
