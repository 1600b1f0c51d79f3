"""How a model's vectors and scores look, beside what people know of items and users: docs/diagnostics.md."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import pearsonr

from recommender.columns import CATEGORY, CREATOR
from recommender.data.dataset import Dataset
from recommender.evaluation.findings import Correlation, Diagnostics
from recommender.evaluation.groups import Groups
from recommender.evaluation.vectors import Sample, some_of
from recommender.models.base import Model
from recommender.retrieval.exact import TopK

SCORED_USERS = 500
PAIRS_A_USER = 20
"""From the user's list, and as many again from all known unseen items."""
LEAST_PAIRS = 3
LEAST_USERS = 30
"""With fewer, features of users are left out: they would tell of single people."""


def diagnose(
    model: Model,
    dataset: Dataset,
    users: npt.NDArray[np.int64],
    top: TopK,
    catalogue: pd.DataFrame,
    seed: int,
) -> Diagnostics:
    """Figures of the vectors, correlations of features and scores, and a map of the items.

    A model without vectors has the correlations alone; one made of several with vectors is seen by `vector_model`.

    Parameters
    ----------
    users
        (n,) those to look at, some of whom are drawn where there are many.
    top
        Their lists.
    catalogue
        A row an item of the data set, in its order: `title`, `creator`, `category`, as far as there are such.
    """
    correlations = correlated(model, dataset, users, top, seed)
    source = model.vector_model
    if source is None:
        return Diagnostics(correlations=correlations)
    groups = {name: group for name in (CATEGORY, CREATOR) if (group := Groups.of(catalogue, name)) is not None}
    sample, categories = Sample.draw(source, dataset, users, seed), groups.get(CATEGORY)
    figures = sample.figures() | sample.cohesion(groups, seed)
    if categories is not None:
        figures |= sample.alignment(categories, dataset, seed)
    return Diagnostics(figures, sample.norms(), correlations, sample.map(categories, dataset, catalogue, seed))


def correlated(model: Model, dataset: Dataset, users: npt.NDArray[np.int64], top: TopK, seed: int) -> list[Correlation]:
    """Pearson's r of each numeric feature and the scores of sampled pairs, the strongest first.

    The pairs are of at most `SCORED_USERS` users: half from the head of each one's list, half known items they have not
    seen, drawn at random. A feature is left out where it does not vary.
    """
    rng = np.random.default_rng([seed, 4])
    place = some_of(np.arange(len(users)), SCORED_USERS, rng)
    chosen, known = users[place], np.flatnonzero(dataset.known_items)
    if len(chosen) == 0 or len(known) == 0:
        return []
    drawn = rng.choice(known, (len(chosen), PAIRS_A_USER))
    items = np.concatenate([top.items[place, :PAIRS_A_USER].astype(np.int64), drawn], axis=1)
    met = dataset.seen[np.repeat(chosen, PAIRS_A_USER), drawn.ravel()]
    usable = items >= 0
    usable[:, -PAIRS_A_USER:] &= np.asarray(met).reshape(drawn.shape) == 0
    scores = _scores(model, chosen, np.maximum(items, 0))
    row, column = np.nonzero(usable & np.isfinite(scores))
    score, user, item = scores[row, column], chosen[row], items[row, column]
    found = _of_side("item", dataset.item_features, item, score)
    if len(np.unique(user)) >= LEAST_USERS:
        found += _of_side("user", dataset.user_features, user, score)
    return sorted(found, key=lambda one: (-abs(one.r), one.feature))


def _scores(model: Model, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(users, n) of each user and the (users, n) items."""
    if model.factorises:
        vectors = model.item_vectors()
        of_users = model.user_vectors(users)
        scores = [vectors[own] @ of_user for own, of_user in zip(items, of_users, strict=True)]
        return np.asarray(scores, np.float64)
    pairs = model.score(np.repeat(users, items.shape[1]), items.ravel())
    return pairs.reshape(items.shape).astype(np.float64)


def _of_side(
    side: str, features: pd.DataFrame, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]
) -> list[Correlation]:
    found = []
    for name, column in features.select_dtypes("number").items():
        values = column.to_numpy(np.float64, na_value=np.nan)[rows]
        there = np.isfinite(values)
        if there.sum() < LEAST_PAIRS or np.ptp(values[there]) == 0 or np.ptp(scores[there]) == 0:
            continue
        r, p_value = pearsonr(values[there], scores[there])
        found.append(Correlation(f"{side}.{name}", float(r), float(p_value), int(there.sum())))
    return found
