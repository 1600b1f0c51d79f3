"""A model's figures on what users did next: full ranking over the catalogue, seen items left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.data.dataset import Truth
from recommender.evaluation.classification import Classified, classification_metrics
from recommender.evaluation.confidence import PerUser
from recommender.evaluation.findings import Figures
from recommender.evaluation.lists import list_metrics
from recommender.evaluation.metrics import coverage, per_user_metrics
from recommender.models.base import Model
from recommender.retrieval.exact import TopK


@dataclass(frozen=True, eq=False)
class Measured:
    """A model on the users of a truth."""

    figures: Figures
    """Mean of every metric over the users, figures of all lists together, and the number of users judged."""
    per_user: PerUser
    """(users,) values of every metric that is a mean, in the order of the truth's users."""
    top: TopK
    """Their lists, as long as the largest k."""
    classified: Classified | None = None
    """The scores as a classifier, on a sample of the users; None where that was not asked for."""


def evaluate(model: Model, truth: Truth, ks: Sequence[int]) -> Figures:
    """The accuracy figures of `measure` and the coverage, which is what choosing between models needs."""
    return _accurate(model, truth, ks).figures


def measure(model: Model, truth: Truth, ks: Sequence[int], *, classification: bool = False) -> Measured:
    """Every metric at every k: accuracy, what the lists are like, and, where asked for, `classification`.

    The model's attached data set must be the one whose indices `truth` uses. Formulas are in docs/metrics.md.
    """
    accurate = _accurate(model, truth, ks)
    if len(truth.users) == 0:
        return accurate
    lists, together = list_metrics(accurate.top.items, truth.users, model.dataset, ks, truth.relevant)
    classified = classification_metrics(model, truth) if classification else None
    means = {**_means(lists), **together, **({} if classified is None else _means(classified.per_user))}
    return Measured({**accurate.figures, **means}, {**accurate.per_user, **lists}, accurate.top, classified)


def _accurate(model: Model, truth: Truth, ks: Sequence[int]) -> Measured:
    top = model.recommend(truth.users, max(ks), allowed=model.dataset.known_items)
    if len(truth.users) == 0:
        return Measured({"users": 0.0}, {}, top)
    per_user = per_user_metrics(top.items, truth.relevant, ks)
    catalogue = int(np.count_nonzero(model.dataset.known_items))
    shares = {f"coverage@{k}": coverage(top.items, k, catalogue) for k in ks}
    return Measured({**_means(per_user), **shares, "users": float(len(truth.users))}, per_user, top)


def _means(per_user: PerUser) -> Figures:
    return {name: float(values.mean()) for name, values in per_user.items()}
