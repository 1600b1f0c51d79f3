"""Exact top-K by blocked matrix products: each block of scores is ranked while it is still in the cache."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from recommender.retrieval.selection import Leaders

LEAST_NORM = 1e-9
WORTH_COPYING = 10**11
"""Multiplications above which a CUDA device is used unasked: fewer are done sooner than the copies."""
_LEAST_SIDE = 16
"""Of a matrix product: below it the library sums in another order, and the last bit of a score would depend on which
users were asked for together. A multiple of `selection.GROUP`."""

Fill = Callable[[slice, slice, torch.Tensor], object]
"""Writes the scores of a slice of users for a slice of items into an (items, users) tensor."""


@dataclass(frozen=True)
class Blocks:
    """Users and items whose scores are held at one time; multiples of 16."""

    users: int
    items: int


CPU_BLOCKS = Blocks(users=256, items=4096)
"""4 MiB of scores a thread."""
CUDA_BLOCKS = Blocks(users=4096, items=65536)
"""1 GiB of scores."""


@dataclass(frozen=True, eq=False)
class TopK:
    """Ranked lists, best first. Where fewer than k candidates exist, the tail has item -1 and score -inf."""

    items: npt.NDArray[np.int32]
    """(users, k)"""
    scores: npt.NDArray[np.float32]
    """(users, k)"""

    @classmethod
    def empty(cls, users: int, k: int) -> "TopK":
        """Lists with nothing in them."""
        return cls(np.full((users, k), -1, np.int32), np.full((users, k), -np.inf, np.float32))

    def at(self, positions: npt.NDArray[np.int64] | None) -> "TopK":
        """The same lists with `positions[i]` for item `i`; themselves where that is None."""
        if positions is None:
            return self
        items = np.where(self.items < 0, -1, np.append(positions, -1)[self.items])
        return TopK(items.astype(np.int32), self.scores)


def top_k(
    user_vectors: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    k: int,
    *,
    seen: sparse.csr_matrix | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
    device: str | None = None,
) -> TopK:
    """The `k` items with the largest dot product for each user; of equal ones the item that comes first.

    Parameters
    ----------
    user_vectors, item_vectors
        (users, d) and (items, d).
    seen
        (users, items); stored entries are left out of that user's list.
    allowed
        (items,) False leaves the item out of every list; the fewer are allowed, the less there is to do.
    device
        `cpu`, `cuda`, or None for CUDA where there is one and the work is worth the copies.
    """
    kept = None if allowed is None else np.flatnonzero(allowed)
    vectors = item_vectors if kept is None else item_vectors[kept]
    where = device_for(device, user_vectors.size * len(vectors))
    users, items = (torch.from_numpy(_padded(given)).to(where) for given in (user_vectors, vectors))

    def fill(user: slice, item: slice, out: torch.Tensor) -> None:
        torch.mm(items[item], users[user].T, out=out)

    return _ranked(fill, (len(user_vectors), len(vectors)), k, _Seen(seen, kept), where).at(kept)


def top_k_of_scores(
    scores: npt.NDArray[np.float32],
    k: int,
    *,
    seen: sparse.csr_matrix | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> TopK:
    """The `k` best of (users, items) `scores`; otherwise as `top_k`."""
    kept = None if allowed is None else np.flatnonzero(allowed)
    users, items = len(scores), scores.shape[1] if kept is None else len(kept)
    given, columns = torch.from_numpy(scores), None if kept is None else torch.from_numpy(kept)

    def fill(user: slice, item: slice, out: torch.Tensor) -> None:
        block = given[user, item] if columns is None else given[user].index_select(1, columns[item])
        out[: block.shape[1], : len(block)] = block.T

    return _ranked(fill, (users, items), k, _Seen(seen, kept), torch.device("cpu")).at(kept)


def device_for(wanted: str | None, multiplications: int) -> torch.device:
    """The device that is wanted; for None, CUDA where there is one and so much work is worth the copies."""
    if wanted is None:
        wanted = "cuda" if multiplications >= WORTH_COPYING and torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, d) vectors of length 1; those without a direction stay as good as 0."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), LEAST_NORM)
    directions: npt.NDArray[np.float32] = (vectors / lengths).astype(np.float32, copy=False)
    return directions


@dataclass(frozen=True, eq=False)
class _Seen:
    """What each user has met, among the `kept` items."""

    pairs: sparse.csr_matrix | None
    kept: npt.NDArray[np.int64] | None

    def by_block(self, users: slice, size: int, blocks: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(item within its block, user within the slice) of what was met, for each of `blocks` blocks of items."""
        if self.pairs is None:
            nothing = torch.empty(0, dtype=torch.int64)
            return [(nothing, nothing)] * blocks
        met = self.pairs[users]
        item, user = met.indices.astype(np.int64), np.repeat(np.arange(met.shape[0]), np.diff(met.indptr))
        if self.kept is not None:
            place = np.full(met.shape[1], -1)
            place[self.kept] = np.arange(len(self.kept))
            item = place[item]
            item, user = item[item >= 0], user[item >= 0]
        block = (item // size).astype(np.uint16 if blocks < 2**16 else np.int64)  # 16 bits are sorted by radix
        order = np.argsort(block, kind="stable")
        ends = np.searchsorted(block[order], np.arange(1, blocks))
        items, user_parts = np.split((item % size)[order], ends), np.split(user[order], ends)
        return [(torch.from_numpy(i), torch.from_numpy(u)) for i, u in zip(items, user_parts, strict=True)]


def _ranked(fill: Fill, shape: tuple[int, int], k: int, seen: _Seen, device: torch.device) -> TopK:
    users, items = shape
    best = TopK.empty(users, k)
    width = min(k, items)
    if width == 0 or users == 0:
        return best
    on_cpu = device.type == "cpu"
    blocks = CPU_BLOCKS if on_cpu else CUDA_BLOCKS
    at_a_time = min(blocks.users, _rounded(-(-users // torch.get_num_threads()))) if on_cpu else blocks.users

    def rank(start: int) -> None:
        user = slice(start, min(start + at_a_time, users))
        found, scores = _ranked_block(fill, user, items, width, seen, blocks.items, device)
        best.items[user, :width], best.scores[user, :width] = found.cpu().numpy(), scores.cpu().numpy()

    starts = range(0, users, at_a_time)
    if on_cpu:
        in_threads(rank, starts)
    else:
        for start in starts:
            rank(start)
    return best


def _ranked_block(
    fill: Fill, users: slice, items: int, k: int, seen: _Seen, size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(users, k) positions and scores of one block of users."""
    count = users.stop - users.start
    leaders = Leaders(_rounded(count), k, device)
    starts = range(0, items, size)
    memory = torch.empty((min(size, _rounded(items)), _rounded(count)), device=device)
    for start, (met, by) in zip(starts, seen.by_block(users, size, len(starts)), strict=True):
        stop = min(start + size, items)
        scores = memory[: _rounded(stop - start)]
        fill(slice(users.start, users.start + _rounded(count)), slice(start, start + len(scores)), scores)
        scores[stop - start :] = -torch.inf
        scores[met.to(device), by.to(device)] = -torch.inf
        leaders.feed(scores, start)
    found, best = leaders.ranked()
    return found[:count], best[:count]


def in_threads(work: Callable[[int], None], starts: range) -> None:
    """One block of users a thread, each with one thread of its own: blocks share nothing but the item vectors."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(work, starts))
    finally:
        torch.set_num_threads(threads)


def _rounded(length: int) -> int:
    return -(-length // _LEAST_SIDE) * _LEAST_SIDE


def _padded(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The vectors and as many zeros as make their number a multiple of 16."""
    missing = _rounded(len(vectors)) - len(vectors)
    padded = np.pad(vectors, ((0, missing), (0, 0))) if missing else vectors
    return np.ascontiguousarray(padded, np.float32)
