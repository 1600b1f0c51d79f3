"""The item tower and the user tower."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.features.encoding.fitted_columns import CategoryInput
from recommender.models.towers.fusion import FUSIONS
from recommender.models.towers.history import history_encoder
from recommender.models.towers.parts import INITIAL_SCALE, SMALL, CategoryEmbeddings, Dense, IdEmbedding, initialise
from recommender.training.batches import trained_length


class Encoded(NamedTuple):
    """What a tower makes of n rows."""

    vector: Tensor
    """(n, vector_width)"""
    augmented: Tensor | None
    """(n, dimension) what shall imitate the other tower's vector, where the fusion has it."""


class Tower(nn.Module):
    """What both towers have: an id's own vector, an encoder of metadata, and their fusion.

    Parameters
    ----------
    ids
        Known ones; index 0 of the table is added for the rest.
    categories, numbers
        Features of the integer matrix, columns of the float matrix.
    metadata_scale
        Length of what fresh dense layers give.
    """

    def __init__(
        self,
        ids: int,
        categories: Sequence[CategoryInput],
        numbers: int,
        config: TwoTowerConfig,
        *,
        own_ids: bool,
        metadata_scale: float,
    ) -> None:
        super().__init__()
        width = config.dimension
        id_width = config.id_dimension or width
        has_metadata = config.fusion != "identity"
        self.ids = (
            IdEmbedding(ids + 1, id_width, padding_idx=0, max_norm=config.max_norm, sparse=config.sparse_ids)
            if own_ids
            else None
        )
        self.categories = CategoryEmbeddings(categories if has_metadata else (), width)
        self.numbers = nn.Linear(numbers, width) if has_metadata and not config.hidden else None
        self.project = nn.Linear(id_width, width, bias=False) if own_ids and id_width != width else None
        if self.project is not None:
            nn.init.normal_(self.project.weight, std=width**-0.5)
        self.dense = Dense(width + numbers, config, metadata_scale) if has_metadata and config.hidden else None
        fusion = FUSIONS.get(config.fusion) if own_ids else None
        self.fusion = fusion(width, ids + 1, config.sparse_ids) if fusion is not None else None
        self._width = width
        self._cosine = config.similarity == "cosine"
        self._bias = config.item_bias

    def own(self, ids: Tensor) -> Tensor:
        """(..., dimension) vectors of the ids themselves, zero for unknown ones."""
        if self.ids is None:
            return torch.zeros(1, device=ids.device).expand(*ids.shape, self._width)
        vectors: Tensor = self.ids(ids) if self.project is None else self.project(self.ids(ids))
        return vectors

    def with_metadata(self, total: Tensor, categories: Tensor, numbers: Tensor) -> Tensor:
        """(n, dimension) `total` and the metadata's vector."""
        if self.dense is not None:
            found = self.categories.add_to(torch.zeros_like(total), categories)
            described: Tensor = self.dense(torch.cat([found, numbers], dim=-1))
            return total + described
        if self.numbers is not None:
            total = total + self.numbers(numbers)
        return self.categories.add_to(total, categories)

    def _directed(self, taste: Tensor) -> Tensor:
        return nn.functional.normalize(taste, dim=-1) if self._cosine else taste


class ItemTower(Tower):
    """An item's vector from its id, its categories (creator among them) and its numbers.

    With `item_bias` the last column of the output is no direction of taste but a bias: how popular the item is
    beyond what its vector says, from its id and its numbers. The user tower answers it with a constant, so that a
    score stays a dot product.
    """

    def __init__(self, items: int, categories: Sequence[CategoryInput], numbers: int, config: TwoTowerConfig) -> None:
        super().__init__(items, categories, numbers, config, own_ids=config.item_ids, metadata_scale=INITIAL_SCALE)
        self.id_bias = nn.Embedding(items + 1, 1, padding_idx=0) if config.item_bias and config.item_ids else None
        self.number_bias = nn.Linear(numbers, 1) if config.item_bias and config.fusion != "identity" else None
        if self.ids is not None:
            initialise(self.ids, self.ids.embedding_dim)
        for embedding in self.categories.embeddings():
            initialise(embedding, config.dimension)
        for part in (self.id_bias, self.number_bias, self.numbers):
            if part is not None:
                nn.init.zeros_(part.weight)
        for linear in (self.numbers, self.number_bias):
            if linear is not None:
                nn.init.zeros_(linear.bias)

    def content(self, ids: Tensor, categories: Tensor) -> Tensor:
        """(..., dimension) from (...) ids and (..., categories): what histories pool, without what changes nightly."""
        return self.categories.add_to(self.own(ids), categories)

    def encode(self, content: Tensor, ids: Tensor, categories: Tensor, numbers: Tensor) -> Encoded:
        """From (n, dimension) content, (n,) ids, (n, categories) and (n, numbers)."""
        augmented = None
        if self.fusion is not None:
            own = self.own(ids)
            known = self.with_metadata(torch.zeros_like(own), categories, numbers)
            taste, augmented = self.fusion(ids, own, known)
        elif self.dense is not None:
            taste = self.with_metadata(self.own(ids), categories, numbers)
        else:
            taste = content if self.numbers is None else content + self.numbers(numbers)
        return Encoded(self._with_bias(self._directed(taste), ids, numbers), augmented)

    def finish(self, content: Tensor, ids: Tensor, categories: Tensor, numbers: Tensor) -> Tensor:
        """(n, vector_width) likewise, the vectors alone."""
        return self.encode(content, ids, categories, numbers).vector

    def forward(self, ids: Tensor, categories: Tensor, numbers: Tensor) -> Tensor:
        """(n, vector_width) from (n,) ids with 0 for unknown ones, (n, categories) and (n, numbers)."""
        return self.finish(self.content(ids, categories), ids, categories, numbers)

    def _with_bias(self, taste: Tensor, ids: Tensor, numbers: Tensor) -> Tensor:
        if not self._bias:
            return taste
        parts = [] if self.id_bias is None else [self.id_bias(ids)]
        if self.number_bias is not None:
            parts.append(self.number_bias(numbers))
        return torch.cat([taste, sum(parts[1:], parts[0])], dim=-1)


