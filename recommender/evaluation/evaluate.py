"""A model's figures on what users did next: full ranking over the catalogue, seen items left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.data.dataset import Truth
from recommender.evaluation.confidence import PerUser
from recommender.evaluation.findings import Figures
from recommender.evaluation.metrics import coverage, per_user_metrics
from recommender.models.base import Model
from recommender.retrieval.exact import TopK


@dataclass(frozen=True, eq=False)
class Measured:
    """A model on the users of a truth."""

    figures: Figures
    """Mean of every metric over the users, coverage, and the number of users judged."""
    per_user: PerUser
    """(users,) values of every metric, in the order of the truth's users."""
    top: TopK
    """Their lists, as long as the largest k."""


def evaluate(model: Model, truth: Truth, ks: Sequence[int]) -> Figures:
    """The figures of `measure`."""
    return measure(model, truth, ks).figures


def measure(model: Model, truth: Truth, ks: Sequence[int]) -> Measured:
    """Every metric at every k.

    The model's attached data set must be the one whose indices `truth` uses.
    """
    top = model.recommend(truth.users, max(ks), allowed=model.dataset.known_items)
    if len(truth.users) == 0:
        return Measured({"users": 0.0}, {}, top)
    per_user = per_user_metrics(top.items, truth.relevant, ks)
    means = {name: float(values.mean()) for name, values in per_user.items()}
    catalogue = int(np.count_nonzero(model.dataset.known_items))
    shares = {f"coverage@{k}": coverage(top.items, k, catalogue) for k in ks}
    return Measured({**means, **shares, "users": float(len(truth.users))}, per_user, top)
