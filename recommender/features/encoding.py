"""Declared features as numbers a model reads; every statistic comes from training rows and travels with the model."""

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from recommender.config.preprocessing import Preprocessing, Steps
from recommender.errors import ArtifactError, TrainingError
from recommender.features.definitions import Entity, Feature
from recommender.features.preprocessing import Cap, Fill, Floats, Log, Scale, Step, Vocabulary

IMPLAUSIBLE = 1e30
"""Numbers at least this large, and infinities, are taken as missing."""


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
        return cls(name=feature.name, vocabulary=Vocabulary.fit(column, steps.rare_category_count))

    def transform(self, column: pd.Series) -> npt.NDArray[np.int32]:
        """(rows,) indices: 0 missing, 1 rare or never met in training, 2 and up by frequency."""
        return self.vocabulary.transform(column)

    def describe(self) -> str:
        return self.vocabulary.describe()


class FeatureEncoder(Step):
    """Turns a frame of declared features into one float and one integer matrix.

    A numeric feature becomes two columns: its prepared value and a flag that is 1 where it was missing. A
    categorical feature becomes one column of indices. Values don't depend on the other rows of the frame.
    """

    rows: int
    """Training rows the statistics are from."""
    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, features: list[Feature], preprocessing: Preprocessing | None = None) -> Self:
        """Learn every statistic from training rows, one row an example.

        Raises
        ------
        TrainingError
            A declared feature is not a column of `frame`.
        """
        _require(frame, [feature.name for feature in features])
        settings = preprocessing or Preprocessing()
        numeric = [feature for feature in features if feature.kind == "numeric"]
        categorical = [feature for feature in features if feature.kind == "categorical"]
        return cls(
            rows=len(frame),
            numeric=tuple(NumericColumn.fit(frame[f.name], f, settings.steps(f.name)) for f in numeric),
            categorical=tuple(CategoricalColumn.fit(frame[f.name], f, settings.steps(f.name)) for f in categorical),
        )

    @property
    def numeric_width(self) -> int:
        """Columns of the float matrix."""
        return 2 * len(self.numeric)

    @property
    def category_sizes(self) -> list[int]:
        """Indices each column of the integer matrix may hold."""
        return [len(column.vocabulary) for column in self.categorical]

    def transform(self, frame: pd.DataFrame) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Encode a frame.

        Returns
        -------
        numbers : (rows, 2 x numeric features) float32
            Values and missing flags side by side; never NaN or infinite.
        categories : (rows, categorical features) int32

        Raises
        ------
        TrainingError
            A feature the encoder was fitted with is not a column of `frame`.
        """
        _require(frame, [column.name for column in (*self.numeric, *self.categorical)])
        numbers = np.zeros((len(frame), self.numeric_width), np.float32)
        for place, number in enumerate(self.numeric):
            numbers[:, 2 * place], numbers[:, 2 * place + 1] = number.transform(frame[number.name])
        categories = np.zeros((len(frame), len(self.categorical)), np.int32)
        for place, category in enumerate(self.categorical):
            categories[:, place] = category.transform(frame[category.name])
        return numbers, categories

    def describe(self) -> str:
        """A line a feature."""
        return "\n".join(f"{column.name}: {column.describe()}" for column in (*self.numeric, *self.categorical))


def save_encoder(encoder: FeatureEncoder, entity: Entity, folder: Path) -> None:
    """Write an encoder into a model's folder."""
    _file(entity, folder).write_text(encoder.to_json(), encoding="utf-8")


def load_encoder(entity: Entity, folder: Path) -> FeatureEncoder:
    """Read what `save_encoder` wrote.

    Raises
    ------
    ArtifactError
        There is none, or its statistics are not what this version of the program writes.
    """
    path = _file(entity, folder)
    try:
        return FeatureEncoder.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else type(error).__name__
        raise ArtifactError(f"{path} does not hold preprocessing statistics ({where}): train the night again") from None


def _file(entity: Entity, folder: Path) -> Path:
    return folder / f"{entity}_encoder.json"


def _require(frame: pd.DataFrame, names: list[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise TrainingError(
            f"feature rows lack {', '.join(missing)} (they have {', '.join(map(str, frame.columns))}): "
            "build the feature snapshots again with this profile"
        )


def _plausible(column: pd.Series) -> Floats:
    """Values with NaN for whatever is no number."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.abs(values) < IMPLAUSIBLE, values, np.nan)
