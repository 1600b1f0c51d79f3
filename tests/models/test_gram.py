import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from threadpoolctl import threadpool_info

from recommender.config.training import Training
from recommender.errors import TrainingError
from recommender.models import gram as room
from recommender.models.gram import blas_threads, from_triangle, gram, invert, triangle


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(0, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_inverse_by_blocks_is_the_inverse(items: int, users: int, block: int, seed: int) -> None:
    rows = sparse.random(users, items, 0.5, "csr", np.float32, rng=np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "BLOCK", block)
        matrix = gram(rows)
        np.testing.assert_allclose(matrix, (rows.T @ rows).toarray(), rtol=1e-6)
        np.einsum("ii->i", matrix)[:] += 2
        expected = np.linalg.inv(matrix.astype(np.float64))
        invert(matrix)
        np.testing.assert_allclose(matrix, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(matrix, matrix.T)
        kept = triangle(matrix)
        assert len(kept) == items * (items + 1) // 2
        np.testing.assert_array_equal(from_triangle(kept, items), matrix)


def test_what_has_no_inverse_is_refused_with_the_cure() -> None:
    with pytest.raises(TrainingError, match=r"raise model\.regularisation"):
        invert(-np.eye(3, dtype=np.float32))


def test_the_profile_says_how_many_threads() -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    before = threads()
    with blas_threads(Training(threads=1)) as number:
        assert (number, threads()) == (1, {1})
    assert threads() == before
