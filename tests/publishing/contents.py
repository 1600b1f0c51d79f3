"""Small publications made by hand: publication `mark` recommends only items named after it."""

from datetime import date

import numpy as np

from recommender.config.settings import Settings
from recommender.publishing.content import Content, UserLists
from recommender.retrieval.exact import TopK
from recommender.storage import registry
from recommender.storage.postgres import connect

MODEL = "two_tower-test"


def made(mark: str, users: int = 20, k: int = 10) -> Content:
    """Every user's list is a rotation of the same `k` items; scores fall from 1."""
    item_ids = np.array([f"{mark}-item-{n}" for n in range(k)], object)
    scores = np.linspace(1, 0.1, k, dtype=np.float32)
    lists = TopK(np.array([np.roll(np.arange(k), n) for n in range(users)], np.int32), np.tile(scores, (users, 1)))
    others = np.array([[other for other in range(k) if other != item][:3] for item in range(k)], np.int32)
    return Content(
        item_ids=item_ids,
        titles=np.array([f"Title {n} of {mark}" for n in range(k)], object),
        creators=np.array([None if n == 0 else f"Creator {n}" for n in range(k)], object),
        lists=[UserLists("personal", np.array([f"user-{n}" for n in range(users)], object), lists)],
        popular=TopK(np.arange(k, dtype=np.int32)[None, :], scores[None, :]),
        similar=TopK(others, np.tile(np.float32([0.9, 0.8, 0.7]), (k, 1))),
        index=None,
        top_k=k,
    )


def register_model(settings: Settings, ds: date) -> None:
    """Publications refer to a model; this one has no artifact."""
    with connect(settings) as connection:
        registry.register(connection, MODEL, "two_tower", ds, settings.artifacts / "none", "0", {}, {})
