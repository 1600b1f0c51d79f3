"""Figures of users' and items' vectors: what they have learnt of taste, and whether they have collapsed."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from sklearn.decomposition import PCA

from recommender.columns import TITLE
from recommender.data.dataset import Dataset
from recommender.evaluation.findings import Figures, Point
from recommender.evaluation.groups import Groups, chance_of_sharing, share_a_value
from recommender.models.base import Model
from recommender.retrieval.exact import LEAST_NORM, top_k

NEIGHBOURS = 10
MOST_ITEMS = 50_000
"""Of a larger catalogue so many known items, drawn at random, stand for all."""
MOST_USERS = 5_000
QUERIES = 2_000
"""Items whose neighbours are looked at."""
SPECTRUM_ROWS = 20_000
"""Vectors that a spectrum is taken of."""
MAP_ITEMS = 1_500
MAP_GROUPS = 8
OTHER = "other"
QUANTILES = np.linspace(0, 1, 21)
_DECIMALS = 4
"""Of places on the map: more can't be seen."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sample:
    """Some users and known items with their vectors."""

    users: Ints
    user_vectors: Floats
    """(users, d)"""
    items: Ints
    """Ascending."""
    item_vectors: Floats
    """(items, d)"""
    tastes: npt.NDArray[np.bool_]
    """(d,) False where all users have the same number: there stands how popular an item is, no direction of taste."""

    @classmethod
    def draw(cls, model: Model, dataset: Dataset, users: Ints, seed: int) -> Self:
        """At most `MOST_USERS` and `MOST_ITEMS` of them; vectors that have infinite numbers or none become zero."""
        rng = np.random.default_rng(seed)
        users = some_of(users, MOST_USERS, rng)
        items = some_of(np.flatnonzero(dataset.known_items), MOST_ITEMS, rng)
        user_vectors, item_vectors = _finite(model.user_vectors(users)), _finite(model.item_vectors()[items])
        differ = np.ptp(user_vectors, axis=0) > 0 if len(users) else np.zeros(user_vectors.shape[1], bool)
        tastes = differ if differ.any() else np.ones_like(differ)
        return cls(users, user_vectors, items, item_vectors, tastes)

    def figures(self) -> Figures:
        """Of the vectors alone."""
        if len(self.items) == 0:
            return {}
        collapse, rank = spectrum(self.item_vectors[:, self.tastes])
        found = {"vector_collapse": collapse, "effective_rank": rank, "dead_items": self._dead()}
        found["item_mean_cosine"] = mean_cosine(unit(self.item_vectors[:, self.tastes]))
        if len(self.users) > 1:
            found["user_vector_collapse"], found["user_effective_rank"] = spectrum(self.user_vectors)
            found["user_mean_cosine"] = mean_cosine(unit(self.user_vectors[:, self.tastes]))
        return found

    def norms(self) -> dict[str, list[float]]:
        """Quantiles of the vectors' lengths."""
        sides = {"user": self.user_vectors, "item": self.item_vectors}
        return {
            side: np.quantile(np.linalg.norm(vectors, axis=1), QUANTILES).tolist()
            for side, vectors in sides.items()
            if len(vectors)
        }

    def cohesion(self, groups: dict[str, Groups], seed: int) -> Figures:
        """Mean share of an item's nearest neighbours that have a value of each of the groups in common with it."""
        rng = np.random.default_rng([seed, 1])
        queries = some_of(np.arange(len(self.items)), QUERIES, rng)
        directions = unit(self.item_vectors[:, self.tastes])
        itself = sparse.csr_matrix(
            (np.ones(len(queries), np.float32), (np.arange(len(queries)), queries)), (len(queries), len(directions))
        )
        nearest = top_k(directions[queries], directions, NEIGHBOURS, seen=itself).items
        found: Figures = {}
        for name, group in groups.items():
            matrix = group.matrix[self.items]
            described = np.diff(matrix.indptr)[queries] > 0
            row, rank = np.nonzero((nearest >= 0) & described[:, None])
            if len(row) == 0:
                continue
            alike = share_a_value(matrix[queries[row]], matrix[nearest[row, rank]])
            found[f"{name}_cohesion@{NEIGHBOURS}"] = float(alike.mean())
            found[f"{name}_cohesion_by_chance"] = float(chance_of_sharing(matrix, queries[described]).mean())
        return found

    def alignment(self, categories: Groups, dataset: Dataset, seed: int) -> Figures:
        """How much closer users' vectors are to their favourite category's mean item than to another's."""
        matrix = categories.matrix[self.items]
        sizes = np.asarray(matrix.sum(0)).ravel()
        there = np.flatnonzero(sizes)
        if len(there) < 2:
            return {}
        means = unit((matrix[:, there].T @ self.item_vectors[:, self.tastes]) / sizes[there, None])
        counts = (events_of(dataset, self.users) @ categories.matrix[:, there]).tocsr()
        readers = np.flatnonzero(np.diff(counts.indptr))
        if len(readers) == 0:
            return {}
        favourite = np.asarray(counts[readers].argmax(1)).ravel()
        other = np.random.default_rng([seed, 2]).integers(0, len(there) - 1, len(readers))
        other += other >= favourite
        directions = unit(self.user_vectors[readers][:, self.tastes])
        nearer = np.einsum("nd,nd->n", directions, means[favourite] - means[other], dtype=np.float64)
        return {"taste_alignment": float(nearer.mean())}

    def map(self, categories: Groups | None, dataset: Dataset, catalogue: pd.DataFrame, seed: int) -> list[Point]:
        """Items by the two directions in which their vectors differ most: half the most popular, half at random."""
        popularity = np.bincount(dataset.item, minlength=len(dataset.item_ids))[self.items]
        order = np.argsort(-popularity, kind="stable")
        popular, rest = np.split(order, [MAP_ITEMS // 2])
        shown = np.concatenate([popular, some_of(rest, MAP_ITEMS - len(popular), np.random.default_rng([seed, 3]))])
        places = flattened(unit(self.item_vectors[shown][:, self.tastes]))
        items = self.items[shown]
        labels = [OTHER] * len(items) if categories is None else common_values(categories, items)
        titles = catalogue[TITLE].to_numpy(object) if TITLE in catalogue.columns else None
        return [
            Point(float(x), float(y), label, None if titles is None or pd.isna(titles[item]) else str(titles[item]))
            for (x, y), label, item in zip(places, labels, items.tolist(), strict=True)
        ]

    def _dead(self) -> float:
        """Share of items whose vector says nothing: near zero, or exactly another item's."""
        zero = np.linalg.norm(self.item_vectors, axis=1) <= LEAST_NORM
        twins = pd.Series([vector.tobytes() for vector in self.item_vectors]).duplicated(keep=False).to_numpy()
        return float((zero | twins).mean())


def spectrum(vectors: Floats) -> tuple[float, float]:
    """Share of the variance in the first principal direction, and the effective rank.

    The latter is the exponential of the entropy of the singular values as shares of their sum (Roy and Vetterli,
    "The effective rank", 2007), of the centred vectors: as many directions as there are if all are alike. Equal vectors
    have collapse 1 and rank 0.
    """
    chosen = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), SPECTRUM_ROWS), dtype=np.int64)]
    centred = chosen - chosen.mean(axis=0, dtype=np.float64)
    variances = np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0)
    if variances.sum() <= LEAST_NORM**2 * len(chosen):
        return 1.0, 0.0
    shares = np.sqrt(variances) / np.sqrt(variances).sum()
    entropy = -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
    return float(variances[-1] / variances.sum()), float(np.exp(entropy))