class UserTower(Tower):
    """A user's vector from the items they met, their own id, their categories and their numbers."""

    def __init__(self, users: int, categories: Sequence[CategoryInput], numbers: int, config: TwoTowerConfig) -> None:
        super().__init__(users, categories, numbers, config, own_ids=config.user_ids, metadata_scale=0.0)
        trained = trained_length(config.history_length, config.history_dropout)
        self.history = history_encoder(config.history, config.dimension, config.history_length, trained)
        self.dropout = nn.Dropout(config.dropout)
        for embedding in self.categories.embeddings():
            nn.init.zeros_(embedding.weight)
        if self.numbers is not None:
            nn.init.zeros_(self.numbers.weight)
            nn.init.normal_(self.numbers.bias, std=SMALL)
        if self.ids is not None and config.fusion == "identity":
            # without metadata nothing else would give a direction to users without history
            initialise(self.ids, self.ids.embedding_dim)
        elif self.ids is not None:
            nn.init.zeros_(self.ids.weight)

    def encode(
        self,
        history: Tensor | None,
        age: Tensor | None,
        present: Tensor | None,
        ids: Tensor,
        categories: Tensor,
        numbers: Tensor,
    ) -> Encoded:
        """See `forward`."""
        pooled, described = self.pooled(history, age, present, ids, categories, numbers)
        return self.finish(pooled, ids, categories, numbers, described)

    def pooled(
        self,
        history: Tensor | None,
        age: Tensor | None,
        present: Tensor | None,
        ids: Tensor,
        categories: Tensor,
        numbers: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """(n, dimension) of the history, zero where none is read, and of the metadata where the history reads it."""
        if self.history is None or history is None or present is None:
            return torch.zeros(ids.shape[0], self._width, device=ids.device), None
        query, described = None, None
        if self.history.reads_query:
            described = self.with_metadata(torch.zeros_like(history[:, 0]), categories, numbers)
            query = described + history[:, 0] * present[:, :1]
        return self.dropout(self.history(history, age, present, query)), described

    def finish(
        self, taste: Tensor, ids: Tensor, categories: Tensor, numbers: Tensor, described: Tensor | None = None
    ) -> Encoded:
        """From what `pooled` gives."""
        if self.fusion is None:
            taste = taste + self.own(ids) if self.ids is not None else taste
        taste = self.with_metadata(taste, categories, numbers) if described is None else taste + described
        augmented = None
        if self.fusion is not None:
            taste, augmented = self.fusion(ids, self.own(ids), taste)
        taste = self._directed(taste)
        if self._bias:
            taste = torch.cat([taste, torch.ones_like(taste[:, :1])], dim=-1)
        return Encoded(taste, augmented)

    def forward(
        self,
        history: Tensor | None,
        age: Tensor | None,
        present: Tensor | None,
        ids: Tensor,
        categories: Tensor,
        numbers: Tensor,
    ) -> Tensor:
        """User vectors; with `item_bias` the last column is the constant that answers it.

        Parameters
        ----------
        history
            (n, history, dimension) content of the items met, most recent first; None where `history` is `none`, and
            so are the next two.
        age
            (n, history) days since each was met.
        present
            (n, history) False where the history is shorter.
        ids
            (n,) 0 for unknown users.
        categories, numbers
            (n, categories) and (n, numbers).

        Returns
        -------
        (n, vector_width)
        """
        return self.encode(history, age, present, ids, categories, numbers).vector
