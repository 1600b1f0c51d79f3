"""One declared feature's fitted steps: from a column of a frame to columns of a matrix."""

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import FiniteFloat, PositiveInt

from recommender.config.preprocessing import Steps
from recommender.errors import TrainingError
from recommender.features.definitions import Feature
from recommender.features.encoding.preprocessing import Cap, Fill, Floats, Log, Scale, Step
from recommender.features.encoding.vocabulary import Values, Vocabulary

IMPLAUSIBLE = 1e30
"""Numbers at least this large, and infinities, are taken as missing."""


class CategoryInput(NamedTuple):
    """A feature's share of the integer matrix."""

    indices: int
    """How many different ones its columns may hold."""
    columns: int


class Column(Step):
    """One feature's fitted steps."""

    name: str


class NumericColumn(Column):
    """A numeric feature's steps, in their order."""

    log: Log
    fill: Fill
    cap: Cap
    scale: Scale

    @classmethod
    def fit(cls, column: pd.Series, feature: Feature, steps: Steps) -> Self:
        plausible = _plausible(column)
        log = Log.fit(plausible, feature.skewed, steps.log_skewness)
        logged = log.transform(plausible)
        fill = Fill.fit(logged, steps.missing)
        filled = fill.transform(logged)
        cap = Cap.fit(filled, steps.cap_deviations)
        return cls(name=feature.name, log=log, fill=fill, cap=cap, scale=Scale.fit(filled, cap, steps.scale))

    def transform(self, column: pd.Series) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """(rows,) prepared values, and where they were missing."""
        plausible = _plausible(column)
        filled = self.fill.transform(self.log.transform(plausible))
        return self.scale.transform(self.cap.transform(filled)), np.isnan(plausible)

    def describe(self) -> str:
        return "; ".join(step.describe() for step in (self.log, self.fill, self.cap, self.scale))


class CategoricalColumn(Column):
    """A categorical feature's vocabulary."""

    vocabulary: Vocabulary

    @classmethod
    def fit(cls, column: pd.Series, feature: Feature, steps: Steps) -> Self:
        return cls(name=feature.name, vocabulary=Vocabulary.of_steps(Values.of(column), steps))

    def transform(self, column: pd.Series) -> npt.NDArray[np.int32]:
        """(rows, 1) indices: 0 missing, 1 rare or never met in training, 2 and up by frequency."""
        return self.vocabulary.transform(column)[:, np.newaxis]

    @property
    def inputs(self) -> CategoryInput:
        return CategoryInput(len(self.vocabulary), 1)

    def describe(self) -> str:
        return self.vocabulary.describe()


class MultiCategoryColumn(Column):
    """The vocabulary of a feature with any number of categories a row."""

    vocabulary: Vocabulary
    columns: PositiveInt
    """Of a row's categories so many are read."""

    @classmethod
    def fit(cls, column: pd.Series, feature: Feature, steps: Steps, columns: int) -> Self:
        vocabulary = Vocabulary.of_steps(Values.of_lists(column), steps)
        return cls(name=feature.name, vocabulary=vocabulary, columns=columns)

    def transform(self, column: pd.Series) -> npt.NDArray[np.int32]:
        """(rows, columns) indices in each row's own order without repetitions, then 0: rows without any have only 0."""
        return self.vocabulary.transform_lists(column, self.columns)

    @property
    def inputs(self) -> CategoryInput:
        return CategoryInput(len(self.vocabulary), self.columns)

    def describe(self) -> str:
        return f"{self.vocabulary.describe()}; the first {self.columns} of a row"


class VectorColumn(Column):
    """A vector feature, whose numbers are read as they are."""

    width: PositiveInt
    missing_share: FiniteFloat
    """Of the training rows."""

    @classmethod
    def fit(cls, column: pd.Series, feature: Feature) -> Self:
        if feature.width is None:
            raise TrainingError(f"{feature.name} is a vector whose width nobody declared")
        fitted = cls(name=feature.name, width=feature.width, missing_share=0.0)
        _, missing = fitted.transform(column)
        return fitted.model_copy(update={"missing_share": float(missing.mean()) if len(missing) else 0.0})

    def transform(self, column: pd.Series) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """(rows, width) the vectors, zero where they were missing or hold what is no number, and (rows,) where."""
        cells = column.to_numpy(object)
        missing = column.isna().to_numpy(np.bool_)
        known = np.flatnonzero(~missing)
        lengths = np.fromiter(map(len, cells[known]), np.int64, len(known))
        if (lengths != self.width).any():
            other = lengths[lengths != self.width][0]
            raise TrainingError(
                f"{self.name} holds vectors of {other} numbers in place of {self.width}: "
                "build the feature snapshots again with this profile"
            )
        with np.errstate(over="ignore"):
            flat = np.concatenate([*cells[known], np.zeros(0)], dtype=np.float32, casting="unsafe")
        vectors = np.zeros((len(cells), self.width), np.float32)
        plausible = (np.abs(flat) < IMPLAUSIBLE).reshape(-1, self.width).all(axis=1)
        vectors[known[plausible]] = flat.reshape(-1, self.width)[plausible]
        missing[known[~plausible]] = True
        return vectors, missing

    def describe(self) -> str:
        return f"{self.width} numbers as they are; {self.missing_share:.1%} missing, taken as zeros"


def _plausible(column: pd.Series) -> Floats:
    """Values with NaN for whatever is no number."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.abs(values) < IMPLAUSIBLE, values, np.nan)
