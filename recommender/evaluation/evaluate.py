"""A model's figures on what users did next: full ranking over the catalogue, seen items left out."""

from collections.abc import Sequence

import numpy as np

from recommender.data.dataset import Truth
from recommender.evaluation.metrics import coverage, per_user_metrics
from recommender.models.base import Model

Figures = dict[str, float]


def evaluate(model: Model, truth: Truth, ks: Sequence[int]) -> Figures:
    """Mean of every metric over the users of `truth`, with coverage and the number of users judged.

    The model's attached data set must be the one whose indices `truth` uses.
    """
    if len(truth.users) == 0:
        return {"users": 0.0}
    top = model.recommend(truth.users, max(ks), allowed=model.dataset.known_items)
    means = {name: float(values.mean()) for name, values in per_user_metrics(top.items, truth.relevant, ks).items()}
    catalogue = int(np.count_nonzero(model.dataset.known_items))
    shares = {f"coverage@{k}": coverage(top.items, k, catalogue) for k in ks}
    return {**means, **shares, "users": float(len(truth.users))}
