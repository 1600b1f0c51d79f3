"""Categories of users and items as models without gradients read them: groups, and kin for items they don't know."""

import difflib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from recommender.columns import CATEGORY, CREATOR
from recommender.config.profile import Profile
from recommender.data.dataset import Dataset
from recommender.errors import ConfigError, TrainingError
from recommender.features.definitions import Feature, declared_features
from recommender.features.encoding.vocabulary import Values
from recommender.features.measures import Entity, Kind

KINDS: dict[Entity, tuple[Kind, ...]] = {"user": ("categorical",), "item": ("categorical", "categories")}
"""Of the features that a model may group by: a user belongs to one segment, an item to any number of categories."""
USUAL_SIDE = (CREATOR, CATEGORY)
"""Side features where the profile names none."""


def categories_of(profile: Profile, entity: Entity, names: Sequence[str] | None, key: str) -> tuple[Feature, ...]:
    """The declared features behind the `names` in the model's section, under `key`; None: the usual ones there are.

    Raises
    ------
    ConfigError
        A name is no declared category of the users or items.
    """
    features = [feature for feature in declared_features(profile, entity) if feature.kind in KINDS[entity]]
    declared = {feature.name: feature for feature in features}
    if names is None:
        return tuple(declared[name] for name in USUAL_SIDE if name in declared)
    for name in names:
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            there = f"there are {', '.join(declared)}" if declared else "there is none"
            cure = f"did you mean {near[0]!r}?" if near else f"{there}; list it in features.{entity}"
            raise ConfigError(f"{key} names {name!r}, which is no declared category of the {entity}s: {cure}")
    return tuple(declared[name] for name in names)


def require_columns(model: str, features: Sequence[Feature], dataset: Dataset) -> None:
    """Refuse a data set to be learnt from that lacks a feature.

    Raises
    ------
    TrainingError
        It does.
    """
    frames = {"user": dataset.user_features, "item": dataset.item_features}
    lacking = [feature.name for feature in features if feature.name not in frames[feature.entity].columns]
    if lacking:
        raise TrainingError(
            f"{model} reads {', '.join(lacking)}, which the data set lacks: "
            "declare it under `features` and run `recommender run features` again"
        )


def side_rows(frame: pd.DataFrame, features: Sequence[Feature]) -> sparse.csr_matrix:
    """(values, items) 1 where the item has the category, float32; the features' values one below another."""
    blocks = [sparse.csr_matrix((0, len(frame)), dtype=np.float32)]
    for feature in features:
        values = (
            Values.of_lists(frame[feature.name]) if feature.kind == "categories" else Values.of(frame[feature.name])
        )
        cells = (np.ones(len(values.row), np.float32), (values.code, values.row))
        blocks.append(sparse.csr_matrix(cells, shape=(len(values.names), len(frame))))
    return sparse.vstack(blocks, format="csr", dtype=np.float32)


class Catalogue:
    """Tonight's items in terms of those a model knows.

    A known item stands for itself. A new one stands for the mean of the known items that share a category with it:
    of the first of `features` of which there are any. One that shares none is nothing: all its scores are 0.

    Parameters
    ----------
    known
        (n,) ids of the model's items.
    dataset
        Tonight's.
    features
        Categories of the items, most telling first.
    weight
        What that mean is multiplied by.
    """

    def __init__(self, known: pd.Index, dataset: Dataset, features: Sequence[Feature], weight: float = 1.0) -> None:
        place = known.get_indexer(pd.Index(dataset.item_ids))
        self._listed = np.flatnonzero(place >= 0)
        self._place = place[self._listed]
        self._new = np.flatnonzero(place < 0)
        self._same = len(self._new) == 0 and np.array_equal(self._place, np.arange(len(known)))
        self._items = len(place)
        kin = sparse.csr_matrix((len(self._new), len(known)), dtype=np.float32)
        for feature in features:
            alone = np.flatnonzero(np.diff(kin.indptr) == 0)
            side = side_rows(dataset.item_features, [feature]).T.tocsr()
            shared = (side[self._new[alone]] @ side[self._listed].T).tocoo()
            cells = np.ones(shared.nnz, np.float32), (alone[shared.row], self._place[shared.col])
            kin += sparse.csr_matrix(cells, shape=kin.shape)
        share = (weight / np.maximum(np.diff(kin.indptr), 1)).astype(np.float32)
        self._kin = (sparse.diags(share) @ kin).tocsr()

    @property
    def matrix(self) -> sparse.csr_matrix:
        """(tonight's items, known items) float32: what each stands for."""
        listed = sparse.csr_matrix(
            (np.ones(len(self._listed), np.float32), (self._listed, self._place)),
            shape=(self._items, self._kin.shape[1]),
        )
        places = (np.ones(len(self._new), np.float32), (self._new, np.arange(len(self._new))))
        return (listed + sparse.csr_matrix(places, shape=(self._items, len(self._new))) @ self._kin).tocsr()

    def spread(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, tonight's items) scores of (n, known items) ones."""
        if self._same:
            return scores
        spread = np.zeros((len(scores), self._items), np.float32)
        spread[:, self._listed] = scores[:, self._place]
        spread[:, self._new] = (self._kin @ scores.T).T
        return spread


def features_json(features: Sequence[Feature]) -> list[dict[str, Any]]:
    """As `features_of` reads them."""
    return [asdict(feature) for feature in features]


def features_of(content: Sequence[dict[str, Any]]) -> tuple[Feature, ...]:
    """What `features_json` wrote."""
    return tuple(Feature(**feature) for feature in content)
