"""The interface of what puts candidates in order.

learner = Linear(config)
learner.fit(features, labels, groups, seed=17)      # pairs of a user together, groups[r] of them
learner.score(features)                             # (pairs,) higher is better, within a user
learner.save(folder)

Linear(config).load(folder)                         # ready to score
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from recommender.errors import NotReadyError, TrainingError
from recommender.models.ranking.groups import Floats, Ints

BLOCK = 1 << 16
"""Pairs that are prepared at one time."""
LEAST_SCALE = 1e-6
LARGEST = 8.0
"""Standard deviations from the mean past which a feature says no more."""


class Learner(ABC):
    """Learns from pairs with labels to score pairs. Nothing but the order of a user's scores means anything."""

    kind: ClassVar[str]

    @abstractmethod
    def fit(self, features: Floats, labels: Floats, groups: Ints, seed: int) -> None:
        """Learn; the same arguments give the same bits.

        Parameters
        ----------
        features
            (pairs, features); missing is NaN.
        labels
            (pairs,) 1 for what was chosen, else 0.
        groups
            (users,) pairs of each user, who are together; every user has a pair with label 1.

        Raises
        ------
        TrainingError
            There are no pairs, or nothing finite came of them.
        """

    @abstractmethod
    def score(self, features: Floats) -> Floats:
        """(pairs,) of (pairs, features)."""

    @abstractmethod
    def without(self, features: Floats, usual: Floats, groups: Sequence[Sequence[int]]) -> Floats:
        """(groups, pairs) scores where a group's columns are as in `usual`; both inputs are (pairs, features)."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write one file of its own into an existing folder; nothing is pickled."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read what a learner of the same configuration saved; it is then as that one was."""


class Standardiser:
    """Means and scales of the training pairs; what is missing becomes the mean."""

    def __init__(self, mean: Floats, scale: Floats) -> None:
        self.mean, self.scale = mean, scale

    @classmethod
    def fit(cls, features: Floats) -> Self:
        """Of (pairs, features); a feature that never varies, or is never there, becomes 0 throughout."""
        means, scales = np.zeros(features.shape[1]), np.zeros(features.shape[1])
        for number, column in enumerate(features.T):
            there = column[~np.isnan(column)].astype(np.float64)
            if len(there):
                means[number], scales[number] = there.mean(), there.std()
        scales[scales < LEAST_SCALE] = np.inf
        return cls(means.astype(np.float32), scales.astype(np.float32))

    def apply(self, features: Floats) -> Floats:
        """(pairs, features) contiguous by pair, without NaN."""
        prepared = np.empty(features.shape, np.float32)
        for start in range(0, len(features), BLOCK):
            part = (features[start : start + BLOCK] - self.mean) / self.scale
            np.clip(part, -LARGEST, LARGEST, out=part)
            prepared[start : start + BLOCK] = np.where(np.isnan(part), 0, part)
        return prepared


def exchanged(
    score: Callable[[Floats], Floats], features: Floats, usual: Floats, groups: Sequence[Sequence[int]]
) -> Floats:
    """`Learner.without` by scoring all pairs once a group."""
    scores = np.empty((len(groups), len(features)), np.float32)
    for group, columns in enumerate(groups):
        changed = features.copy()
        changed[:, columns] = usual[:, columns]
        scores[group] = score(changed)
    return scores


def require_pairs(labels: Floats, groups: Ints) -> None:
    """
    Raises
    ------
    TrainingError
        There is nothing to learn an order from.
    """
    if not labels.any() or labels.all() or groups.sum() != len(labels):
        raise TrainingError("re-ranking needs candidates that were chosen and others that were not: add label windows")


def write_tensors(path: Path, tensors: dict[str, npt.NDArray[np.float32]]) -> None:
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path)


def read_tensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    tensors: dict[str, npt.NDArray[np.float32]] = load_file(path)
    return tensors


def not_fitted(kind: str) -> NotReadyError:
    return NotReadyError(f"the {kind} learner isn't fitted, call `fit` or `load` first")
