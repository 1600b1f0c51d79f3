"""Orders of rows against NumPy's own stable sorts."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recommender.publishing.order import descending, occurrence

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)
FLOATS = st.floats(width=32, allow_nan=False, max_value=2**60) | st.sampled_from([0.0, -0.0, 1.5, -np.inf])


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.float32, SHAPES, elements=FLOATS))
def test_largest_first_and_equals_keep_their_places(values: np.ndarray) -> None:
    assert np.array_equal(descending(values), np.argsort(-values, axis=1, kind="stable"))


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.int32, SHAPES, elements=st.integers(-1, 4)))
def test_how_often_a_code_stood_before(codes: np.ndarray) -> None:
    counts = occurrence(codes)
    for row, found in zip(codes.tolist(), counts.tolist(), strict=True):
        assert found == [0 if code < 0 else row[:place].count(code) for place, code in enumerate(row)]
