"""Worlds and models that are written out: every figure of theirs can be worked out by hand."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from recommender.config.profile import Profile
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.models.base import ALONE, Model, Support
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK
from recommender.training.report import FitReport

DS = date(2020, 6, 30)


def world(
    histories: Sequence[Sequence[int]],
    items: int,
    user_features: Mapping[str, Any] | None = None,
    item_features: Mapping[str, Any] | None = None,
) -> Dataset:
    """Users who met these items in this order, one a second."""
    lengths = [len(history) for history in histories]
    return Dataset(
        ds=DS,
        user_ids=np.array([f"u{n}" for n in range(len(histories))], dtype=object),
        item_ids=np.array([f"i{n}" for n in range(items)], dtype=object),
        user=np.repeat(np.arange(len(histories)), lengths).astype(np.int32),
        item=np.array([item for history in histories for item in history], np.int32),
        ts=np.array([second for length in lengths for second in range(length)], np.int64),
        weight=np.ones(sum(lengths), np.float32),
        user_features=pd.DataFrame(user_features or {}, index=range(len(histories))),
        item_features=pd.DataFrame(item_features or {}, index=range(items)),
    )


def truth(chosen: Mapping[int, Sequence[int]], items: int) -> Truth:
    """What users go on to choose, users ascending."""
    relevant = np.zeros((len(chosen), items), np.float32)
    for row, own in enumerate(chosen.values()):
        relevant[row, list(own)] = 1
    return Truth(np.array(list(chosen), np.int64), sparse.csr_matrix(relevant))


def lists(*items: Sequence[int]) -> TopK:
    """Ranked lists, padded with -1."""
    length = max(map(len, items))
    padded = np.array([[*own, *[-1] * (length - len(own))] for own in items], np.int32)
    return TopK(padded, np.where(padded >= 0, -np.arange(length, dtype=np.float32), -np.inf))


class OfVectors(Model):
    """The dot product of vectors that are given."""

    kind: ClassVar[str] = "of_vectors"

    def __init__(self, users: Any, items: Any, dataset: Dataset) -> None:
        super().__init__()
        self._vectors = np.asarray(users, np.float32), np.asarray(items, np.float32)
        self.attach(dataset)

    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        return self._vectors[0] if users is None else self._vectors[0][users]

    def item_vectors(self) -> npt.NDArray[np.float32]:
        return self._vectors[1]

    @classmethod
    def build(cls, config: Any, profile: Profile) -> Self:
        raise NotImplementedError

    def fit(
        self,
        dataset: Dataset,
        rows: TrainingRows,
        truth: Truth | None = None,
        *,
        epochs: int | None = None,
        progress: Progress = quiet,
        support: Support = ALONE,
    ) -> FitReport:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


class OfScores(OfVectors):
    """The same scores by a model without vectors."""

    factorises = False

    def scores(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return np.asarray(self._vectors[0][users] @ self._vectors[1].T, np.float32)
