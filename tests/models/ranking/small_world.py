"""Five events of three users and four items of two creators, and earlier nights of any data set."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from recommender.columns import CATEGORY, CREATOR
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, Truth, night_end
from recommender.errors import NotReadyError
from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.labels import choices
from tests.models.worlds import rows_of

DS = date(2020, 6, 30)
FIVE_EVENTS = [(0, 0, 60), (0, 1, 30), (0, 3, 10), (1, 0, 5), (1, 2, 5)]
"""User, item and how many days before the end of the night."""
CREATORS = ["a", "a", "b", None]
CATEGORIES = [["x", "y"], ["y"], ["x"], []]


def world(
    events: list[tuple[int, int, float]] = FIVE_EVENTS,
    creators: list[str | None] = CREATORS,
    categories: list[list[str]] | None = CATEGORIES,
    users: int = 3,
) -> Dataset:
    until = int(night_end(DS).timestamp())
    ordered = sorted(events, key=lambda event: (event[0], -event[2], event[1]))
    features = {CREATOR: pd.Series(creators, dtype=object)}
    if categories is not None:
        features[CATEGORY] = pd.Series([np.array(names, dtype=object) for names in categories], dtype=object)
    return Dataset(
        ds=DS,
        user_ids=np.array([f"u{n}" for n in range(users)], dtype=object),
        item_ids=np.array([f"i{n}" for n in range(len(creators))], dtype=object),
        user=np.array([user for user, _, _ in ordered], np.int32),
        item=np.array([item for _, item, _ in ordered], np.int32),
        ts=np.array([until - round(days * SECONDS_A_DAY) for _, _, days in ordered], np.int64),
        weight=np.ones(len(ordered), np.float32),
        user_features=pd.DataFrame(index=range(users)),
        item_features=pd.DataFrame(features),
    )


def all_pairs(dataset: Dataset, seed: int = 0) -> Candidates:
    """Every user with every item, and scores drawn by `seed` of two models."""
    users, items = len(dataset.user_ids), len(dataset.item_ids)
    rng = np.random.default_rng(seed)
    return Candidates(
        np.arange(users),
        np.full(users, items),
        np.tile(np.arange(items, dtype=np.int32), users),
        {name: rng.integers(0, 4, users * items).astype(np.float32) for name in ("first", "second")},
    )


def knows_only(dataset: Dataset, days: int) -> Dataset:
    """The same world as it was known `days` earlier."""
    kept = dataset.ts < dataset.until - days * SECONDS_A_DAY
    arrays = {name: getattr(dataset, name)[kept] for name in ("user", "item", "ts", "weight")}
    return replace(dataset, ds=dataset.ds - timedelta(days=days), **arrays)


class Nights:
    """Earlier nights of one data set, as `Past` has them; none before `oldest` days ago."""

    def __init__(self, dataset: Dataset, oldest: int = 365) -> None:
        self._dataset, self._oldest = dataset, oldest

    def before(self, days: int) -> tuple[Dataset, TrainingRows, Truth]:
        if days > self._oldest:
            raise NotReadyError(f"the lake begins {self._oldest} days ago")
        earlier = knows_only(self._dataset, days)
        return earlier, rows_of(earlier), choices(earlier, self._dataset)
