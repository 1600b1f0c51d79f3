"""A tiny world whose right answers are obvious: even users meet even items, odd users odd ones."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
from scipy import sparse

from recommender.columns import CATEGORY, COUNTRY
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, Truth, night_end
from recommender.features.definitions import Feature

USERS, ITEMS = 40, 24
MET = 8
"""Items each user has met: two thirds of those of their colour."""
DS = date(2020, 6, 30)

USER_FEATURES = [
    Feature("events_total", "user", "numeric", True, "events_total", None, "events so far"),
    Feature(COUNTRY, "user", "categorical", False, "attribute", None, "the user's country"),
]
ITEM_FEATURES = [
    Feature("events_total", "item", "numeric", True, "events_total", None, "events so far"),
    Feature(CATEGORY, "item", "categorical", False, "attribute", None, "the item's category"),
]
PROFILE = """
name: board
events: {path: events.csv, columns: {user_id: u, item_id: i, ts: t}}
users: {path: users.csv, columns: {user_id: u, country: c}}
items: {path: items.csv, columns: {item_id: i, category: c}}
features: {user: [events_total, country], item: [events_total, category]}
"""
"""Declares the features of the checkerboard."""
COLOURS = np.array(["white", "black"], dtype=object)


def checkerboard(users: int = USERS, items: int = ITEMS, ds: date = DS, seed: int = 0) -> Dataset:
    """The world at the end of `ds`. Those past `USERS` and `ITEMS` have no events: they are new."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(min(users, USERS)):
        colour = [item for item in range(ITEMS) if item % 2 == user % 2]
        chosen = rng.permutation(colour)[:MET]
        days_ago = np.sort(rng.integers(1, 90, MET))[::-1]
        until = int(night_end(DS).timestamp())
        events += [(user, item, until - day * SECONDS_A_DAY) for item, day in zip(chosen, days_ago, strict=True)]
    user, item, ts = (np.array(column) for column in zip(*events, strict=True))
    return Dataset(
        ds=ds,
        user_ids=np.array([f"u{n:03}" for n in range(users)], dtype=object),
        item_ids=np.array([f"i{n:03}" for n in range(items)], dtype=object),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        ts=ts.astype(np.int64),
        weight=np.ones(len(user), np.float32),
        user_features=pd.DataFrame(
            {
                "events_total": np.bincount(user, minlength=users).astype(np.float32),
                COUNTRY: COLOURS[np.arange(users) % 2],
            }
        ),
        item_features=pd.DataFrame(
            {
                "events_total": np.bincount(item, minlength=items).astype(np.float32),
                CATEGORY: COLOURS[np.arange(items) % 2],
            }
        ),
    )


def rows_of(dataset: Dataset) -> TrainingRows:
    """Every event, with the features its user and item have now."""
    return TrainingRows(
        np.arange(len(dataset.user), dtype=np.int64),
        dataset.user_features.iloc[dataset.user].reset_index(drop=True),
        dataset.item_features.iloc[dataset.item].reset_index(drop=True),
    )


def truth_of(dataset: Dataset) -> Truth:
    """Each user goes on to meet the rest of their colour."""
    users = dataset.active_users
    same = users[:, None] % 2 == np.arange(len(dataset.item_ids)) % 2
    relevant = np.where(dataset.seen[users].toarray() > 0, 0.0, same).astype(np.float32)
    return Truth(users, sparse.csr_matrix(relevant))


def tomorrow_with_newcomers() -> Dataset:
    """A night later with two new users and four new items, none of which has events."""
    return checkerboard(users=USERS + 2, items=ITEMS + 4, ds=DS + timedelta(days=1))
