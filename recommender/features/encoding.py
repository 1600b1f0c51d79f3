"""Declared features as numbers a model reads; every statistic comes from training rows and travels with the model."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.errors import TrainingError
from recommender.features.definitions import Feature

UNKNOWN = 0
"""Category index of a missing value."""
OTHER = 1
"""Category index of a value too rare for one of its own, or never met in training."""
FIRST_NAMED = 2

CLIP = 3.0
"""Standard deviations beyond which a value tells nothing more."""
IMPLAUSIBLE = 1e30
"""Numbers at least this large, and infinities, are taken as missing."""


@dataclass(frozen=True)
class NumericStatistics:
    """What training rows said about one numeric feature, after the log where it is skewed."""

    name: str
    skewed: bool
    median: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Vocabulary:
    """The named values of one categorical feature, most frequent first; the first has index 2."""

    name: str
    values: tuple[str, ...]

    def __len__(self) -> int:
        """Number of indices, those of missing and other values included."""
        return len(self.values) + FIRST_NAMED


@dataclass(frozen=True)
class FeatureEncoder:
    """Turns a frame of declared features into one float and one integer matrix.

    A numeric feature becomes two columns: its value (log of skewed ones, median where missing, z-score,
    capped at 3 standard deviations) and a flag that is 1 where it was missing. A categorical feature
    becomes one column of indices: 0 missing, 1 rare or never met in training, 2 and up by frequency.
    """

    numeric: tuple[NumericStatistics, ...]
    categorical: tuple[Vocabulary, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, features: list[Feature], min_category_count: int = 1) -> Self:
        """Learn medians, scales and vocabularies from training rows, one row an example.

        Raises
        ------
        TrainingError
            A declared feature is not a column of `frame`.
        """
        _require(frame, [feature.name for feature in features])
        return cls(
            tuple(_statistics(frame[f.name], f.name, f.skewed) for f in features if f.kind == "numeric"),
            tuple(_vocabulary(frame[f.name], f.name, min_category_count) for f in features if f.kind == "categorical"),
        )

    @property
    def numeric_width(self) -> int:
        """Columns of the float matrix."""
        return 2 * len(self.numeric)

    @property
    def category_sizes(self) -> list[int]:
        """Indices each column of the integer matrix may hold."""
        return [len(vocabulary) for vocabulary in self.categorical]

    def transform(self, frame: pd.DataFrame) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Encode a frame.

        Returns
        -------
        numbers : (rows, 2 x numeric features) float32
            Values and missing flags side by side; never NaN or infinite, at most 3 in size.
        categories : (rows, categorical features) int32

        Raises
        ------
        TrainingError
            A feature the encoder was fitted with is not a column of `frame`.
        """
        _require(frame, [*(part.name for part in self.numeric), *(part.name for part in self.categorical)])
        numbers = np.zeros((len(frame), self.numeric_width), np.float32)
        for column, statistics in enumerate(self.numeric):
            values = _plausible(frame[statistics.name], statistics.skewed)
            missing = np.isnan(values)
            scaled = (np.where(missing, statistics.median, values) - statistics.mean) / statistics.deviation
            numbers[:, 2 * column] = np.clip(scaled, -CLIP, CLIP)
            numbers[:, 2 * column + 1] = missing
        categories = np.zeros((len(frame), len(self.categorical)), np.int32)
        for column, vocabulary in enumerate(self.categorical):
            categories[:, column] = _indices(frame[vocabulary.name], vocabulary)
        return numbers, categories

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        content: dict[str, list[dict[str, Any]]] = json.loads(text)
        return cls(
            tuple(NumericStatistics(**part) for part in content["numeric"]),
            tuple(Vocabulary(part["name"], tuple(part["values"])) for part in content["categorical"]),
        )


def _require(frame: pd.DataFrame, names: list[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise TrainingError(
            f"feature rows lack {', '.join(missing)} (they have {', '.join(map(str, frame.columns))}): "
            "build the feature snapshots again with this profile"
        )


def _plausible(column: pd.Series, skewed: bool) -> npt.NDArray[np.float64]:
    """Values with NaN for whatever is no number; on a log scale that keeps the sign where skewed."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    values = np.where(np.abs(values) < IMPLAUSIBLE, values, np.nan)
    return np.sign(values) * np.log1p(np.abs(values)) if skewed else values


def _statistics(column: pd.Series, name: str, skewed: bool) -> NumericStatistics:
    values = _plausible(column, skewed)
    present = values[~np.isnan(values)]
    median = float(np.median(present)) if len(present) else 0.0
    filled = np.where(np.isnan(values), median, values)
    mean = float(filled.mean()) if len(filled) else 0.0
    deviation = float(filled.std()) if len(filled) else 0.0
    # a constant column carries nothing: any scale will do, as long as rounding noise is not blown up
    if deviation <= 1e-6 * max(1.0, abs(mean)):
        deviation = max(1.0, abs(mean))
    return NumericStatistics(name, skewed, median, mean, deviation)


def _vocabulary(column: pd.Series, name: str, min_count: int) -> Vocabulary:
    counts = column.dropna().astype(str).value_counts()
    frequent = counts[counts >= min_count]
    # by count, then by name: the same rows in any order give the same indices
    return Vocabulary(name, tuple(sorted(frequent.index, key=lambda value: (-frequent[value], value))))


def _indices(column: pd.Series, vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
    missing = column.isna().to_numpy()
    found = pd.Index(vocabulary.values, dtype=object).get_indexer(pd.Index(column.astype(str), dtype=object))
    indices: npt.NDArray[np.int32] = np.where(found < 0, OTHER, found + FIRST_NAMED).astype(np.int32)
    indices[missing] = UNKNOWN
    return indices
