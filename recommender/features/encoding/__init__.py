"""Declared features as numbers a model reads; every statistic comes from training rows and travels with the model."""

from pathlib import Path
from typing import Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from recommender.config.preprocessing import Preprocessing
from recommender.errors import ArtifactError, TrainingError
from recommender.features.definitions import Feature
from recommender.features.encoding.fitted_columns import (
    CategoricalColumn,
    CategoryInput,
    MultiCategoryColumn,
    NumericColumn,
    VectorColumn,
)
from recommender.features.encoding.preprocessing import Step
from recommender.features.measures import Entity, Kind

MAX_CATEGORIES = 8


class FeatureEncoder(Step):
    """Turns a frame of declared features into one float and one integer matrix.

    A numeric feature becomes two columns: its prepared value and a flag that is 1 where it was missing. A vector
    becomes its numbers and one such flag. A categorical feature becomes one column of indices, a feature with any
    number of categories several. Values don't depend on the other rows of the frame.
    """

    rows: int
    """Training rows the statistics are from."""
    numeric: tuple[NumericColumn, ...]
    vectors: tuple[VectorColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    multi_categorical: tuple[MultiCategoryColumn, ...]

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        features: list[Feature],
        preprocessing: Preprocessing | None = None,
        max_categories: int = MAX_CATEGORIES,
    ) -> Self:
        """Learn every statistic from training rows, one row an example.

        Parameters
        ----------
        max_categories
            Of a row with more categories the first ones are read.

        Raises
        ------
        TrainingError
            A declared feature is not a column of `frame`, or a vector is not as wide as declared.
        """
        _require(frame, [feature.name for feature in features])
        settings = preprocessing or Preprocessing()
        of_kind = {kind: [f for f in features if f.kind == kind] for kind in get_args(Kind)}
        return cls(
            rows=len(frame),
            numeric=tuple(NumericColumn.fit(frame[f.name], f, settings.steps(f.name)) for f in of_kind["numeric"]),
            vectors=tuple(VectorColumn.fit(frame[f.name], f) for f in of_kind["vector"]),
            categorical=tuple(
                CategoricalColumn.fit(frame[f.name], f, settings.steps(f.name)) for f in of_kind["categorical"]
            ),
            multi_categorical=tuple(
                MultiCategoryColumn.fit(frame[f.name], f, settings.steps(f.name), max_categories)
                for f in of_kind["categories"]
            ),
        )

    @property
    def columns(self) -> tuple[NumericColumn | VectorColumn | CategoricalColumn | MultiCategoryColumn, ...]:
        """All of them, in the order of the matrices' columns."""
        return (*self.numeric, *self.vectors, *self.of_categories)

    @property
    def of_categories(self) -> tuple[CategoricalColumn | MultiCategoryColumn, ...]:
        """Those of the integer matrix."""
        return (*self.categorical, *self.multi_categorical)

    @property
    def numeric_width(self) -> int:
        """Columns of the float matrix."""
        return 2 * len(self.numeric) + sum(column.width + 1 for column in self.vectors)

    @property
    def category_inputs(self) -> list[CategoryInput]:
        """Features of the integer matrix, in the order of its columns."""
        return [column.inputs for column in self.of_categories]

    def transform(self, frame: pd.DataFrame) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Encode a frame.

        Returns
        -------
        numbers : (rows, numeric_width) float32
            Values and missing flags side by side; never NaN or infinite.
        categories : (rows, columns of all `category_inputs`) int32

        Raises
        ------
        TrainingError
            A feature the encoder was fitted with is not a column of `frame`, or a vector is not as wide as declared.
        """
        _require(frame, [column.name for column in self.columns])
        numbers = np.zeros((len(frame), self.numeric_width), np.float32)
        for place, number in enumerate(self.numeric):
            numbers[:, 2 * place], numbers[:, 2 * place + 1] = number.transform(frame[number.name])
        place = 2 * len(self.numeric)
        for vector in self.vectors:
            end = place + vector.width
            numbers[:, place:end], numbers[:, end] = vector.transform(frame[vector.name])
            place = end + 1
        categories = np.zeros((len(frame), sum(columns for _, columns in self.category_inputs)), np.int32)
        place = 0
        for category in self.of_categories:
            end = place + category.inputs.columns
            categories[:, place:end] = category.transform(frame[category.name])
            place = end
        return numbers, categories

    def describe(self) -> str:
        """A line a feature."""
        return "\n".join(f"{column.name}: {column.describe()}" for column in self.columns)


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
