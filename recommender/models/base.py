"""The interface of every model. The gate, the benchmarks and publishing know only this.

model = new_model(profile.model, profile)
model.fit(dataset, rows, truth)          # learns; ready to score `dataset` afterwards
model.save(folder)

model = MODELS["two_tower"].load(folder)
model.attach(tonight)                    # same weights, tonight's histories, features and ids
top = model.recommend(users, k=20)       # indices into tonight.item_ids
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.config.profile import Profile
from recommender.data.dataset import Dataset, Past, TrainingRows, Truth
from recommender.errors import NotReadyError
from recommender.models.explaining.contributions import (
    EXPLAINED_USERS,
    Arrangement,
    Contributions,
    Explained,
    as_ranked,
)
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK, top_k, top_k_of_scores
from recommender.retrieval.search import Finder
from recommender.retrieval.similar import most_similar
from recommender.training.report import FitReport

SCORED_PAIRS = 1 << 24
"""Scores of a block of users that a model without vectors holds at one time."""


@dataclass(frozen=True)
class Support:
    """What a fit may lean on beside its data; each model takes what it can use."""

    past: Past | None = None
    """Earlier nights, for models that learn from what came after them."""
    start: "Model | None" = None
    """A fitted model of the same kind and configuration to go on from, with the ids of today."""
    fitted: Mapping[str, "Model"] = field(default_factory=dict)
    """Models already fitted on the same data set, by the JSON of their configuration."""
    checkpoints: Path | None = None
    """Folder in which an interrupted fit finds where it was."""
    logs: Path | None = None
    """Folder for TensorBoard."""
    epochs: Mapping[str, int] = field(default_factory=dict)
    """For how many epochs each part of a composite model learns, in place of those that all are given."""
    on_epoch: Callable[[int, float], None] | None = None
    """Told each epoch and its validation recall; a search stops a hopeless fit by raising from it."""

    def within(self, name: str) -> "Support":
        """The same with folders of its own, for one of several fits."""
        checkpoints, logs = (None if folder is None else folder / name for folder in (self.checkpoints, self.logs))
        return replace(self, checkpoints=checkpoints, logs=logs)


ALONE = Support()
"""Nothing to lean on."""


class Model(ABC):
    """A recommender over one attached data set; users and items are that data set's indices."""

    kind: ClassVar[str]
    personal: bool = True
    """False where everybody gets the same list but for what they have seen: readers are told so."""
    factorises: bool = True
    """True where a score is the dot product of a user's and an item's vector. Others define `scores`."""
    warm_starts: ClassVar[bool] = False
    """True where `fit` goes on from `Support.start`; others always begin from nothing."""

    report: FitReport | None = None
    """How the fit went; None before it."""
    finder: Finder | None = None
    """How `recommend` finds the lists of what it allows, where somebody has chosen; else every score is computed."""

    def __init__(self) -> None:
        self._dataset: Dataset | None = None

    @property
    def dataset(self) -> Dataset:
        if self._dataset is None:
            raise NotReadyError(f"{self.kind} has no data attached, call `fit` or `attach` first")
        return self._dataset

    @classmethod
    @abstractmethod
    def build(cls, config: Any, profile: Profile) -> Self:
        """The model that a section of the profile describes, before it is fitted."""

    @abstractmethod
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
        """Learn from `rows` and attach `dataset`.

        With `truth` (what came after `dataset`) training stops early and keeps the best weights; with
        `epochs` it runs exactly that many.
        """

    def attach(self, dataset: Dataset) -> None:
        """Score this data set from now on. Ids unknown to training get vectors from metadata alone."""
        self._dataset = dataset

    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """(users, d) of the given users, or of all; the score of a pair is the dot product."""
        raise NotReadyError(f"{self.kind} has no vectors: its scores are not dot products")

    def item_vectors(self) -> npt.NDArray[np.float32]:
        """(items, d) of every item of the attached data set."""
        raise NotReadyError(f"{self.kind} has no vectors: its scores are not dot products")

    def directions(self) -> npt.NDArray[np.float32] | None:
        """(items, d) by whose angle items are alike; None where the vectors say nothing of that."""
        return self.item_vectors()

    def scores(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(users, items) scores of all items, a new array; the caller bounds the number of users."""
        scores: npt.NDArray[np.float32] = self.user_vectors(users) @ self.item_vectors().T
        return scores

    def score(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(n,) score of each pair `users[j], items[j]`."""
        if self.factorises:
            scores = np.einsum("nd,nd->n", self.user_vectors(users), self.item_vectors()[items])
            return np.asarray(scores, np.float32)
        scores = np.empty(len(users), np.float32)
        distinct, place = np.unique(users, return_inverse=True)
        block = self._block()
        for start in range(0, len(distinct), block):
            chosen = (place >= start) & (place < start + block)
            scores[chosen] = self.scores(distinct[start : start + block])[place[chosen] - start, items[chosen]]
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
        if self.factorises:
            return self.nearest(self.user_vectors(users), k, seen, allowed)
        block = self._block()
        parts = [
            top_k_of_scores(
                self.scores(users[start : start + block]),
                k,
                seen=None if seen is None else seen[start : start + block],
                allowed=allowed,
            )
            for start in range(0, len(users), block)
        ]
        if not parts:
            return TopK(np.zeros((0, k), np.int32), np.zeros((0, k), np.float32))
        return TopK(np.concatenate([part.items for part in parts]), np.concatenate([part.scores for part in parts]))

    def nearest(
        self,
        user_vectors: npt.NDArray[np.float32],
        k: int,
        seen: sparse.csr_matrix | None,
        allowed: npt.NDArray[np.bool_] | None,
    ) -> TopK:
        """The `k` items with the largest dot product for each of (users, d) of a model that factorises."""
        if self.finder is not None and _alike(self.finder.allowed, allowed):
            return self.finder.top_k(user_vectors, k, seen=seen)
        return top_k(user_vectors, self.item_vectors(), k, seen=seen, allowed=allowed)

    def contributions(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.integer]) -> Contributions | None:
        """What the scores of (users,) users and (users, n) items, -1 for none, rest on; None where it can't tell."""
        return None

    def explained(
        self,
        users: npt.NDArray[np.int64],
        k: int,
        *,
        allowed: npt.NDArray[np.bool_] | None = None,
        arranged: Arrangement = as_ranked,
    ) -> Iterator[Explained]:
        """The `k` best unseen items of each user with what their scores rest on, in blocks of users, in their order.

        What `arranged` makes of a block's lists is what is told of: it may leave out and reorder.
        """
        for start in range(0, len(users), EXPLAINED_USERS):
            block = users[start : start + EXPLAINED_USERS]
            top = arranged(block, self.recommend(block, k, allowed=allowed))
            yield Explained(top, self.contributions(block, top.items))

    @property
    def vector_model(self) -> "Model | None":
        """The model whose vectors an index of nearest neighbours may hold; None where there are none."""
        return self if self.factorises else None

    def similar_items(self, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> TopK:
        """The `k` items most like each item of the attached data set, itself left out; the scores fall.

        What is not `allowed` (items,) is like nothing and has an empty list.
        """
        directions = self.directions()
        return most_similar(self.item_vectors() if directions is None else directions, k, allowed=allowed)

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

    def _block(self) -> int:
        return max(1, SCORED_PAIRS // max(1, len(self.dataset.item_ids)))


def _alike(one: npt.NDArray[np.bool_] | None, other: npt.NDArray[np.bool_] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
