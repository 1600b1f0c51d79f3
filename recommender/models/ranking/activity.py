"""How popular and how old items are, and how active users are."""

import numpy as np
import numpy.typing as npt

from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.groups import Floats

WINDOWS_DAYS = (14, 30, 60, 180)
USER_WINDOW_DAYS = 30


class ItemColumns:
    """Columns of the item alone.

    `item_events_14d` and so on, `item_events`: log of one plus its events in the last days, and in all.
    `item_age_days`, `item_idle_days`: log of one plus the days since its first and last event; NaN without any.
    """

    def __init__(self, dataset: Dataset, known: npt.NDArray[np.intp]) -> None:
        """Counts the `known` events: positions in the data set's arrays."""
        self.names: tuple[str, ...] = (
            *(f"item_events_{days}d" for days in WINDOWS_DAYS),
            "item_events",
            "item_age_days",
            "item_idle_days",
        )
        items, item = len(dataset.item_ids), dataset.item[known]
        age, weight = (dataset.until - dataset.ts[known]) / SECONDS_A_DAY, dataset.weight[known]
        self._columns = [
            *(_log_count(item, weight * (age <= days), items) for days in WINDOWS_DAYS),
            _log_count(item, weight, items),
            _log_extreme(np.maximum, item, age, items),
            _log_extreme(np.minimum, item, age, items),
        ]

    def fill(self, columns: Floats, candidates: Candidates) -> None:
        """Write (columns, pairs)."""
        for row, column in zip(columns, self._columns, strict=True):
            column.take(candidates.items, out=row, mode="clip")


class UserColumns:
    """Columns of the user alone: they order nothing by themselves, but say which of the others to trust.

    `user_events_30d`, `user_events`: log of one plus the events. `user_idle_days`: log of one plus the days since the
    last; NaN without any.
    """

    def __init__(self, dataset: Dataset, known: npt.NDArray[np.intp]) -> None:
        """Counts the `known` events: positions in the data set's arrays."""
        self.names: tuple[str, ...] = (f"user_events_{USER_WINDOW_DAYS}d", "user_events", "user_idle_days")
        users, user = len(dataset.user_ids), dataset.user[known]
        age, weight = (dataset.until - dataset.ts[known]) / SECONDS_A_DAY, dataset.weight[known]
        self._columns = [
            _log_count(user, weight * (age <= USER_WINDOW_DAYS), users),
            _log_count(user, weight, users),
            _log_extreme(np.minimum, user, age, users),
        ]

    def fill(self, columns: Floats, candidates: Candidates) -> None:
        """Write (columns, pairs)."""
        for row, column in zip(columns, self._columns, strict=True):
            row[:] = np.repeat(column[candidates.users], candidates.groups)


def _log_count(index: npt.NDArray[np.int32], weight: npt.NDArray[np.floating], length: int) -> Floats:
    logs: Floats = np.log1p(np.bincount(index, weight, length)).astype(np.float32)
    return logs


def _log_extreme(pick: np.ufunc, index: npt.NDArray[np.int32], age: npt.NDArray[np.float64], length: int) -> Floats:
    """Log of one plus the largest or least age of each index; NaN where it has no event."""
    extreme = np.full(length, np.nan)
    pick_known = np.fmax if pick is np.maximum else np.fmin
    pick_known.at(extreme, index, age)
    logs: Floats = np.log1p(extreme).astype(np.float32)
    return logs
