"""Lists for people the model cannot know: what is popular in their segment, or with everybody."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.data.dataset import Dataset
from recommender.retrieval.exact import TopK

POPULARITY_HALF_LIFE_DAYS = 30
"""Age at which an event counts half: what is popular now, yet never empty."""
_OTHERS_WEIGHT = 1e-6
"""Of events outside the segment: they only fill the list where the segment's own items run out."""


def popular(dataset: Dataset, k: int, weights: npt.NDArray[np.float64] | None = None) -> TopK:
    """One list: items by their recency-weighted events, as shares of all."""
    weights = recency_weights(dataset) if weights is None else weights
    counts = np.bincount(dataset.item, weights=weights, minlength=len(dataset.item_ids))
    order = np.lexsort((np.arange(len(counts)), -counts))[:k]
    order = order[counts[order] > 0]
    shares = counts[order] / max(counts.sum(), 1e-12)
    return TopK(order[None].astype(np.int32), shares[None].astype(np.float32))


def segment_lists(
    dataset: Dataset, users: pd.DataFrame, columns: Sequence[str], min_users: int, k: int
) -> dict[int, TopK]:
    """For users without events: their segment's popular list, where one is large enough.

    A segment is the people who share the values of `columns`; with fewer than `min_users` active ones the
    last column is given up, then the one before. Users whose values are missing, and those for whom no segment
    is large enough, get no entry.

    Parameters
    ----------
    users
        One row a user of the data set, in its order, with the attribute `columns`.
    """
    active = np.zeros(len(dataset.user_ids), bool)
    active[dataset.active_users] = True
    cold = set(np.flatnonzero(~active).tolist())
    weights = recency_weights(dataset)
    lists: dict[int, TopK] = {}
    for depth in range(len(columns), 0, -1):
        shared = list(columns[:depth])
        for members in users[shared].dropna().groupby(shared, sort=False).groups.values():
            people = np.asarray(members, dtype=np.int64)
            newcomers = [user for user in people.tolist() if user in cold]
            if not newcomers or int(active[people].sum()) < min_users:
                continue
            belongs = np.zeros(len(active), bool)
            belongs[people] = True
            segment = popular(dataset, k, np.where(belongs[dataset.user], weights, _OTHERS_WEIGHT * weights))
            lists.update(dict.fromkeys(newcomers, segment))
            cold.difference_update(newcomers)
    return lists


def recency_weights(dataset: Dataset) -> npt.NDArray[np.float64]:
    """(events,) weight of each event, halved for every half-life of age."""
    age_days = (dataset.until - dataset.ts) / 86_400
    weights: npt.NDArray[np.float64] = dataset.weight * 0.5 ** (age_days / POPULARITY_HALF_LIFE_DAYS)
    return weights
