"""Gradient-boosted trees over the features of a pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recommender.config.ranking import BoostingLearner
from recommender.config.training import Training
from recommender.models.ranking.groups import Floats, Ints
from recommender.models.ranking.learners.base import Learner, exchanged, not_fitted, require_pairs
from recommender.models.ranking.learners.bit_trees import BitTrees

if TYPE_CHECKING:
    from lightgbm import Booster

FILE = "boosting.txt"
TRUNCATION = 40
"""Places at the top of a list whose order LambdaMART minds: twice those that are judged."""
_FOLDS = 1 << 31


class Boosting(Learner):
    """LightGBM's LambdaMART, or another of its objectives.

    Ke et al., "LightGBM: a highly efficient gradient boosting decision tree" (NeurIPS 2017); Burges, "From RankNet to
    LambdaRank to LambdaMART: an overview" (MSR-TR-2010-82).

    Parameters
    ----------
    config
        Trees and how they learn.
    training
        Threads: the same number gives the same trees.
    """

    kind: ClassVar[str] = "boosting"

    def __init__(self, config: BoostingLearner | None = None, training: Training | None = None) -> None:
        self.config, self.training = config or BoostingLearner(), training or Training()
        self._booster: Booster | None = None
        self._trees: BitTrees | None = None

    def fit(self, features: Floats, labels: Floats, groups: Ints, seed: int) -> None:
        import lightgbm  # takes a second to import

        require_pairs(labels, groups)
        parameters: dict[str, Any] = {
            "objective": self.config.objective,
            "num_leaves": self.config.leaves,
            "learning_rate": self.config.learning_rate,
            "min_data_in_leaf": min(self.config.least_pairs, max(1, len(labels) // (2 * self.config.leaves))),
            "feature_fraction": self.config.feature_share,
            "lambda_l2": self.config.penalty,
            "lambdarank_truncation_level": TRUNCATION,
            "seed": seed % _FOLDS,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self._threads,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(features, labels, group=groups, params=parameters)
        self._take(lightgbm.train(parameters, data, self.config.trees))

    def score(self, features: Floats) -> Floats:
        if self._booster is None:
            raise not_fitted(self.kind)
        if self._trees is not None:
            return self._trees.score(features)
        scores = self._booster.predict(features, raw_score=True, num_threads=self._threads)
        return np.asarray(scores, np.float32)

    def without(self, features: Floats, usual: Floats, groups: Sequence[Sequence[int]]) -> Floats:
        if self._trees is not None:
            return self._trees.without(features, usual, groups)
        return exchanged(self.score, features, usual, groups)

    def save(self, folder: Path) -> None:
        if self._booster is None:
            raise not_fitted(self.kind)
        self._booster.save_model(folder / FILE)

    def load(self, folder: Path) -> None:
        import lightgbm  # takes a second to import

        self._take(lightgbm.Booster(model_file=folder / FILE))

    def _take(self, booster: "Booster") -> None:
        self._booster, self._trees = booster, BitTrees.of(booster)

    @property
    def _threads(self) -> int:
        return self.training.threads or 0
