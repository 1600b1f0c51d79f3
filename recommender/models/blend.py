"""Several models as one: the weighted sum of their standardised scores, by vectors where all have them."""

import time
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from recommender.config.blend import Blend as BlendConfig
from recommender.config.training import Training
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import ArtifactError, NotReadyError
from recommender.models.base import ALONE, Model, Support
from recommender.models.composite import LEAST_SPREAD, Composite, Models, Scores, joined, standardised
from recommender.models.recall import recall
from recommender.progress import Progress, quiet
from recommender.training.report import FitReport

BLOCK = 1 << 14
"""Items whose vectors are held in float64 at one time."""


class Blend(Composite):
    """Score of a pair: the sum over the models of `weight (s - mean) / deviation`, both over all items for the user.

    Of a model with vectors the deviation of a user's scores is `sqrt(x' C x)`, x being the user's vector and C the
    covariance of the items', so the vectors of the blend are the models' side by side, the users' divided by that and
    times the weight. Their dot product lacks the means, which are the same for all items of a user.
    """

    kind: ClassVar[str] = "blend"
    config: BlendConfig
    config_class = BlendConfig
    folder: ClassVar[str] = "models"

    def __init__(self, config: BlendConfig, training: Training, make: Callable[[], Models]) -> None:
        super().__init__(config, training, make)
        self._covariances: dict[str, npt.NDArray[np.float64]] = {}
        """Of the item vectors, by model that has them."""

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
        """Learn each of the models; see `Model.fit`.

        `epochs` are those of every model that `support.epochs` doesn't name; reported are those of each, and of the
        model with most. With `support.start` each goes on from its own part of it.

        Raises
        ------
        TrainingError
            A model can't be fitted.
        ArtifactError
            The start is no blend.
        """
        started = time.monotonic()
        reports = self._fit_parts(dataset, rows, truth, epochs, progress, support, _begun(support.start))
        self.attach(dataset)
        self.report = joined(reports, time.monotonic() - started)
        if truth is not None and len(truth.users):
            found = recall(self, truth)
            self.report.history.append({"recall": found})
            progress(f"blended: recall@20 {found:.4f}")
        return self.report

    def attach(self, dataset: Dataset) -> None:
        super().attach(dataset)
        self.factorises = all(model.factorises for model in self._models.values())
        self._covariances = {
            name: _covariance(model.item_vectors()) for name, model in self._models.items() if self.factorises
        }

    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> Scores:
        self._require_vectors()
        parts = []
        for name, model in self._models.items():
            vectors = model.user_vectors(users)
            variance = np.einsum("nd,nd->n", vectors @ self._covariances[name], vectors)
            spread = np.maximum(np.sqrt(np.maximum(variance, 0)), LEAST_SPREAD)
            parts.append(vectors * (self.config.weights[name] / spread)[:, None])
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def item_vectors(self) -> Scores:
        self._require_vectors()
        return np.concatenate([model.item_vectors() for model in self._models.values()], axis=1, dtype=np.float32)

    def scores(self, users: npt.NDArray[np.int64]) -> Scores:
        _ = self.dataset
        if self.factorises:
            return super().scores(users)
        weighed = (
            self.config.weights[name] * standardised(model.scores(users)) for name, model in self._models.items()
        )
        return np.asarray(sum(weighed), np.float32)

    @property
    def vector_model(self) -> Model | None:
        """Itself where all models have vectors, else the first that has."""
        if self.factorises:
            return self
        return next((model for model in self._models.values() if model.factorises), None)

    def _require_vectors(self) -> None:
        _ = self.dataset
        if not self.factorises:
            raise NotReadyError("blend has no vectors: not all of its models have")


def _begun(start: Model | None) -> Models:
    """Models to go on from."""
    if start is None:
        return {}
    if not isinstance(start, Blend):
        raise ArtifactError(f"training cannot go on from a {start.kind}: train from scratch")
    return start._models


def _covariance(vectors: Scores) -> npt.NDArray[np.float64]:
    """(d, d) of (n, d) vectors, by blocks: a catalogue of millions in float64 would be gigabytes."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    total = np.zeros((len(mean), len(mean)))
    for start in range(0, len(vectors), BLOCK):
        centred = vectors[start : start + BLOCK] - mean
        total += centred.T @ centred
    return total / max(1, len(vectors))
