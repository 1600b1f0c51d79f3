"""How a column writes its times, told from a sample of its values."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Unit = Literal["iso", "seconds", "milliseconds", "microseconds"]

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
EPOCH_UNITS: dict[Unit, int] = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
"""How many of each are a second."""
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%d.%m.%y", "%d %b %Y", "%b %d, %Y")
_CLOCKS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", ", %H:%M:%S", " %I:%M:%S %p", " %I:%M %p")
_FORMATS = tuple(day + clock for day in _DATES for clock in _CLOCKS)
_DAY_FIRST, _MONTH_FIRST = "%d/%m/%Y", "%m/%d/%Y"


@dataclass(frozen=True)
class TimeForm:
    """A way to write times, and how many of the sampled values are written so."""

    unit: Unit
    format: str | None
    """In the letters of `strptime`; None unless ISO and epoch counts are out of the question."""
    share: float
    """0 to 1, of the values that are not empty."""
    ambiguous: bool = False
    """Day and month could be the other way round."""

    @property
    def setting(self) -> str:
        """What a profile says about it, beside the column; empty for ISO."""
        if self.format is not None:
            return f'format: "{self.format}"'
        return "" if self.unit == "iso" else f"unit: {self.unit}"


def recognise(values: Iterable[str]) -> TimeForm | None:
    """The form that most of the values have; None when the best has less than half of them."""
    sample = [value.strip() for value in values if value and value.strip()]
    if not sample:
        return None
    forms = [_form("iso", None, sum(map(_is_iso, sample)), sample)]
    numbers = [number for number in map(_number, sample) if number is not None]
    for unit, scale in EPOCH_UNITS.items():
        plausible = sum(_EARLIEST <= number / scale < _LATEST for number in numbers)
        forms.append(_form(unit, None, plausible, sample))
    best = max(forms, key=lambda form: form.share)
    if best.share < 1:
        first = sample[0]
        written = [_form("iso", text, sum(_fits(value, text) for value in sample), sample) for text in _FORMATS
                   if _fits(first, text) or (len(sample) > 1 and _fits(sample[1], text))]  # fmt: skip
        shares = {form.format: form.share for form in written}
        best = max([best, *written], key=lambda form: form.share)
        if best.format is not None and best.format.startswith(_DAY_FIRST):
            other = shares.get(best.format.replace(_DAY_FIRST, _MONTH_FIRST), 0.0)
            best = TimeForm(best.unit, best.format, best.share, ambiguous=other == best.share)
    return best if best.share >= 0.5 else None


def _form(unit: Unit, text: str | None, fitting: int, sample: list[str]) -> TimeForm:
    return TimeForm(unit, text, fitting / len(sample))


def _is_iso(value: str) -> bool:
    if len(value) < len("2014-05-31") or value[4:5] != "-":
        return False
    try:
        year = datetime.fromisoformat(value.removesuffix(" UTC")).year
    except ValueError:
        return False
    return 1990 <= year < 2100


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _fits(value: str, text: str) -> bool:
    try:
        year = datetime.strptime(value, text).year
    except ValueError:
        return False
    return 1990 <= year < 2100
