"""EASE: a linear model of items on items, in closed form."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.config.classic import Ease as EaseConfig
from recommender.config.profile import Profile
from recommender.errors import TrainingError
from recommender.models.gram import blas_threads, from_triangle, gram, invert, triangle
from recommender.models.item_item import ItemItem, Scores
from recommender.progress import Progress


class Ease(ItemItem):
    """Scores `q B` of a weighed history `q`, where `B` predicts each item from all others by least squares.

    With the users' rows X of zeros and ones, rows A of side information (a row for each creator, with 1 at their
    items) that count `w` times, and P the inverse of X'X + w A'A + λI, the solution with a zero diagonal is
    B = I - P diag(1 / P_jj) (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019; with side
    information Jeunen, Van Balen and Goethals, "Closed-Form Models for Collaborative Filtering with
    Side-Information", RecSys 2020). -P_ij / sqrt(P_ii P_jj), which is symmetric, says how like two items are.

    P is all that is kept, in float32: 4 n² bytes of memory for n items with events, which is what a fit needs too, and
    half of that on disk. Its time grows with n³: half a minute for 12,500 items on one thread.
    """

    kind: ClassVar[str] = "ease"
    config: EaseConfig
    config_class = EaseConfig
    newcomer_weight = 0.5
    """Unlike a similarity, what least squares give the items of one creator is more than a new one of theirs earns.
    With half of it new items fill the share of lists that they have among what users choose, and recall is best."""

    @classmethod
    def build(cls, config: EaseConfig, profile: Profile) -> Self:
        model = super().build(config, profile)
        if config.side_features is None:
            model.side = model.side[:1]
        return model

    def _learn(self, met: sparse.csr_matrix, side: sparse.csr_matrix, progress: Progress) -> None:
        items = met.shape[1]
        memory = 4 * items**2 / 2**30
        if items > self.config.max_items:
            raise TrainingError(
                f"ease would need {memory:.1f} GiB for {items:,} items with events, and model.max_items is "
                f"{self.config.max_items:,}: raise it, raise preprocessing.k_core.items, or choose kind: ials"
            )
        progress(f"ease: {items:,} items, {memory:.1f} GiB")
        root = np.float32(np.sqrt(self.config.side_weight))
        with blas_threads(self.training):
            matrix = gram(sparse.vstack([met, root * side], format="csr"))
            np.einsum("ii->i", matrix)[:] += np.float32(self.config.regularisation)
            invert(matrix)
        self._take(matrix)

    def pull(self, met: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> Scores:
        """(m, n) B: what meeting each of the first adds to the score of each of the second.

        Both are indices of the attached data set; items without an event in training pull nothing and aren't pulled.
        """
        row, column = self._known_place[met], self._known_place[items]
        pulls = self._learnt(np.maximum(row, 0), np.maximum(column, 0))
        pulls[row < 0] = 0
        pulls[:, column < 0] = 0
        return pulls

    def _learnt(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Scores:
        pulls: Scores = self._inverse[np.ix_(rows, columns)]
        pulls *= -1 / self._diagonal[columns]
        return pulls

    def _weigh(self, queries: sparse.csr_matrix) -> Scores:
        scores: Scores = queries @ self._inverse
        scores *= -1 / self._diagonal
        return scores

    def _alike(self, items: sparse.csr_matrix) -> Scores:
        root = np.sqrt(self._diagonal)
        alike: Scores = (items @ sparse.diags(1 / root).tocsr()) @ self._inverse
        alike *= -1 / root
        return alike

    def _arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"inverse": triangle(self._inverse), "diagonal": self._diagonal}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._diagonal: Scores = arrays["diagonal"]
        self._inverse: Scores = from_triangle(arrays["inverse"], len(self._diagonal))

    def _take(self, inverse: Scores) -> None:
        """Keep the inverse as its diagonal and the rest."""
        self._diagonal = np.einsum("ii->i", inverse).copy()
        np.einsum("ii->i", inverse)[:] = 0
        self._inverse = inverse
