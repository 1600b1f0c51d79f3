"""What both towers are made of: tables of ids and categories, and dense layers over metadata."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.features.encoding.fitted_columns import CategoryInput

INITIAL_SCALE = 0.5
"""Length of a fresh id embedding; the metadata's are as long together."""
SMALL = 0.01
"""Spread of biases that keep a vector without any input off zero, where it would have no direction."""


class IdEmbedding(nn.Embedding):
    """Vectors of ids; index 0 is whoever is unknown. Its `max_norm` is for the optimisers to keep."""

    def forward(self, ids: Tensor) -> Tensor:
        # without `max_norm`, which would cut the rows that are read: a batch that is read again, to go on after a
        # kill, or by another process, would then change weights
        return nn.functional.embedding(ids, self.weight, self.padding_idx, sparse=self.sparse)


class CategoryEmbeddings(nn.ModuleList):
    """An embedding a feature; one with several categories counts as the mean of theirs."""

    def __init__(self, inputs: Sequence[CategoryInput], dimension: int) -> None:
        super().__init__(nn.Embedding(indices, dimension, padding_idx=0) for indices, _ in inputs)
        self._columns = [columns for _, columns in inputs]

    def embeddings(self) -> list[nn.Embedding]:
        """One a feature, in their order."""
        return [embedding for embedding in self if isinstance(embedding, nn.Embedding)]

    def add_to(self, total: Tensor, categories: Tensor) -> Tensor:
        """(..., dimension) `total` and every feature's vector, from (..., columns of all features) indices."""
        start = 0
        for embedding, columns in zip(self, self._columns, strict=True):
            vector: Tensor = embedding(categories[..., start])
            # a column at a time: all at once would hold as many vectors as there are columns
            for column in range(start + 1, start + columns):
                vector = vector + embedding(categories[..., column])
            if columns > 1:
                present = (categories[..., start : start + columns] != 0).sum(-1, keepdim=True)
                vector = vector / present.clamp(min=1)
            total = total + vector
            start += columns
        return total


class LoneRowBatchNorm(nn.BatchNorm1d):
    """BatchNorm that takes a lone row by the running statistics: one row has no spread to divide by."""

    def forward(self, rows: Tensor) -> Tensor:
        if not self.training or len(rows) > 1:
            return super().forward(rows)
        return nn.functional.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Dense(nn.Sequential):
    """Dense layers over metadata: Linear, normalisation, ReLU and dropout for each of `hidden`, then Linear."""

    def __init__(self, inputs: int, config: TwoTowerConfig, scale: float) -> None:
        layers: list[nn.Module] = []
        for width in config.hidden:
            layers.append(nn.Linear(inputs, width))
            if config.normalisation == "batch":
                layers.append(LoneRowBatchNorm(width))
            elif config.normalisation == "layer":
                layers.append(nn.LayerNorm(width))
            layers += [nn.ReLU(), nn.Dropout(config.dropout)]
            inputs = width
        last = nn.Linear(inputs, config.dimension)
        # as long as a fresh id's vector: half of the squares pass ReLU
        nn.init.normal_(last.weight, std=scale * (2 / (inputs * config.dimension)) ** 0.5)
        nn.init.normal_(last.bias, std=SMALL)
        super().__init__(*layers, last)


def initialise(embedding: nn.Embedding, dimension: int) -> None:
    """Random directions of length `INITIAL_SCALE`, none for the unknown."""
    nn.init.normal_(embedding.weight, std=INITIAL_SCALE / dimension**0.5)
    with torch.no_grad():
        embedding.weight[0].zero_()
