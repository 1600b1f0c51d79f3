"""Top-100 of 64-d vectors with seen items left out, against the libraries a user would pick.

`python -m benchmarks.retrieval` measures this suite alone; with the argument `full`, HNSW at a million items too, whose
build takes minutes.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from implicit.cpu.topk import topk as implicit_topk
from scipy import sparse

from benchmarks.measure import Measurement, seconds
from recommender.retrieval.exact import top_k
from recommender.retrieval.graph import BEAMS, Graph, found_share, narrowest_beam
from recommender.retrieval.hnsw import built
from recommender.retrieval.search import LEAST_ITEMS, graph_is_sooner

DIMENSION, K, SEEN, RECALL = 64, 100, 50, 0.99
NIGHT = 100_000
"""Users whose lists are reckoned with; fewer are timed."""
TIMED = {10_000: 6_000, 50_000: 2_500, 200_000: 800, 1_000_000: 256}
LARGEST_INDEXED = 200_000
ALLOWED_MIB = 2_048
GENRES, ITEMS_PER_CREATOR, HISTORY = 40, 20, 20


@dataclass(frozen=True, eq=False)
class World:
    """Vectors as factorising models have them."""

    users: np.ndarray
    items: np.ndarray
    seen: sparse.csr_matrix


def world(items: int, users: int, seed: int = 0) -> World:
    """Items around creators around genres, on a spectrum that decays as 1/j, of log-normal norms (sigma 0.2).

    A user is the mean of 20 items out of two genres, as where a model pools a history, and has seen 50 others.
    """
    rng = np.random.default_rng(seed)
    spectrum = (np.arange(1, DIMENSION + 1) ** -0.5).astype(np.float32)

    def around(centres: np.ndarray, spread: float) -> np.ndarray:
        return (centres + spread * spectrum * rng.standard_normal(centres.shape, np.float32)).astype(np.float32)

    genre = np.sort(rng.integers(0, GENRES, items // ITEMS_PER_CREATOR))
    creator = np.sort(rng.integers(0, len(genre), items))
    creators = around(around(np.zeros((GENRES, DIMENSION), np.float32), 1.0)[genre], 0.7)
    vectors = around(creators[creator], 0.5)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors *= rng.lognormal(0, 0.2, (items, 1)).astype(np.float32)
    ends = np.searchsorted(genre[creator], np.arange(GENRES + 1))
    liked = rng.integers(0, GENRES, (users, 2))[np.arange(users)[:, None], rng.integers(0, 2, (users, HISTORY))]
    history = (ends[liked] + rng.random(liked.shape) * (ends[liked + 1] - ends[liked])).astype(np.int64)
    pooled = np.mean([vectors[history[:, place]] for place in range(HISTORY)], axis=0).astype(np.float32)
    shuffled = rng.permutation(items)
    seen = ((rng.integers(0, items, (users, 1)) + np.arange(SEEN) * (items // SEEN)) % items).ravel()
    pairs = (np.ones(users * SEEN, np.float32), seen, np.arange(users + 1) * SEEN)
    return World(pooled, np.ascontiguousarray(vectors[shuffled]), sparse.csr_matrix(pairs, (users, items)))


def run(largest_indexed: int = LARGEST_INDEXED) -> Iterator[Measurement]:
    for items, users in TIMED.items():
        made = world(items, users)
        graph = None
        if items <= largest_indexed:
            started = time.perf_counter()
            graph = built(made.items, "ip")
            build = time.perf_counter() - started
            yield from _beside_hnsw(made, graph, build)
            del graph
        yield from _beside_exact(made)
    alone = [sys.executable, "-m", "benchmarks.retrieval", "memory"]  # what earlier work left would be used again
    exact = float(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)
    yield Measurement("peak memory beyond the inputs, 1 M items, exact", exact, "MiB", "allowed", ALLOWED_MIB)


def _memory() -> float:
    items = max(TIMED)
    made = world(items, TIMED[items])
    return _peak_mib(lambda: top_k(made.users, made.items, K, seen=made.seen))


def _beside_exact(made: World) -> Iterator[Measurement]:
    flat = faiss.IndexFlatIP(DIMENSION)
    flat.add(made.items)
    ours, bare, by_faiss, by_implicit = seconds(
        lambda: top_k(made.users, made.items, K, seen=made.seen),
        lambda: flat.search(made.users, K + SEEN),
        lambda: _without_seen(flat.search(made.users, K + SEEN)[1], made),
        lambda: implicit_topk(made.items, made.users, K, filter_query_items=made.seen, num_threads=0),
    )
    name, users = f"exact top-{K}, {len(made.items) // 1000} k items, seen masked", len(made.users)
    yield Measurement(name, users / ours, "users/s", "faiss IndexFlatIP, seen dropped after", users / by_faiss)
    yield Measurement(name, users / ours, "users/s", "faiss IndexFlatIP, seen not dropped", users / bare)
    yield Measurement(name, users / ours, "users/s", "implicit topk", users / by_implicit)


def _beside_hnsw(made: World, graph: Graph, build: float) -> Iterator[Measurement]:
    users, items = len(made.users), len(made.items)
    wanted = top_k(made.users[:256], made.items, K, seen=made.seen[:256]).items
    sample = World(made.users[:256], made.items, made.seen[:256])
    for peer_beam in [beam for beam in BEAMS if beam >= K + SEEN]:
        share = found_share(_plain(graph, sample, peer_beam).astype(np.int32), wanted)
        if share >= RECALL:
            break
    beam, reached = narrowest_beam(graph, sample.users, K, RECALL, seen=sample.seen)
    by_graph = reached >= RECALL and items >= LEAST_ITEMS and graph_is_sooner(NIGHT, items, beam, indexed=True)

    def ours() -> object:
        if by_graph:
            return graph.top_k(made.users, K, beam, seen=made.seen)
        return top_k(made.users, made.items, K, seen=made.seen)

    own, plain = seconds(ours, lambda: _plain(graph, made, peer_beam))
    how = f"by HNSW, beam {beam}" if by_graph else "exact"
    peer = f"hnswlib with ef {peer_beam} (recall {share:.3f}), seen dropped after"
    name = f"top-{K}, {items // 1000} k items, {how}"
    yield Measurement(name, users / own, "users/s", f"{peer}, build left out", users / plain)
    if not by_graph:
        with_build = NIGHT / (build + NIGHT * plain / users)
        yield Measurement(name, users / own, "users/s", f"{peer}, build of {build:.0f} s included", with_build)


def _plain(graph: Graph, made: World, beam: int) -> np.ndarray:
    graph.index.set_ef(beam)
    return _without_seen(graph.index.knn_query(made.users, k=K + SEEN)[0].astype(np.int64), made)


def _without_seen(found: np.ndarray, made: World) -> np.ndarray:
    """Neither library masks by user: ask for more, drop what was seen."""
    width = len(made.items)
    wanted = np.repeat(np.arange(len(found)), SEEN) * width + made.seen.indices
    keep = ~np.isin(np.arange(len(found))[:, None] * width + found, wanted)
    return np.take_along_axis(found, np.argsort(~keep, axis=1, kind="stable")[:, :K], axis=1)


def _peak_mib(work: Callable[[], object]) -> float:
    """Largest resident memory during a work beyond what was there before (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main(wanted: list[str]) -> None:
    if wanted == ["memory"]:
        print(f"{_memory():.1f}")
        return
    for row in run(max(TIMED) if wanted == ["full"] else LARGEST_INDEXED):
        print(
            f"{row.name}: {row.value:,.0f} {row.unit}, {row.ratio:.2f} of {row.peer} ({row.peer_value:,.0f})",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
