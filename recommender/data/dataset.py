"""What a model sees: the world as known at the end of one night, in integer indices.

A `Dataset` is immutable. Row `u` of `user_features` belongs to `user_ids[u]`, row `i` of `item_features` to
`item_ids[i]`; events are sorted by user, then time, so that a user's history is one slice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

SECONDS_A_DAY = 86_400


def night_end(ds: date) -> datetime:
    """The instant a night's knowledge ends: midnight after `ds`, UTC."""
    return datetime(ds.year, ds.month, ds.day, tzinfo=UTC) + timedelta(days=1)


class PairValues(Protocol):
    """The pair features of one night's users and items."""

    @property
    def names(self) -> tuple[str, ...]:
        """The answers' columns."""

    def matrix(self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """(n, features) of each pair `users[j], items[j]`; what is missing is NaN."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Events, catalogue and features as known at the end of `ds`."""

    ds: date
    user_ids: npt.NDArray[np.object_]
    """(users,) text ids, sorted."""
    item_ids: npt.NDArray[np.object_]
    """(items,) text ids, sorted."""
    user: npt.NDArray[np.int32]
    """(events,) index into `user_ids`; sorted by (user, time)."""
    item: npt.NDArray[np.int32]
    """(events,) index into `item_ids`."""
    ts: npt.NDArray[np.int64]
    """(events,) seconds since the epoch."""
    weight: npt.NDArray[np.float32]
    """(events,) how much an event counts; 1 unless the profile says otherwise."""
    user_features: pd.DataFrame
    """(users, features) the declared columns, in the declared order; missing is NaN or None."""
    item_features: pd.DataFrame
    """(items, features) likewise."""
    feature_versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By entity and feature: which definition the values were made by. Empty where nobody knows."""
    affinity_keys: Mapping[str, npt.NDArray[np.object_]] = field(default_factory=dict)
    """What affinities are looked up by: (users,) for each segment, (items,) the first `category`; None is missing."""
    pairs: PairValues | None = None
    """The declared pair features, as asked for at the end of `ds`; None where none is declared."""

    @property
    def until(self) -> int:
        """Seconds since the epoch at which this knowledge ends; every `ts` is before it."""
        return int(night_end(self.ds).timestamp())

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(users + 1,) the events of user `u` are `offsets[u]:offsets[u + 1]`, oldest first."""
        counts = np.bincount(self.user, minlength=len(self.user_ids))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @cached_property
    def seen(self) -> sparse.csr_matrix:
        """(users, items) 1 where the user has met the item."""
        shape = (len(self.user_ids), len(self.item_ids))
        matrix = sparse.csr_matrix((np.ones(len(self.user), np.float32), (self.user, self.item)), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        matrix.sort_indices()
        return matrix

    @cached_property
    def active_users(self) -> npt.NDArray[np.int64]:
        """Indices of users with at least one event."""
        return np.flatnonzero(np.diff(self.offsets) > 0)

    @cached_property
    def known_items(self) -> npt.NDArray[np.bool_]:
        """(items,) True where the item has at least one event."""
        return np.bincount(self.item, minlength=len(self.item_ids)) > 0


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Positive examples with the features that were known when each happened.

    Row `r` is event `event[r]` of the data set, whose histories a model takes from the data set's events. The
    frames hold the declared features from the last snapshot before the event (point-in-time).
    """

    event: npt.NDArray[np.int64]
    """(rows,) positions in the data set's event arrays, ascending."""
    user_features: pd.DataFrame
    """(rows, user features)"""
    item_features: pd.DataFrame
    """(rows, item features) of the row's own item."""
    pair_features: pd.DataFrame = field(default_factory=pd.DataFrame)
    """(rows, pair features) of the row's user and item together; no columns where none is declared."""
    outside: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Positions of the training window's events that the k-core leaves out."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What users went on to do after a data set's knowledge ended, in that data set's indices."""

    users: npt.NDArray[np.int64]
    """(n,) users with at least one relevant item, ascending."""
    relevant: sparse.csr_matrix
    """(n, items) 1 where the item is relevant; row `r` belongs to `users[r]`."""


class Past(Protocol):
    """The same users and items as they were known on earlier nights: what a model learns to rank from."""

    def before(self, days: int) -> tuple[Dataset, TrainingRows, Truth]:
        """The world `days` earlier, the rows to train on then, and what came in those days; in the same indices.

        Raises
        ------
        NotReadyError
            The lake holds nothing that old.
        """
