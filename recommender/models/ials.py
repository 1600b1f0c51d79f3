"""Matrix factors by implicit alternating least squares, through the library `implicit`."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from implicit.cpu.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from scipy import sparse

from recommender.config.classic import Ials as IalsConfig
from recommender.config.training import Training
from recommender.data.dataset import Dataset
from recommender.errors import NotReadyError, TrainingError
from recommender.features.definitions import Feature
from recommender.models.gram import blas_threads
from recommender.models.history_model import HistoryModel
from recommender.progress import Progress

REPORT_SECONDS = 10.0
"""At least so long between two lines of progress."""

Vectors = npt.NDArray[np.float32]


class Ials(HistoryModel):
    """Items' vectors by alternating least squares; a user's is solved for from their history.

    The loss is that of Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008):
    pairs that met have preference 1 with a confidence of `alpha`, all others preference 0 with a confidence of 1.
    Tonight's users get the vectors that solve one more step exactly, with `alpha` times the weight of each event of
    their history. A user without one gets what comes nearest to the share of users that each item has.

    The same seed gives the same bits, whatever the number of threads.
    """

    kind: ClassVar[str] = "ials"
    config: IalsConfig
    config_class = IalsConfig

    def __init__(self, config: IalsConfig, training: Training, side: Sequence[Feature] = ()) -> None:
        super().__init__(config, training, side)
        self._factors: Vectors = np.zeros((0, config.dimension), np.float32)
        self._newcomer: Vectors = np.zeros(config.dimension, np.float32)
        self._solver: AlternatingLeastSquares | None = None

    def attach(self, dataset: Dataset) -> None:
        super().attach(dataset)
        with blas_threads(self.training) as threads:
            solver = self._new_solver(threads)
            solver.item_factors = self._attached().matrix @ self._factors
            share = np.asarray(dataset.seen.sum(axis=0)).ravel() / max(1, len(dataset.active_users))
            ridge = solver.YtY + self.config.regularisation * np.eye(self.config.dimension)
            self._newcomer = np.linalg.solve(ridge, share @ solver.item_factors).astype(np.float32)
        self._solver = solver

    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> Vectors:
        solver = self._ready()
        chosen = np.arange(len(self.dataset.user_ids)) if users is None else np.asarray(users, np.int64)
        given = self._histories[chosen]
        with blas_threads(self.training):
            vectors: Vectors = solver.recalculate_user(chosen, given)
        vectors[np.diff(given.indptr) == 0] = self._newcomer
        return vectors

    def item_vectors(self) -> Vectors:
        vectors: Vectors = self._ready().item_factors
        return vectors

    def _learn(self, met: sparse.csr_matrix, side: sparse.csr_matrix, progress: Progress) -> None:
        reported = time.monotonic()

        def tell(iteration: int, _seconds: float, _loss: float | None) -> None:
            nonlocal reported
            if time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                progress(f"ials: iteration {iteration + 1}/{self.config.iterations}")

        with blas_threads(self.training) as threads:
            solver = self._new_solver(threads)
            try:
                solver.fit(met, show_progress=False, callback=tell)
            except ModelFitError as error:
                raise TrainingError(f"ials: {error}: raise model.regularisation, or lower model.alpha") from None
        self._factors = solver.item_factors

    def _arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"items": self._factors}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._factors = arrays["items"]

    def _new_solver(self, threads: int) -> AlternatingLeastSquares:
        """To be made inside `blas_threads`: the library warns where BLAS has threads of its own."""
        return AlternatingLeastSquares(
            factors=self.config.dimension,
            regularization=self.config.regularisation,
            alpha=self.config.alpha,
            iterations=self.config.iterations,
            dtype=np.float32,
            num_threads=threads,
            random_state=self.training.seed,
        )

    def _ready(self) -> AlternatingLeastSquares:
        if self._solver is None:
            raise NotReadyError("ials has no data attached, call `fit` or `attach` first")
        return self._solver
