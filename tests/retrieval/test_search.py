"""Which way lists are found, and that they are the same lists."""

import numpy as np
import pytest
from scipy import sparse

from recommender.errors import ArtifactError
from recommender.retrieval import search as searching
from recommender.retrieval import similar as similarity
from recommender.retrieval.exact import top_k, unit
from recommender.retrieval.graph import found_share
from recommender.retrieval.hnsw import build_index
from recommender.retrieval.search import finder, graph_is_sooner, search

K = 10


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    rng = np.random.default_rng(2)
    u, v = rng.normal(size=(200, 8)).astype(np.float32), rng.normal(size=(1200, 8)).astype(np.float32)
    return u, v, sparse.csr_matrix(rng.random((200, 1200)) < 0.01)


@pytest.fixture
def graphs_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "LEAST_ITEMS", 100)
    monkeypatch.setattr(searching, "GRAPH_STEP", 1)
    monkeypatch.setattr(searching, "BUILD_ITEM", 1)


def test_small_catalogues_are_answered_exactly(world) -> None:
    u, v, seen = world
    found = search(u, v, K, seen=seen)
    how = found.finder
    assert (how.method, how.recall, how.beam, how.index) == ("exact", 1.0, None, None)
    assert np.array_equal(found.top.items, top_k(u, v, K, seen=seen).items)
    assert found.finder.summary == "exact lists of 10 for 200 users of 1200 items: fewer than 50000 items"


@pytest.mark.usefixtures("graphs_are_cheap")
def test_large_ones_by_hnsw_at_the_recall_that_is_wanted(world) -> None:
    u, v, seen = world
    found = search(u, v, K, seen=seen, recall=0.97)
    how = found.finder
    assert how.method == "hnsw"
    assert how.recall >= 0.97
    assert how.index is not None
    assert (how.index.recall, how.index.beam) == (how.recall, how.beam)
    assert found_share(found.top.items, top_k(u, v, K, seen=seen).items) >= 0.96
    again = search(u, v, K, seen=seen, recall=0.97)
    assert np.array_equal(again.top.items, found.top.items)
    assert again.finder.index == how.index


@pytest.mark.usefixtures("graphs_are_cheap")
def test_an_index_that_is_given_is_not_built_again(world, monkeypatch) -> None:
    u, v, seen = world
    allowed = np.arange(1200) % 2 > 0
    index = build_index(v, u, allowed=allowed)
    monkeypatch.setattr(searching, "built", None)
    found = search(u, v, K, seen=seen, allowed=allowed, index=index)
    assert found.finder.method == "hnsw"
    assert found.finder.index is not None
    assert found.finder.index.data == index.data
    assert allowed[found.top.items].all()


def test_an_index_of_another_catalogue_is_refused(world) -> None:
    u, v, _ = world
    index = build_index(v, u)
    with pytest.raises(ArtifactError, match="holds 1200 items, the catalogue 1199"):
        search(u, v[1:], K, index=index)


@pytest.mark.usefixtures("graphs_are_cheap")
def test_a_part_of_the_users_is_answered_as_all_of_them_would_be(world) -> None:
    u, v, seen = world
    sample = slice(0, 150, 3)
    chosen = finder(u[sample], v, K, users=len(u), seen=seen[sample], recall=0.97)
    assert chosen.method == "hnsw"
    whole = chosen.top_k(u, K, seen=seen)
    for part in (slice(0, 7), slice(7, 200)):
        assert np.array_equal(chosen.top_k(u[part], K, seen=seen[part]).items, whole.items[part])


@pytest.mark.usefixtures("graphs_are_cheap")
def test_exactly_where_no_beam_finds_enough(world, monkeypatch) -> None:
    u, v, _ = world
    monkeypatch.setattr(searching, "probed", lambda *_, **__: type("P", (), {"space": "ip", "beam": 9, "recall": 0.5}))
    found = search(u, v, K)
    assert found.finder.method == "exact"
    assert found.finder.summary.endswith("in a sample of the items a beam of 9 finds 0.5000 of them")


@pytest.mark.usefixtures("graphs_are_cheap")
def test_exactly_where_nothing_less_is_wanted(world) -> None:
    u, v, _ = world
    assert search(u, v, K, recall=1.0).finder.method == "exact"


def test_a_build_must_pay_off() -> None:
    assert not graph_is_sooner(10_000, 1_000_000, 200, indexed=False)
    assert graph_is_sooner(1_000_000, 1_000_000, 200, indexed=False)
    assert graph_is_sooner(10_000, 1_000_000, 200, indexed=True)
    assert not graph_is_sooner(1_000_000, 50_000, 200, indexed=True)


@pytest.mark.usefixtures("graphs_are_cheap")
def test_similar_items_of_a_large_catalogue() -> None:
    v = np.random.default_rng(4).normal(size=(1000, 8)).astype(np.float32)
    allowed = np.arange(1000) % 10 > 0
    found, cosines = similarity.most_similar(v, K, allowed=allowed), unit(v) @ unit(v).T
    np.fill_diagonal(cosines, -np.inf)
    cosines[:, ~allowed] = -np.inf
    wanted = np.where(allowed[:, None], np.argsort(-cosines, axis=1, kind="stable")[:, :K], -1).astype(np.int32)
    rows = np.flatnonzero(allowed)
    assert similarity.search_similar(v, K, rows, allowed=allowed).finder.method == "hnsw"
    assert found_share(found.items, wanted) > 0.98
    assert (found.items[~allowed] == -1).all()
    assert not (found.items == np.arange(1000)[:, None]).any()
    assert (found.scores[allowed, 0] <= 1 + 1e-6).all()
