"""What a tower reads of a feature that nobody knows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from recommender.features.encoding import FeatureEncoder
from recommender.models.explaining.contributions import Input


class Metadata(NamedTuple):
    """Encoded features of n users or items."""

    categories: Tensor
    """(n, columns) int64"""
    numbers: Tensor
    """(n, columns) float32"""


class Unknown:
    """Takes features away: they become what the encoder makes of missing ones.

    A feature that was never missing in training takes the value that stands for missing ones without the flag beside
    it, which no training row has shown.

    Parameters
    ----------
    encoder
        The tower's.
    """

    def __init__(self, encoder: FeatureEncoder) -> None:
        self._numbers: dict[str, tuple[slice, npt.NDArray[np.float32]]] = {}
        self._categories: dict[str, slice] = {}
        place = 0
        for number in encoder.numeric:
            value, _ = number.transform(pd.Series([np.nan]))
            flag = float(number.fill.missing_share > 0)
            self._numbers[number.name] = slice(place, place + 2), np.array([value[0], flag], np.float32)
            place += 2
        for vector in encoder.vectors:
            row = np.zeros(vector.width + 1, np.float32)
            row[-1] = float(vector.missing_share > 0)
            self._numbers[vector.name] = slice(place, place + vector.width + 1), row
            place += vector.width + 1
        place = 0
        for category in encoder.of_categories:
            self._categories[category.name] = slice(place, place + category.inputs.columns)
            place += category.inputs.columns

    @property
    def columns(self) -> dict[str, slice]:
        """Of the float matrix, by feature."""
        return {name: columns for name, (columns, _) in self._numbers.items()}

    def without(self, known: Metadata, features: Sequence[str]) -> Metadata:
        """The same rows, as copies, with these features unknown."""
        categories, numbers = known.categories.clone(), known.numbers.clone()
        for name in features:
            if name in self._numbers:
                columns, row = self._numbers[name]
                numbers[:, columns] = torch.from_numpy(row).to(numbers.device)
            else:
                categories[:, self._categories[name]] = 0
        return Metadata(categories, numbers)

    def excess(self, known: Metadata, one: Input, less: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n,) by how much an input's numbers are above the unknown ones, in sum; those of `less` count below."""
        total = np.zeros(len(known.numbers), np.float32)
        for name in one.features:
            if name in self._numbers:
                columns, row = self._numbers[name]
                above = known.numbers[:, columns.start].cpu().numpy() - row[0]
                total += -above if name in less else above
        return total
