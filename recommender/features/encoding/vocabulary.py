"""Categories as indices, one a row or any number of them; the indices come from training rows only."""

import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import FiniteFloat, NonNegativeInt, model_validator

from recommender.config.preprocessing import Steps
from recommender.features.encoding.preprocessing import Step

UNKNOWN = 0
"""Category index where there is no value, and the padding after a row's last one."""
OTHER = 1
"""Category index of a value too rare for one of its own, or never met in training."""
FIRST_NAMED = 2


@dataclass(frozen=True, eq=False)
class Values:
    """The categories of a column's rows: each different value of a row once, in the row's order."""

    row: npt.NDArray[np.intp]
    """(values,) which row has it, ascending."""
    code: npt.NDArray[np.intp]
    """(values,) position in `names`."""
    names: pd.Index
    """Different texts."""
    rows: int

    @classmethod
    def of(cls, column: pd.Series) -> Self:
        """Of a column with at most one category a row."""
        codes, names = _factorized(column)
        row = np.flatnonzero(codes >= 0)
        return cls(row, codes[row], names, len(codes))

    @classmethod
    def of_lists(cls, column: pd.Series) -> Self:
        """Of a column of arrays, lists or tuples; None, NaN and empty ones have no value."""
        cells = column.to_numpy(object)
        filled = np.flatnonzero(column.notna().to_numpy())
        lengths = np.fromiter(map(len, cells[filled]), np.intp, len(filled))
        flat = np.concatenate([*cells[filled], np.zeros(0, object)], dtype=object)
        codes, names = _factorized(pd.Series(flat, dtype=object))
        row = np.repeat(filled, lengths)
        first = ~pd.Series(row * (len(names) + 1) + codes).duplicated().to_numpy() & (codes >= 0)
        return cls(row[first], codes[first], names, len(column))


class Vocabulary(Step):
    """Categories as indices: 0 missing, 1 rare or never met in training, then the named ones by frequency."""

    values: tuple[str, ...]
    """The named ones; the first has index 2."""
    counts: tuple[int, ...]
    """Training rows of each."""
    missing_share: FiniteFloat
    """Of the training rows, without a value."""
    other_share: FiniteFloat
    """Of the training rows, with a value that has no name."""
    buckets: NonNegativeInt = 0
    """Indices after the named ones, shared by hash of those without a name; 0: they are OTHER."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.values)) != len(self.values) or len(self.values) != len(self.counts):
            raise ValueError("a vocabulary needs different values, each with its count")
        return self

    def __len__(self) -> int:
        """Number of indices, those of missing and other values included."""
        return len(self.values) + FIRST_NAMED + self.buckets

    @classmethod
    def of_steps(cls, values: Values, steps: Steps) -> Self:
        """Fitted as a profile says."""
        return cls.fit(values, steps.rare_category_count, steps.most_categories, steps.hash_buckets)

    @classmethod
    def fit(cls, values: Values, rare_count: int, most: int | None = None, buckets: int = 0) -> Self:
        """Name what at least `rare_count` rows have, the `most` most frequent of it."""
        counts = np.bincount(values.code, minlength=len(values.names))
        # by count, then by name: the same rows in any order give the same indices
        frequent = np.flatnonzero(counts >= rare_count).tolist()
        named = sorted(frequent, key=lambda code: (-counts[code], values.names[code]))[:most]
        nameless = np.ones(len(counts), bool)
        nameless[named] = False
        rows = max(1, values.rows)
        return cls(
            values=tuple(values.names[code] for code in named),
            counts=tuple(int(counts[code]) for code in named),
            missing_share=float((values.rows - _different(values.row)) / rows),
            other_share=float(_different(values.row[nameless[values.code]]) / rows),
            buckets=buckets,
        )

    def transform(self, column: pd.Series) -> npt.NDArray[np.int32]:
        """(rows,) indices of a column with at most one category a row."""
        codes, names = _factorized(column)
        # the last entry answers code -1, a missing value
        indices = np.append(self._indices(names), np.int32(UNKNOWN))
        encoded: npt.NDArray[np.int32] = indices[codes]
        return encoded

    def transform_lists(self, column: pd.Series, width: int) -> npt.NDArray[np.int32]:
        """(rows, width) indices of each row's first `width` different ones in its own order, then UNKNOWN."""
        values = Values.of_lists(column)
        index = self._indices(values.names)[values.code]
        # values without a name of their own are one and the same to the model
        first = ~pd.Series(values.row * len(self) + index).duplicated().to_numpy()
        row, index = values.row[first], index[first]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < width
        encoded = np.full((values.rows, width), UNKNOWN, np.int32)
        encoded[row[kept], place[kept]] = index[kept]
        return encoded

    def describe(self) -> str:
        others = f"in {self.buckets:,} hashed vectors" if self.buckets else "as other"
        shares = f"{self.other_share:.1%} rarer ones {others}, {self.missing_share:.1%} missing as unknown"
        return f"{len(self.values):,} categories, {shares}"

    def _indices(self, names: pd.Index) -> npt.NDArray[np.int32]:
        found = pd.Index(self.values, dtype=object).get_indexer(names)
        indices = np.where(found < 0, OTHER, found + FIRST_NAMED).astype(np.int32)
        if self.buckets:
            nameless = np.flatnonzero(found < 0)
            # CRC-32: the same bucket on every machine and in every year, as Python's own hash is not
            hashed = [zlib.crc32(str(name).encode()) % self.buckets for name in names[nameless]]
            indices[nameless] = np.array(hashed, np.int32) + np.int32(len(self.values) + FIRST_NAMED)
        return indices


def _factorized(column: pd.Series) -> tuple[npt.NDArray[np.intp], pd.Index]:
    """Codes, -1 for missing, and the different texts they stand for."""
    codes, uniques = pd.factorize(column)
    # 1 and "1" are one category
    same, names = pd.factorize(pd.Index([str(value) for value in uniques], dtype=object))
    return np.append(same, -1)[codes], names


def _different(rows: npt.NDArray[np.intp]) -> int:
    """How many different rows there are in an ascending array."""
    return int(np.count_nonzero(np.diff(rows))) + bool(len(rows))
