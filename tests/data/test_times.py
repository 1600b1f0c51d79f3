"""Times are told apart by their values."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.times import TimeForm, recognise


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        (["2014-05-31", "2014-06-01"], ""),
        (["2014-05-31T10:00:00Z", "2014-06-01 10:00:00+02:00"], ""),
        (["1398902400", "1401494400"], "unit: seconds"),
        (["1398902400123", "1401494400000"], "unit: milliseconds"),
        (["1398902400123456"], "unit: microseconds"),
        (["31.05.2014 10:15", "01.06.2014 23:59"], 'format: "%d.%m.%Y %H:%M"'),
        (["31/05/2014", "01/06/2014"], 'format: "%d/%m/%Y"'),
        (["05/31/2014", "06/01/2014"], 'format: "%m/%d/%Y"'),
        (["20140531", "20140601"], 'format: "%Y%m%d"'),
        (["2014-05-31", "never", "2014-06-01"], ""),
    ],
)
def test_the_form_most_values_have(values: list[str], setting: str) -> None:
    form = recognise(values)
    assert form is not None
    assert form.setting == setting


@pytest.mark.parametrize("values", [[], ["", "  "], ["soon", "later"], ["1", "2", "3"], ["3.14", "-1"]])
def test_what_is_no_time(values: list[str]) -> None:
    assert recognise(values) is None


def test_day_and_month_that_could_be_exchanged_are_told() -> None:
    assert recognise(["01/02/2014"]) == TimeForm("iso", "%d/%m/%Y", 1.0, ambiguous=True)
    assert recognise(["01/02/2014", "31/01/2014"]) == TimeForm("iso", "%d/%m/%Y", 1.0, ambiguous=False)


@given(st.datetimes(datetime(1990, 1, 2), datetime(2099, 1, 1)), st.sampled_from([1, 1_000, 1_000_000]))
def test_epoch_counts_are_told_by_their_size(instant: datetime, scale: int) -> None:
    units = {1: "seconds", 1_000: "milliseconds", 1_000_000: "microseconds"}
    start = int(instant.replace(tzinfo=UTC).timestamp())
    form = recognise([str((start + n) * scale) for n in range(3)])
    assert form is not None
    eight_digits = all(datetime_like(str((start + n) * scale)) for n in range(3))
    assert form.unit == units[scale] or eight_digits


def datetime_like(text: str) -> bool:
    """`20140531` is as good a date as a count; epoch seconds after 1990 have nine digits or more."""
    return len(text) == 8


def test_iso_days_over_a_year() -> None:
    days = [str((datetime(2014, 1, 1) + timedelta(days=n)).date()) for n in range(365)]
    assert recognise(days) == TimeForm("iso", None, 1.0)
