"""Lists for people the model cannot know: what is popular in their segment, or with everybody."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.data.dataset import Dataset
from recommender.retrieval.exact import TopK

POPULARITY_HALF_LIFE_DAYS = 30
"""Age at which an event counts half: what is popular now, yet never empty."""
_OTHERS_WEIGHT = 1e-6
"""Of events outside the segment: they only fill the list where the segment's own items run out."""


Mask = npt.NDArray[np.bool_]
Groups = Callable[[npt.NDArray[np.int64]], Iterable[tuple[npt.NDArray[np.int64], Mask | None]]]
"""Divides users by what may be recommended to them: (items,) masks, None for everything."""


def all_alike(users: npt.NDArray[np.int64]) -> list[tuple[npt.NDArray[np.int64], Mask | None]]:
    """Everything may be recommended to everybody."""
    return [(users, None)]


def popular(dataset: Dataset, k: int, allowed: Mask | None = None) -> TopK:
    """One list: the allowed items by their recency-weighted events, as shares of all."""
    counts = np.bincount(dataset.item, weights=recency_weights(dataset), minlength=len(dataset.item_ids))
    return _largest(counts.astype(np.float64, copy=False), k, allowed)


def _largest(counts: npt.NDArray[np.float64], k: int, allowed: Mask | None) -> TopK:
    left = counts if allowed is None else np.where(allowed, counts, 0)
    order = np.lexsort((np.arange(len(left)), -left))[:k]
    order = order[left[order] > 0]
    if allowed is not None and len(order) == 0:  # better what nobody has chosen than nothing
        order = np.flatnonzero(allowed)[:k]
    shares = counts[order] / max(counts.sum(), 1e-12)
    return TopK(order[None].astype(np.int32), shares[None].astype(np.float32))


def segment_lists(
    dataset: Dataset,
    users: pd.DataFrame,
    columns: Sequence[str],
    min_users: int,
    k: int,
    groups: Groups = all_alike,
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
    active = np.diff(dataset.offsets) > 0
    cold, weights, items = ~active, recency_weights(dataset), len(dataset.item_ids)
    everybody = np.bincount(dataset.item, weights, items)
    lists: dict[int, TopK] = {}
    for depth in range(len(columns), 0, -1):
        segment = users.groupby(list(columns[:depth]), sort=False).ngroup().fillna(-1).to_numpy(np.int64)
        segments = int(segment.max(initial=-1)) + 1
        members, newcomers = (
            np.bincount(segment[some & (segment >= 0)], minlength=segments) for some in (active, cold)
        )
        by_segment = np.argsort(segment, kind="stable")
        ends = np.searchsorted(segment[by_segment], np.arange(segments + 1))
        for chosen in np.flatnonzero((newcomers > 0) & (members >= min_users)):
            people = by_segment[ends[chosen] : ends[chosen + 1]]
            events = _events_of(dataset, people)
            own = np.bincount(dataset.item[events], weights[events], items)
            for alike, allowed in groups(people[cold[people]]):
                listed = _largest(own + _OTHERS_WEIGHT * (everybody - own), k, allowed)
                if listed.items.size:
                    lists.update(dict.fromkeys(alike.tolist(), listed))
            cold[people] = False
    return lists


def _events_of(dataset: Dataset, people: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Positions of all events of some users."""
    starts, ends = dataset.offsets[people], dataset.offsets[people + 1]
    before = np.cumsum(ends - starts) - (ends - starts)
    return np.repeat(starts - before, ends - starts) + np.arange(int((ends - starts).sum()))


def recency_weights(dataset: Dataset) -> npt.NDArray[np.float64]:
    """(events,) weight of each event, halved for every half-life of age."""
    age_days = (dataset.until - dataset.ts) / 86_400
    weights: npt.NDArray[np.float64] = dataset.weight * 0.5 ** (age_days / POPULARITY_HALF_LIFE_DAYS)
    return weights
