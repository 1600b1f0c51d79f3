"""What a user has done with an item's creator or category, and where the item stands within it."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.groups import Floats, Ints

RECENT_HALF_LIFE_DAYS = 30.0
"""Age at which an event counts half where the recent ones matter."""
LASTING_HALF_LIFE_DAYS = 180.0
USER_NAMES = ("events", "share", "recent", "recency", "met")
ITEM_NAMES = ("rank", "share", "events", "recent", "items")
TINY = float(np.finfo(np.float32).tiny)

Doubles = npt.NDArray[np.float64]


class AttributeColumns:
    """Columns of one attribute of the items, such as the creator; 0 throughout where an item has none.

    `user_creator_events`, `_share`, `_recent`, `_recency`, `_met`: log of one plus the user's events with the
    creator; their share of the user's events; the log again with events halved every 30 days; 1 on the day of the
    last event, halved every 30 days; the share of the creator's items that the user has met.

    `creator_rank`, `_share`, `_events`, `_recent`, `_items`: log of the item's rank within its creator by events
    halved every 180 days, 0 for the first; its share of those; log of one plus the creator's events so halved, and
    halved every 30 days; log of the creator's number of items.
    """

    def __init__(self, name: str, dataset: Dataset, known: npt.NDArray[np.intp]) -> None:
        """Counts the `known` events: positions in the data set's arrays, ascending."""
        self.names: tuple[str, ...] = (
            *(f"user_{name}_{part}" for part in USER_NAMES),
            *(f"{name}_{part}" for part in ITEM_NAMES),
        )
        self._code, values = first_values(dataset.item_features[name])
        self._values = max(1, values)
        user, item = dataset.user[known].astype(np.int64), dataset.item[known]
        age: Doubles = (dataset.until - dataset.ts[known]) / SECONDS_A_DAY
        weight: Doubles = dataset.weight[known].astype(np.float64)
        recent, lasting = (weight * np.exp2(-age / days) for days in (RECENT_HALF_LIFE_DAYS, LASTING_HALF_LIFE_DAYS))
        self._item_columns = self._of_items(item, lasting, recent)
        self._keys, self._user_columns = self._of_users(user, item, age, weight, recent, len(dataset.user_ids))

    def fill(self, columns: Floats, candidates: Candidates) -> None:
        """Write (columns, pairs)."""
        code = self._code[candidates.items]
        keys = candidates.pair_users * self._values + code
        place = np.searchsorted(self._keys, keys)
        place[(self._keys[place] != keys) | (code < 0)] = len(self._keys) - 1
        for row, column in zip(columns, self._user_columns, strict=False):
            column.take(place, out=row, mode="clip")
        for row, column in zip(columns[len(USER_NAMES) :], self._item_columns, strict=True):
            column.take(candidates.items, out=row, mode="clip")

    def _of_items(self, item: npt.NDArray[np.int32], lasting: Doubles, recent: Doubles) -> list[Floats]:
        code = np.where(self._code < 0, self._values, self._code)
        events, lately = (np.bincount(item, weight, len(code)) for weight in (lasting, recent))
        order = np.lexsort((np.arange(len(code)), -events, code))
        first = np.searchsorted(code[order], np.arange(self._values + 1))
        rank = np.empty(len(code))
        rank[order] = np.arange(len(code)) - first[code[order]]
        items, all_events, all_lately = (
            np.bincount(code, weight, self._values + 1)[code] for weight in (None, events, lately)
        )
        columns = (
            np.log1p(rank),
            events / np.maximum(all_events, TINY),
            np.log1p(all_events),
            np.log1p(all_lately),
            np.log(items),
        )
        return [np.where(self._code < 0, 0, column).astype(np.float32) for column in columns]

    def _of_users(
        self,
        user: Ints,
        item: npt.NDArray[np.int32],
        age: Doubles,
        weight: Doubles,
        recent: Doubles,
        users: int,
    ) -> tuple[Ints, list[Floats]]:
        """Sorted keys of user and value, and their columns; the last entry is what there is of all other pairs."""
        code = self._code[item]
        has = code >= 0
        keys, place = np.unique(user[has] * self._values + code[has], return_inverse=True)
        count, lately = (np.bincount(place, values[has], len(keys)) for values in (weight, recent))
        last = np.full(len(keys), np.inf)
        np.minimum.at(last, place, age[has])
        total = np.bincount(user, weight, users)[keys // self._values]
        width = len(self._code)
        met = np.unique(user * width + item)
        met_code = self._code[met % width]
        met_keys = (met // width * self._values + met_code)[met_code >= 0]
        different = np.bincount(np.searchsorted(keys, met_keys), minlength=len(keys))
        items = np.bincount(self._code[self._code >= 0], minlength=self._values)[keys % self._values]
        columns = (
            np.log1p(count),
            count / np.maximum(total, TINY),
            np.log1p(lately),
            np.exp2(-last / RECENT_HALF_LIFE_DAYS),
            different / items,
        )
        return np.append(keys, np.iinfo(np.int64).max), [np.append(column, 0).astype(np.float32) for column in columns]


def first_values(column: pd.Series) -> tuple[npt.NDArray[np.int64], int]:
    """(items,) code of each item's first value, -1 for none, and how many there are."""
    firsts = [
        (cell[0] if len(cell) else None) if isinstance(cell, np.ndarray | list | tuple) else cell for cell in column
    ]
    codes, values = pd.factorize(pd.Series(firsts, dtype=object), sort=False)
    return codes.astype(np.int64), len(values)
