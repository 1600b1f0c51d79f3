"""Dot products of chosen pairs alone."""

import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]


class PairDots:
    """Scores of the same pairs by several users' and items' vectors, without a copy of any vector a pair.

    Parameters
    ----------
    chosen
        (users, n) items; -1 is none, and its score is 0.
    items
        How many there are.
    """

    def __init__(self, chosen: npt.NDArray[np.integer], items: int) -> None:
        users, width = chosen.shape
        self._absent = chosen < 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its sparse rows are in beta
            self._pairs = torch.sparse_csr_tensor(
                torch.arange(0, users * width + 1, max(1, width))[: users + 1],
                torch.from_numpy(np.maximum(chosen, 0).astype(np.int64).ravel()),
                torch.zeros(users * width),
                (users, items),
                check_invariants=False,
            )

    def __call__(self, users: Tensor, items: Tensor) -> Floats:
        """(users, n) of (users, d) and (items, d) vectors."""
        shape = self._absent.shape
        if self._absent.size == 0:
            return np.zeros(shape, np.float32)
        found = torch.sparse.sampled_addmm(self._pairs, users, items.T, beta=0.0).values()
        dots: Floats = found.view(shape).numpy()
        dots[self._absent] = 0
        return dots
