"""Features of (user, candidate) pairs at the end of a data set's night.

    table = PairsTable(dataset, models=("ease", "tower"))
    features = table.matrix(candidates)     # (pairs, len(table.names)) float32

Columns of creators and categories are there where the items have them, the profile's own pair features where it
declares some. No column is, or is made from, the identity of a user or an item.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from recommender.columns import CATEGORY, CREATOR
from recommender.data.dataset import Dataset, PairValues
from recommender.models.ranking.activity import ItemColumns, UserColumns
from recommender.models.ranking.attributes import AttributeColumns
from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.companions import CompanionColumns
from recommender.models.ranking.groups import Floats
from recommender.models.ranking.scores import ScoreColumns

ATTRIBUTES = (CREATOR, CATEGORY)


class Columns(Protocol):
    """A few columns of the table."""

    names: tuple[str, ...]

    def fill(self, columns: Floats, candidates: Candidates) -> None:
        """Write (columns, pairs)."""


class PairsTable:
    """Everything that learners may know of a pair.

    Parameters
    ----------
    dataset
        Its events before `until` are counted; what is at or after it changes nothing.
    models
        Names of the models whose scores the candidates hold, in the order of the columns.
    """

    def __init__(self, dataset: Dataset, models: Sequence[str]) -> None:
        known = np.flatnonzero(dataset.ts < dataset.until)
        attributes = [name for name in ATTRIBUTES if name in dataset.item_features.columns]
        self._parts: list[Columns] = [
            ScoreColumns(models),
            *(AttributeColumns(name, dataset, known) for name in attributes),
            *(CompanionColumns(name, dataset) for name in attributes),
            ItemColumns(dataset, known),
            UserColumns(dataset, known),
        ]
        if dataset.pairs is not None:
            self._parts.append(DeclaredColumns(dataset.pairs))
        self.names = tuple(name for part in self._parts for name in part.names)

    def matrix(self, candidates: Candidates) -> Floats:
        """(pairs, features) of all pairs; missing is NaN. Columns are contiguous."""
        values = np.empty((len(self.names), len(candidates.items)), np.float32)
        start = 0
        for part in self._parts:
            stop = start + len(part.names)
            part.fill(values[start:stop], candidates)
            start = stop
        return values.T


class DeclaredColumns:
    """The pair features that the profile declares."""

    def __init__(self, pairs: PairValues) -> None:
        self.names: tuple[str, ...] = tuple(f"pair_{name}" for name in pairs.names)
        self._pairs = pairs

    def fill(self, columns: Floats, candidates: Candidates) -> None:
        """Write (columns, pairs)."""
        columns[:] = self._pairs.matrix(candidates.pair_users, candidates.items).T
