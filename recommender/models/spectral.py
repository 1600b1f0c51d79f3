"""The ideal low-pass filter of the graph of users and items: a truncated singular value decomposition, made fair."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.config.classic import Spectral as SpectralConfig
from recommender.config.training import Training
from recommender.data.dataset import Dataset
from recommender.features.definitions import Feature
from recommender.models.explaining.contributions import Contributions
from recommender.models.explaining.histories import strongest_met
from recommender.models.gram import blas_threads
from recommender.models.history_model import HistoryModel
from recommender.progress import Progress

OVERSAMPLES = 16
POWER_ITERATIONS = 4
"""Of the randomised decomposition (Halko, Martinsson and Tropp, SIAM Review 2011)."""

Vectors = npt.NDArray[np.float32]


class Spectral(HistoryModel):
    """Scores `q D^-½ V V' D^½` of a weighed history `q`: what of it lies along the leading directions.

    V are the right singular vectors of who met what, every cell divided by the root of the user's number of items and
    of the item's number of users, D. That is the ideal low-pass filter of GF-CF (Shen et al., "How Powerful is Graph
    Convolution for Recommendation?", CIKM 2021): PureSVD (Cremonesi et al., "Performance of Recommender Algorithms on
    Top-N Recommendation Tasks", RecSys 2010) of a matrix in which who and what is met often weighs less.
    A user without a history gets the mean of everybody's.
    """

    kind: ClassVar[str] = "spectral"
    config: SpectralConfig
    config_class = SpectralConfig

    def __init__(self, config: SpectralConfig, training: Training, side: Sequence[Feature] = ()) -> None:
        super().__init__(config, training, side)
        self._reads: Vectors = np.zeros((0, config.dimension), np.float32)
        self._factors: Vectors = self._reads
        self._item_vectors: Vectors = self._reads
        self._met_vectors: Vectors = self._reads

    def attach(self, dataset: Dataset) -> None:
        super().attach(dataset)
        stands_for = self._attached().matrix
        self._item_vectors = np.asarray(stands_for @ self._factors, np.float32)
        self._met_vectors = np.asarray(stands_for @ self._reads, np.float32)

    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> Vectors:
        histories = self._histories if users is None else self._histories[np.asarray(users, np.int64)]
        vectors = np.asarray(histories @ self._met_vectors, np.float32)
        nothing = np.diff(histories.indptr) == 0
        if nothing.any():
            everybody = np.asarray(self._histories.sum(axis=0)).ravel() / max(1, len(self.dataset.active_users))
            vectors[nothing] = everybody.astype(np.float32) @ self._met_vectors
        return vectors

    def item_vectors(self) -> Vectors:
        self._attached()
        return self._item_vectors

    def contributions(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.integer]) -> Contributions:
        self._attached()

        def pulls(met: npt.NDArray[np.int64], asked: npt.NDArray[np.int64]) -> Vectors:
            return np.asarray(self._met_vectors[met] @ self._item_vectors[asked].T, np.float32)

        return strongest_met(self._histories, users, items, pulls, least=2)

    def _learn(self, met: sparse.csr_matrix, side: sparse.csr_matrix, progress: Progress) -> None:
        from sklearn.utils.extmath import randomized_svd  # takes a second, which every command would wait

        items, users = (np.asarray(met.sum(axis=axis, dtype=np.float64)).ravel() for axis in (0, 1))
        by_item, by_user = (1 / np.sqrt(np.maximum(counts, 1)) for counts in (items, users))
        fair = (sparse.diags(by_user) @ met @ sparse.diags(by_item)).tocsr().astype(np.float32)
        dimension = min(self.config.dimension, *fair.shape)
        progress(f"spectral: {dimension} directions of {met.shape[1]:,} items")
        with blas_threads(self.training):
            _, _, directions = randomized_svd(
                fair,
                dimension,
                n_oversamples=OVERSAMPLES,
                n_iter=POWER_ITERATIONS,
                random_state=self.training.seed,
            )
        self._reads = np.ascontiguousarray(directions.T * by_item[:, None], np.float32)
        self._factors = np.ascontiguousarray(directions.T * np.sqrt(items)[:, None], np.float32)

    def _arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"reads": self._reads, "items": self._factors}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._reads, self._factors = arrays["reads"], arrays["items"]
