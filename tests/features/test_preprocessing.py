"""Each step by hand, and what holds for any column."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError
from scipy.stats import skew

from recommender.features.encoding.preprocessing import Cap, Fill, Log, Scale, Step
from recommender.features.encoding.vocabulary import Values, Vocabulary

NAN = np.nan
columns = arrays.arrays(np.float64, st.integers(2, 40), elements=st.floats(-1e6, 1e6, width=32))


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_log() -> None:
    step = Log.fit(array(0, 1, NAN), declared=True, threshold=None)
    values = step.transform(array(np.e - 1, 0, 1 - np.e, NAN))
    np.testing.assert_allclose(values, [1, 0, -1, NAN])
    assert step.inverse(-1) == pytest.approx(1 - np.e)
    plain = Log.fit(array(0, 1, NAN), declared=False, threshold=None)
    np.testing.assert_array_equal(plain.transform(array(5, NAN)), [5, NAN])
    assert plain.inverse(5) == 5


def test_the_log_follows_the_skewness_of_the_known_values() -> None:
    values = np.append(np.random.default_rng(0).lognormal(size=500), NAN)
    expected = skew(values[:-1])
    assert Log.fit(values, declared=False, threshold=None).skewness == pytest.approx(expected)
    assert Log.fit(values, declared=False, threshold=expected - 0.01).applied
    assert not Log.fit(values, declared=False, threshold=expected + 0.01).applied
    assert not Log.fit(-values, declared=False, threshold=1).applied
    assert Log.fit(array(7, 7), declared=False, threshold=1).skewness == 0


@pytest.mark.parametrize(("method", "expected"), [("median", 2), ("mean", 4), ("zero", 0)])
def test_fill(method, expected: float) -> None:
    step = Fill.fit(array(1, 2, 9, NAN), method)
    np.testing.assert_array_equal(step.transform(array(NAN, 5)), [expected, 5])
    assert step.missing_share == 0.25
    assert Fill.fit(array(NAN), method).value == 0


def test_cap() -> None:
    values = array(*[0] * 99, 100)  # mean 1, deviation 9.95
    step = Cap.fit(values, 3)
    assert (step.low, step.high) == pytest.approx((1 - 3 * values.std(), 1 + 3 * values.std()))
    assert step.capped_share == 0.01
    np.testing.assert_allclose(step.transform(array(-1e9, 5, 1e9)), [step.low, 5, step.high])
    np.testing.assert_array_equal(Cap.fit(values, None).transform(array(-1e9, 1e9)), [-1e9, 1e9])


@pytest.mark.parametrize(
    ("method", "expected"),
    [("standard", [-1.22474487, 0, 1.22474487]), ("minmax", [0, 0.5, 1]), ("robust", [-1, 0, 1]), ("none", [0, 2, 4])],
)
def test_scale(method, expected: list[float]) -> None:
    values = array(0, 2, 4)
    step = Scale.fit(values, Cap.fit(values, None), method)
    np.testing.assert_allclose(step.transform(values), expected)


def test_the_extremes_are_those_of_capped_values() -> None:
    values = array(*range(100), 1e6)
    cap = Cap.fit(values, 1)
    step = Scale.fit(values, cap, "minmax")
    assert step.centre + step.width == pytest.approx(cap.high)
    np.testing.assert_allclose(step.transform(cap.transform(array(1e9, -1e9))), [1, 0], atol=1e-12)
    uncapped = Scale.fit(array(2, 4), Cap.fit(array(2, 4), None), "minmax")
    np.testing.assert_array_equal(uncapped.transform(array(1, 3, 9)), [0, 0.5, 1])


@pytest.mark.parametrize("method", ["standard", "minmax", "robust", "none"])
def test_a_constant_column_stays_harmless(method) -> None:
    values = array(7, 7, 7)
    scaled = Scale.fit(values, Cap.fit(values, 3), method).transform(values)
    np.testing.assert_array_equal(scaled, np.full(3, 7 if method == "none" else 0))


def test_a_column_that_is_mostly_one_value_is_robustly_scaled_by_its_deviation() -> None:
    values = array(*[0] * 9, 10)
    step = Scale.fit(values, Cap.fit(values, None), "robust")
    assert (step.centre, step.width) == (0, pytest.approx(3))


STEPS: list[Step] = [
    Log.fit(array(1, 2, 300), declared=True, threshold=None),
    Fill.fit(array(1, 2, NAN), "mean"),
    Cap.fit(array(1, 2, 3), 2.5),
    Cap.fit(array(1, 2, 3), None),
    Scale.fit(array(1, 2, 3), Cap.fit(array(1, 2, 3), 3), "robust"),
    Vocabulary.fit(Values.of(pd.Series(["a", "b", "a", None])), 2),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_every_step_is_saved_whole_and_says_what_it_does_in_one_line(step: Step) -> None:
    assert type(step).from_json(step.to_json()) == step
    assert step.describe().strip() and "\n" not in step.describe()
    with pytest.raises(ValidationError):
        type(step).from_json("{}")


@settings(max_examples=100, deadline=None)
@given(columns, st.floats(0.5, 5))
def test_standardised_values_end_where_the_cap_says(values: np.ndarray, deviations: float) -> None:
    cap = Cap.fit(values, deviations)
    scaled = Scale.fit(values, cap, "standard").transform(cap.transform(np.append(values, [-1e12, 1e12])))
    np.testing.assert_allclose(scaled[-2:], [-deviations, deviations], rtol=1e-6)
    assert np.abs(scaled).max() <= deviations * (1 + 1e-6)
    assert (np.diff(scaled[np.argsort(np.append(values, [-1e12, 1e12]), kind="stable")]) >= 0).all()


@settings(max_examples=100, deadline=None)
@given(columns)
def test_without_a_cap_training_values_have_mean_0_and_deviation_1(values: np.ndarray) -> None:
    scaled = Scale.fit(values, Cap.fit(values, None), "standard").transform(values)
    if values.std() > 1e-3 * max(1, np.abs(values).max()):
        assert scaled.mean() == pytest.approx(0, abs=1e-6)
        assert scaled.std() == pytest.approx(1)


@settings(max_examples=100, deadline=None)
@given(columns, st.booleans())
def test_the_log_keeps_order_and_sign_and_can_be_undone(values: np.ndarray, declared: bool) -> None:
    step = Log.fit(values, declared, threshold=2.0)
    logged = step.transform(values)
    assert (np.sign(logged) == np.sign(values)).all()
    assert (np.diff(logged[np.argsort(values)]) >= 0).all()
    np.testing.assert_allclose([step.inverse(value) for value in logged], values, rtol=1e-9, atol=1e-12)
