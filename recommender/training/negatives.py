"""Items that users have not met, drawn as negatives: shared by a batch, or for each positive its own."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.errors import TrainingError

POPULARITY_POWER = 0.75
"""Flattens popularity, from Mikolov et al., "Distributed representations of words and phrases" (NeurIPS 2013)."""
_ROUNDS = 16
"""Draws of one negative after which it is drawn among what the user has not met: they have met nearly everything."""
_BLOCK = 1 << 15
"""Draws made at one time; what they need stays in the processor's cache."""
_BITS_A_PAIR = 16
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: multiplication by it spreads consecutive keys (Knuth, TAOCP 3, 6.4)."""

Ints = npt.NDArray[np.int64]


class Sampler:
    """Draws items uniformly, or by popularity: in proportion to their share to the power of 0.75.

    Parameters
    ----------
    kind
        `uniform` or `popularity`.
    shares
        (items,) share of the training rows that each item has.
    seen
        (users, items) every item a user has met; `for_users` draws none of them.

    Raises
    ------
    TrainingError
        There is no item to draw.
    """

    def __init__(
        self, kind: Literal["uniform", "popularity"], shares: npt.NDArray[np.float32], seen: sparse.csr_matrix
    ) -> None:
        weights = np.ones(len(shares)) if kind == "uniform" else np.asarray(shares, np.float64) ** POPULARITY_POWER
        if not weights.sum() > 0:
            raise TrainingError("no item to draw negatives from: the training rows hold none")
        self.shares: npt.NDArray[np.float64] = weights / weights.sum()
        """(items,) chance of each item in one draw, before those a user has met are rejected."""
        self._aliases = None if kind == "uniform" else _alias_table(self.shares)
        self._seen = _Pairs(seen)
        self.has_negatives: npt.NDArray[np.bool_] = np.diff(seen.indptr) < len(shares)
        """(users,) False for those who have met every item; `seen` must hold no pair twice."""

    def shared(self, rng: np.random.Generator, count: int) -> Ints:
        """(c,) items of `count` draws, ascending, each once; whose negatives they are not, the caller must see to."""
        return np.unique(self._draw(rng, count))

    def log_q(self, count: int) -> npt.NDArray[np.float32]:
        """(items,) log of the chance that an item is in `shared` with `count` draws; finite even where it is 0."""
        log_missed = count * np.log1p(-np.minimum(self.shares, 1 - 1e-9))
        chance = np.maximum(-np.expm1(log_missed), np.finfo(np.float32).tiny)
        return np.asarray(np.log(chance), np.float32)

    def for_users(self, rng: np.random.Generator, users: Ints, per_positive: int) -> Ints:
        """(n, per_positive) items that the user `users[j]` has not met, drawn with replacement.

        Where all that a user has not met has no share of the training rows, it is drawn uniformly.

        Raises
        ------
        TrainingError
            A user has met every item; leave out those without `has_negatives`.
        """
        if not self.has_negatives[users].all():
            raise TrainingError("users who have met every item have no negatives: leave out their rows")
        asked = np.repeat(np.asarray(users, np.int64), per_positive)
        drawn = np.empty(len(asked), np.int64)
        for start in range(0, len(asked), _BLOCK):
            self._fill(rng, asked[start : start + _BLOCK], drawn[start : start + _BLOCK])
        return drawn.reshape(len(users), per_positive)

    def _fill(self, rng: np.random.Generator, users: Ints, drawn: Ints) -> None:
        left = np.arange(len(users))
        for _ in range(_ROUNDS):
            again = self._draw(rng, len(left))
            drawn[left] = again
            left = left[self._seen.hold(users[left], again)]
            if len(left) == 0:
                return
        for user in np.unique(users[left]):
            places = left[users[left] == user]
            unmet = np.delete(np.arange(len(self.shares)), self._seen.of(user))
            weights = self.shares[unmet] if self.shares[unmet].any() else np.ones(len(unmet))
            drawn[places] = rng.choice(unmet, len(places), p=weights / weights.sum())

    def _draw(self, rng: np.random.Generator, count: int) -> Ints:
        drawn = rng.integers(0, len(self.shares), count)
        if self._aliases is None:
            return drawn
        stands, alias = self._aliases
        return np.where(rng.random(count) < stands[drawn], drawn, alias[drawn])


class _Pairs:
    """Which pairs a matrix stores; a table of bits answers most questions before the sorted keys are searched."""

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        self._matrix, self._items = matrix, matrix.shape[1]
        users = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
        self._keys = np.sort(users * self._items + matrix.indices)
        bits = max(3, (max(1, len(self._keys)) * _BITS_A_PAIR - 1).bit_length())
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << (bits - 3), np.uint8)
        byte, bit = self._place(self._keys)
        np.bitwise_or.at(self._table, byte, bit)

    def hold(self, users: Ints, items: Ints) -> npt.NDArray[np.bool_]:
        """(n,) True where the pair is stored."""
        keys = users * self._items + items
        byte, bit = self._place(keys)
        held: npt.NDArray[np.bool_] = (self._table[byte] & bit) != 0
        perhaps = np.flatnonzero(held)
        if len(perhaps):
            keys = keys[perhaps]
            place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            held[perhaps] = self._keys[place] == keys
        return held

    def of(self, user: int) -> npt.NDArray[np.int32]:
        """The items of one user."""
        items: npt.NDArray[np.int32] = self._matrix.indices[self._matrix.indptr[user] : self._matrix.indptr[user + 1]]
        return items

    def _place(self, keys: Ints) -> tuple[Ints, npt.NDArray[np.uint8]]:
        """Byte and bit of each key in the table."""
        hashed = (keys.view(np.uint64) * _MULTIPLIER) >> self._shift
        bit = np.left_shift(np.uint8(1), hashed.astype(np.uint8) & np.uint8(7))
        return (hashed >> np.uint64(3)).view(np.int64), bit


def _alias_table(shares: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], Ints]:
    """For each item: how often a uniform draw of it stands, and which item it stands for otherwise.

    From Vose, "A linear algorithm for generating random numbers with a given distribution" (IEEE TSE 1991).
    """
    scaled = (shares * len(shares)).tolist()
    alias = [int(np.argmax(shares))] * len(shares)  # also of what rounding leaves over
    small = [item for item, share in enumerate(scaled) if share < 1]
    large = [item for item, share in enumerate(scaled) if share >= 1]
    while small and large:
        less, more = small.pop(), large[-1]
        alias[less] = more
        scaled[more] -= 1 - scaled[less]
        if scaled[more] < 1:
            small.append(large.pop())
    return np.array(scaled), np.array(alias, np.int64)
