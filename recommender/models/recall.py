"""The figure that early stopping looks at."""

from collections.abc import Callable
from itertools import count

import numpy as np

from recommender.data.dataset import Truth
from recommender.models.base import Model

VALIDATION_K = 20


def recall(model: Model, truth: Truth, k: int = VALIDATION_K) -> float:
    """Mean over the truth's users of recall@k over all items, seen ones excluded."""
    best = model.recommend(truth.users, k).items
    rows = np.repeat(np.arange(len(truth.users)), best.shape[1])
    hits = np.asarray(truth.relevant[rows, np.maximum(best, 0).ravel()]).reshape(best.shape)
    hits[best < 0] = 0
    return float((hits.sum(1) / np.diff(truth.relevant.indptr)).mean())


def after_epochs(
    measure: Callable[[Truth], float], truth: Truth | None, on_epoch: Callable[[int, float], None] | None
) -> Callable[[], float] | None:
    """What training calls after each epoch: `measure`s and tells `on_epoch`. None without a truth."""
    if truth is None or len(truth.users) == 0:
        return None
    epochs = count(1)

    def measured() -> float:
        figure = measure(truth)
        if on_epoch is not None:
            on_epoch(next(epochs), figure)
        return figure

    return measured
