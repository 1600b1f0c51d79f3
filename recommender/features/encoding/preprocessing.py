"""The steps that prepare one column of numbers, each fitted on training rows only.

A number passes log, fill, cap and scale in this order, each fitted on what the one before gives. Every fitted step is
saved as JSON with the model and describes itself in one line. Categories have theirs in `vocabulary.py`.
"""

from abc import abstractmethod
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, FiniteFloat

from recommender.config.preprocessing import Missing, ScaleMethod

Floats = npt.NDArray[np.float64]


class Step(BaseModel):
    """A fitted step. Immutable; reading one back checks every type and refuses what is no finite number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raises pydantic's ValidationError for anything else."""
        return cls.model_validate_json(text)

    @abstractmethod
    def describe(self) -> str:
        """What it does, in one line for people; no value of a row."""


class Log(Step):
    """sign(x) log(1 + |x|) of a heavily skewed column, for its other values as they are."""

    applied: bool
    skewness: FiniteFloat
    """Of the known training values: the third standardised moment."""

    @classmethod
    def fit(cls, values: Floats, declared: bool, threshold: float | None) -> Self:
        """`declared` columns always take the log, others when their skewness is above the threshold."""
        skewness = _skewness(values[~np.isnan(values)])
        return cls(applied=declared or (threshold is not None and skewness > threshold), skewness=skewness)

    def transform(self, values: Floats) -> Floats:
        if not self.applied:
            return values
        size = np.log1p(np.abs(values))
        return np.copysign(size, values, out=size)

    def inverse(self, value: float) -> float:
        """The number that the log makes `value` of."""
        return float(np.copysign(np.expm1(abs(value)), value)) if self.applied else value

    def describe(self) -> str:
        return f"{'log, ' if self.applied else ''}skewness {self.skewness:.2f}"


class Fill(Step):
    """One number for all missing ones."""

    method: Missing
    value: FiniteFloat
    missing_share: FiniteFloat
    """Of the training rows."""

    @classmethod
    def fit(cls, values: Floats, method: Missing) -> Self:
        present = values[~np.isnan(values)]
        share = 1 - len(present) / len(values) if len(values) else 0.0
        if len(present) == 0 or method == "zero":
            return cls(method=method, value=0.0, missing_share=share)
        value = np.median(present) if method == "median" else present.mean()
        return cls(method=method, value=float(value), missing_share=share)

    def transform(self, values: Floats) -> Floats:
        return np.where(np.isnan(values), self.value, values)

    def describe(self) -> str:
        return f"{self.missing_share:.1%} missing, taken as the {self.method} {self.value:.4g}"


class Cap(Step):
    """Bounds at so many standard deviations from the mean of the training values, capped ones included.

    Mean and deviation are not taken again from the capped values: of a rare flag the deviation would shrink as
    fast as the bounds, and the cap would bound nothing.
    """

    low: FiniteFloat | None
    high: FiniteFloat | None
    capped_share: FiniteFloat
    """Of the training rows, beyond the bounds."""

    @classmethod
    def fit(cls, values: Floats, deviations: float | None) -> Self:
        """`deviations` None caps nothing."""
        if deviations is None:
            return cls(low=None, high=None, capped_share=0.0)
        mean, deviation = _moments(values)
        low, high = mean - deviations * deviation, mean + deviations * deviation
        share = float(((values < low) | (values > high)).mean()) if len(values) else 0.0
        return cls(low=low, high=high, capped_share=share)

    def transform(self, values: Floats) -> Floats:
        return values if self.low is None else np.clip(values, self.low, self.high)

    def describe(self) -> str:
        if self.low is None:
            return "not capped"
        return f"capped to {self.low:.4g} … {self.high:.4g}, {self.capped_share:.2%} beyond"


class Scale(Step):
    """(x - centre) / width; `minmax` ends at 0 and 1 for values beyond those of training too."""

    method: ScaleMethod
    centre: FiniteFloat
    width: FiniteFloat

    @classmethod
    def fit(cls, values: Floats, cap: Cap, method: ScaleMethod) -> Self:
        """`standard` measures the values before the cap, in whose terms the cap is; the others what it leaves."""
        if method == "none" or len(values) == 0:
            return cls(method=method, centre=0.0, width=1.0)
        if method == "standard":
            centre, width = _moments(values)
            return cls(method=method, centre=centre, width=width)
        capped = cap.transform(values)
        if method == "minmax":
            centre, high = float(capped.min()), float(capped.max())
            return cls(method=method, centre=centre, width=_solid(high - centre, centre))
        quarter, centre, three_quarters = (float(value) for value in np.quantile(capped, [0.25, 0.5, 0.75]))
        width = three_quarters - quarter
        # a column that is mostly one value has no interquartile range
        return cls(method=method, centre=centre, width=width if _solid(width, centre) == width else _moments(capped)[1])

    def transform(self, values: Floats) -> Floats:
        if self.method == "none":
            return values
        scaled = (values - self.centre) / self.width
        return np.clip(scaled, 0, 1) if self.method == "minmax" else scaled

    def describe(self) -> str:
        match self.method:
            case "standard":
                return f"mean {self.centre:.4g}, deviation {self.width:.4g}"
            case "minmax":
                return f"{self.centre:.4g} … {self.centre + self.width:.4g} as 0 … 1"
            case "robust":
                return f"median {self.centre:.4g}, width {self.width:.4g}"
            case "none":
                return "not scaled"


def _moments(values: Floats) -> tuple[float, float]:
    """Mean and a standard deviation to divide by."""
    if len(values) == 0:
        return 0.0, 1.0
    mean = float(values.mean())
    return mean, _solid(float(values.std()), mean)


def _solid(width: float, centre: float) -> float:
    """The width, unless it is rounding noise: a constant carries nothing, and any scale will do."""
    size = max(1.0, abs(centre))
    return width if width > 1e-6 * size else size


def _skewness(values: Floats) -> float:
    """Third standardised moment (Fisher-Pearson); 0 for a constant."""
    if len(values) == 0:
        return 0.0
    largest = float(np.abs(values).max())
    if largest == 0:
        return 0.0
    apart = values / largest - values.mean() / largest
    square = apart * apart
    variance = float(square.mean())
    return float((square * apart).mean() / variance**1.5) if variance > 1e-12 else 0.0
