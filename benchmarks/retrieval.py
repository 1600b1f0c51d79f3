"""Exact top-100 of 64-d vectors with seen items left out, against the libraries a user would pick."""

from collections.abc import Iterator

import faiss
import numpy as np
from implicit.cpu.topk import topk as implicit_topk
from scipy import sparse

from benchmarks.measure import Measurement, seconds
from recommender.retrieval.exact import top_k

USERS, DIMENSION, K, SEEN = 4_000, 64, 100, 50


def run() -> Iterator[Measurement]:
    for items in (10_000, 50_000):
        rng = np.random.default_rng(0)
        users = rng.normal(size=(USERS, DIMENSION)).astype(np.float32)
        vectors = rng.normal(size=(items, DIMENSION)).astype(np.float32)
        columns = np.sort(np.stack([rng.choice(items, SEEN, replace=False) for _ in range(USERS)]), axis=1).ravel()
        seen = sparse.csr_matrix(
            (np.ones(USERS * SEEN, np.float32), columns, np.arange(USERS + 1) * SEEN), (USERS, items)
        )
        flat = faiss.IndexFlatIP(DIMENSION)
        flat.add(vectors)

        def with_faiss(flat: faiss.Index = flat, users: np.ndarray = users, seen: sparse.csr_matrix = seen) -> None:
            _, found = flat.search(users, K + SEEN)  # faiss can't mask by user: ask for more, drop what was seen
            wanted = np.repeat(np.arange(USERS), SEEN) * flat.ntotal + seen.indices
            keep = ~np.isin(np.arange(USERS)[:, None] * flat.ntotal + found, wanted)
            order = np.argsort(~keep, axis=1, kind="stable")[:, :K]
            np.take_along_axis(found, order, axis=1)

        def with_implicit(
            vectors: np.ndarray = vectors, users: np.ndarray = users, seen: sparse.csr_matrix = seen
        ) -> None:
            implicit_topk(vectors, users, K, filter_query_items=seen, num_threads=0)

        def ours(vectors: np.ndarray = vectors, users: np.ndarray = users, seen: sparse.csr_matrix = seen) -> None:
            top_k(users, vectors, K, seen=seen)

        own, by_faiss, by_implicit = seconds(ours, with_faiss, with_implicit)
        name = f"exact top-{K}, {items // 1000} k items, seen masked"
        yield Measurement(name, USERS / own, "users/s", "faiss IndexFlatIP, seen dropped after", USERS / by_faiss)
        yield Measurement(name, USERS / own, "users/s", "implicit topk", USERS / by_implicit)
