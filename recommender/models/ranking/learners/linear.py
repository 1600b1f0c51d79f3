"""A weighted sum of the features: few weights, hard to fit too closely, easy to read."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from recommender.config.ranking import LinearLearner
from recommender.errors import TrainingError
from recommender.models.ranking.groups import Floats, Ints
from recommender.models.ranking.learners.base import (
    Learner,
    Standardiser,
    not_fitted,
    read_tensors,
    require_pairs,
    write_tensors,
)

FILE = "linear.safetensors"
MAX_STEPS = 200


class Linear(Learner):
    """Listwise softmax over each user's candidates, minimised by L-BFGS.

    loss = mean over users of [ - mean over chosen j of log softmax(X w)_j ] + penalty |w|² / 2

    The top-one loss of Cao et al., "Learning to rank: from pairwise approach to listwise approach" (ICML 2007), with
    the user's choices sharing the weight.

    Parameters
    ----------
    config
        The penalty.
    """

    kind: ClassVar[str] = "linear"

    def __init__(self, config: LinearLearner | None = None) -> None:
        self.config = config or LinearLearner()
        self._standardiser: Standardiser | None = None
        self._weights: Floats | None = None

    def fit(self, features: Floats, labels: Floats, groups: Ints, seed: int) -> None:
        require_pairs(labels, groups)
        penalty = self.config.penalty
        self._standardiser = Standardiser.fit(features)
        prepared = self._standardiser.apply(features)
        starts = np.concatenate([[0], np.cumsum(groups)[:-1]])
        target = (labels / np.repeat(np.add.reduceat(labels, starts), groups)).astype(np.float32)

        def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
            scores = prepared @ weights.astype(np.float32)
            scores -= np.repeat(np.maximum.reduceat(scores, starts), groups)
            shares = np.exp(scores)
            total = np.add.reduceat(shares, starts, dtype=np.float64)
            value = (np.log(total).sum() - float(target.astype(np.float64) @ scores)) / len(groups)
            shares /= np.repeat(total, groups).astype(np.float32)
            gradient = (shares - target) @ prepared / len(groups) + penalty * weights
            return value + penalty * float(weights @ weights) / 2, gradient.astype(np.float64)

        found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS})
        if not np.isfinite(found.fun):
            raise TrainingError("the linear learner's loss is not a finite number: a feature is infinite")
        self._weights = found.x.astype(np.float32)

    def score(self, features: Floats) -> Floats:
        if self._standardiser is None or self._weights is None:
            raise not_fitted(self.kind)
        scores: Floats = self._standardiser.apply(features) @ self._weights
        return scores

    def without(self, features: Floats, usual: Floats, groups: Sequence[Sequence[int]]) -> Floats:
        if self._standardiser is None or self._weights is None:
            raise not_fitted(self.kind)
        prepared = self._standardiser.apply(features)
        lost = prepared - self._standardiser.apply(usual)
        scores: Floats = np.stack([-lost[:, columns] @ self._weights[columns] for columns in map(list, groups)])
        scores += prepared @ self._weights
        return scores

    def save(self, folder: Path) -> None:
        if self._standardiser is None or self._weights is None:
            raise not_fitted(self.kind)
        mean, scale = self._standardiser.mean, self._standardiser.scale
        write_tensors(folder / FILE, {"mean": mean, "scale": scale, "weights": self._weights})

    def load(self, folder: Path) -> None:
        tensors = read_tensors(folder / FILE)
        self._standardiser = Standardiser(tensors["mean"], tensors["scale"])
        self._weights = tensors["weights"]
