"""GMF, MLP and NeuMF as one torch module: indices in, logits out.

From He et al., "Neural collaborative filtering" (WWW 2017). The first dense layer over a user's and an item's
embedding side by side is the sum of a layer over each. So it is computed once a user and once an item, and what
is left for every pair begins with that sum.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recommender.config.ncf import Ncf as NcfConfig
from recommender.features.encoding.fitted_columns import CategoryInput
from recommender.models.towers.parts import CategoryEmbeddings

INITIAL_SCALE = 0.1
"""Standard deviation of fresh embeddings."""


class Part(NamedTuple):
    """What a user, or an item, brings to every pair; empty where the architecture lacks that branch."""

    factors: Tensor
    """(..., dimension) to be multiplied."""
    hidden: Tensor
    """(..., first layer's width) to be added."""


class Side(nn.Module):
    """The embeddings of the users, or of the items."""

    def __init__(self, ids: int, categories: Sequence[CategoryInput], config: NcfConfig, *, bias: bool) -> None:
        super().__init__()
        self._factors = 0 if config.architecture == "mlp" else config.dimension
        deep = 0 if config.architecture == "gmf" else config.dimension
        width = self._factors + deep
        self.ids = nn.Embedding(ids + 1, width)
        self.categories = CategoryEmbeddings(categories, width)
        self.first = nn.Linear(deep, config.layers[0], bias=bias) if deep else None
        for embedding in (self.ids, *self.categories):
            nn.init.normal_(embedding.weight, std=INITIAL_SCALE)
            with torch.no_grad():
                embedding.weight[0].zero_()

    def forward(self, ids: Tensor, categories: Tensor) -> Part:
        """From (n,) ids with 0 for unknown ones, and (n, categories)."""
        embedded = self.embed(ids, categories)
        deep = embedded[..., self._factors :]
        return Part(embedded[..., : self._factors], deep if self.first is None else self.first(deep))

    def embed(self, ids: Tensor, categories: Tensor) -> Tensor:
        """(n, width): the embeddings of all branches side by side."""
        return self.categories.add_to(self.ids(ids), categories)


class NcfNetwork(nn.Module):
    """Logit of a user and an item.

    Parameters
    ----------
    users, items
        Ids with an embedding of their own; one more stands for the unknown.
    user_categories, item_categories
        Categorical inputs beside the ids.
    """

    def __init__(
        self,
        users: int,
        items: int,
        user_categories: Sequence[CategoryInput],
        item_categories: Sequence[CategoryInput],
        config: NcfConfig,
    ) -> None:
        super().__init__()
        self.user = Side(users, user_categories, config, bias=False)
        self.item = Side(items, item_categories, config, bias=True)
        self.factor_output = nn.Linear(config.dimension, 1, bias=False) if config.architecture != "mlp" else None
        self.deep: nn.Sequential | None = None
        if config.architecture != "gmf":
            steps: list[nn.Module] = [nn.ReLU(inplace=True), nn.Dropout(config.dropout)]
            for inputs, outputs in zip(config.layers, config.layers[1:], strict=False):
                steps += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(config.dropout)]
            self.deep = nn.Sequential(*steps, nn.Linear(config.layers[-1], 1, bias=False))
        self.bias = nn.Parameter(torch.zeros(1))
        if self.factor_output is not None:
            nn.init.constant_(self.factor_output.weight, 1.0)  # starts as a dot product

    def forward(self, user: Tensor, item: Tensor, user_categories: Tensor, item_categories: Tensor) -> Tensor:
        """(n,) logits from (n,) indices, 0 for unknown ids, and (n, categories) of each."""
        return self.pairs(self.user(user, user_categories), self.item(item, item_categories))

    def pairs(self, users: Part, items: Part) -> Tensor:
        """(...) logits of parts whose shapes fit each other but for the last axis."""
        logits: Tensor = self.bias
        if self.factor_output is not None:
            logits = logits + self.factor_output(users.factors * items.factors).squeeze(-1)
        if self.deep is not None:
            logits = logits + self.deep(users.hidden + items.hidden).squeeze(-1)
        return logits

    def block(self, users: Part, items: Part) -> Tensor:
        """(users, items) logits of every pair."""
        logits: Tensor = self.bias
        if self.factor_output is not None:
            logits = logits + (users.factors * self.factor_output.weight) @ items.factors.T
        if self.deep is not None:
            logits = logits + self.deep(users.hidden.unsqueeze(1) + items.hidden).squeeze(-1)
        return logits
