"""Large symmetric matrices of items by items: made, inverted in place, and kept as one triangle."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from recommender.config.training import Training
from recommender.errors import TrainingError

BLOCK = 1024
"""Rows worked on at one time."""

Matrix = npt.NDArray[np.float32]


@contextmanager
def blas_threads(training: Training) -> Iterator[int]:
    """The profile's number of threads for NumPy's and SciPy's linear algebra too; yields that number."""
    threads = training.threads or torch.get_num_threads()
    with threadpool_limits(threads, "blas"):
        yield threads


def gram(rows: sparse.csr_matrix) -> Matrix:
    """(items, items) `rows' rows` of a (rows, items) matrix, dense."""
    items = rows.shape[1]
    product = np.empty((items, items), np.float32)
    transposed = rows.T.tocsr()
    for start in range(0, items, BLOCK):
        (transposed[start : start + BLOCK] @ rows).toarray(out=product[start : start + BLOCK])
    return product


def invert(matrix: Matrix) -> None:
    """A symmetric positive definite matrix becomes its inverse, in its own memory (Cholesky, in float32).

    Raises
    ------
    TrainingError
        It is not positive definite.
    """
    # LAPACK counts rows where NumPy counts columns: of a symmetric matrix that is the same
    factor, failed = linalg.lapack.spotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise TrainingError("the items' Gram matrix can't be inverted in float32: raise model.regularisation")
    inverse, _ = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if not np.shares_memory(inverse, matrix):
        matrix[:] = inverse.T
    mirror(matrix)


def mirror(matrix: Matrix) -> None:
    """Write the upper triangle over the lower one."""
    for start in range(0, len(matrix), BLOCK):
        stop = start + BLOCK
        corner = np.triu(matrix[start:stop, start:stop])
        matrix[start:stop, start:stop] = corner + np.triu(corner, 1).T
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T


def triangle(matrix: Matrix) -> Matrix:
    """(n (n + 1) / 2,) the upper triangle of a symmetric matrix, row by row: half of what it takes to keep."""
    return np.concatenate([row[place:] for place, row in enumerate(matrix)] or [np.zeros(0, np.float32)])


def from_triangle(values: Matrix, size: int) -> Matrix:
    """The (size, size) symmetric matrix of which `triangle` gave the values."""
    matrix = np.empty((size, size), np.float32)
    start = 0
    for place, row in enumerate(matrix):
        row[place:] = values[start : start + size - place]
        start += size - place
    mirror(matrix)
    return matrix
