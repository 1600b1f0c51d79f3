"""The interface of every model. The gate, the benchmarks and publishing know only this.

model = TwoTower(config)
model.fit(dataset, rows, truth)          # learns; ready to score `dataset` afterwards
model.save(folder)

model = TwoTower.load(folder)
model.attach(tonight)                    # same weights, tonight's histories, features and ids
top = model.recommend(users, k=20)       # indices into tonight.item_ids
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK, top_k
from recommender.training.report import FitReport


class Model(ABC):
    """A recommender over one attached data set; users and items are that data set's indices."""

    kind: ClassVar[str]
    personal: ClassVar[bool] = True
    """False where everybody gets the same list but for what they have seen: readers are told so."""

    def __init__(self) -> None:
        self._dataset: Dataset | None = None

    @property
    def dataset(self) -> Dataset:
        if self._dataset is None:
            raise NotReadyError(f"{self.kind} has no data attached, call `fit` or `attach` first")
        return self._dataset

    @abstractmethod
    def fit(
        self,
        dataset: Dataset,
        rows: TrainingRows,
        truth: Truth | None = None,
        *,
        epochs: int | None = None,
        progress: Progress = quiet,
    ) -> FitReport:
        """Learn from `rows` and attach `dataset`.

        With `truth` (what came after `dataset`) training stops early and keeps the best weights; with
        `epochs` it runs exactly that many.
        """

    def attach(self, dataset: Dataset) -> None:
        """Score this data set from now on. Ids unknown to training get vectors from metadata alone."""
        self._dataset = dataset

    @abstractmethod
    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """(users, d) of the given users, or of all; the score of a pair is the dot product."""

    @abstractmethod
    def item_vectors(self) -> npt.NDArray[np.float32]:
        """(items, d) of every item of the attached data set."""

    def similarity_vectors(self) -> npt.NDArray[np.float32]:
        """(items, d') whose directions say how alike items are, where that is less than `item_vectors` says."""
        return self.item_vectors()

    def score(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(n,) score of each pair `users[j], items[j]`."""
        scores: npt.NDArray[np.float32] = np.einsum("nd,nd->n", self.user_vectors(users), self.item_vectors()[items])
        return scores

    def recommend(
        self,
        users: npt.NDArray[np.int64],
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> TopK:
        """The `k` best items of each user, best first; `allowed` (items,) limits the candidates."""
        seen = self.dataset.seen[users] if exclude_seen else None
        return top_k(self.user_vectors(users), self.item_vectors(), k, seen=seen, allowed=allowed)

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything `load` needs into an existing empty folder; nothing is pickled."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. The caller has verified the folder's checksums."""

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write ONNX files where the model has them; returns `{"onnx_max_abs_diff": …}` or nothing."""
        return {}