def mean_cosine(directions: Floats) -> float:
    """Of all pairs of different rows of (n, d) unit vectors; 1 where all point the same way."""
    count = len(directions)
    if count < 2:
        return 0.0
    total = directions.sum(axis=0, dtype=np.float64)
    own = float((directions.astype(np.float64) ** 2).sum())
    return float((total @ total - own) / (count * (count - 1)))


def flattened(vectors: Floats) -> npt.NDArray[np.float64]:
    """(n, 2) first two principal components, each scaled to 0…1; scikit-learn fixes their signs."""
    places = np.zeros((len(vectors), 2))
    components = min(2, *vectors.shape)
    if len(vectors) and np.ptp(vectors, axis=0).any():
        solved = PCA(components, svd_solver="full").fit_transform(vectors.astype(np.float64))
        places[:, :components] = solved
    low, spread = places.min(0, initial=np.inf), np.ptp(places, axis=0) if len(places) else np.ones(2)
    scaled: npt.NDArray[np.float64] = np.round((places - low) / np.where(spread > 0, spread, 1), _DECIMALS)
    return scaled


def common_values(groups: Groups, items: Ints) -> list[str]:
    """For each of the items its first value that is among the `MAP_GROUPS` most frequent ones of them."""
    matrix, values = groups.matrix[items], groups.values
    counts = np.asarray(matrix.sum(0)).ravel()
    frequent = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], values.names[code]))
    common = np.isin(values.code, frequent[:MAP_GROUPS])
    row, code = values.row[common], values.code[common]
    first = pd.Series(code, index=row).groupby(level=0).first()
    return [str(values.names[int(first[item])]) if item in first.index else OTHER for item in items.tolist()]


def events_of(dataset: Dataset, users: Ints) -> sparse.csr_matrix:
    """(users, items) how often each has met each."""
    lengths = np.diff(dataset.offsets)[users]
    row = np.repeat(np.arange(len(users)), lengths)
    within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    item = dataset.item[np.repeat(dataset.offsets[users], lengths) + within]
    return sparse.csr_matrix((np.ones(len(row), np.float32), (row, item)), (len(users), len(dataset.item_ids)))


def some_of(population: Ints, count: int, rng: np.random.Generator) -> Ints:
    """All, or so many of them drawn at random, in their own order."""
    if len(population) <= count:
        return population
    return population[np.sort(rng.choice(len(population), count, replace=False))]


def unit(vectors: npt.NDArray[np.floating]) -> Floats:
    """Vectors of length 1; zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, LEAST_NORM), np.float32)


def _finite(vectors: Floats) -> Floats:
    return np.where(np.isfinite(vectors).all(1, keepdims=True), vectors, np.float32(0))
