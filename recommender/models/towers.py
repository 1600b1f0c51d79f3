"""The two towers as torch modules: tensors in, vectors out, no data frames and no ids."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recommender.features.encoding.fitted_columns import CategoryInput

POOLING_HEADS = 2
"""Ways of weighing a history: one tends to become the recent taste, one the lasting."""
AGE_BUCKETS = 16
"""Ages of history items in powers of the square root of two times a day, the last one open."""
INITIAL_SCALE = 0.5
"""Length of a fresh id embedding; the metadata's are as long together."""


class CategoryEmbeddings(nn.ModuleList):
    """An embedding a feature; one with several categories counts as the mean of theirs."""

    def __init__(self, inputs: Sequence[CategoryInput], dimension: int) -> None:
        super().__init__(nn.Embedding(indices, dimension, padding_idx=0) for indices, _ in inputs)
        self._columns = [columns for _, columns in inputs]

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


class ItemTower(nn.Module):
    """An item's vector from its id, its categories (creator among them) and its numbers.

    The last column of the output is no direction of taste but a bias: how popular the item is beyond what
    its vector says, from its id and its numbers. The user tower answers it with a constant, so that a score
    stays a dot product.
    """

    def __init__(self, items: int, categories: Sequence[CategoryInput], numbers: int, dimension: int) -> None:
        super().__init__()
        self.ids = nn.Embedding(items + 1, dimension, padding_idx=0)
        self.categories = CategoryEmbeddings(categories, dimension)
        self.numbers = nn.Linear(numbers, dimension)
        self.id_bias = nn.Embedding(items + 1, 1, padding_idx=0)
        self.number_bias = nn.Linear(numbers, 1)
        for embedding in (self.ids, *self.categories):
            _initialise(embedding, dimension)
        for part in (self.id_bias, self.number_bias, self.numbers):
            nn.init.zeros_(part.weight)
        nn.init.zeros_(self.numbers.bias)
        nn.init.zeros_(self.number_bias.bias)

    def content(self, ids: Tensor, categories: Tensor) -> Tensor:
        """(..., dimension) from (...) ids and (..., categories): what histories pool, and the item tower's start."""
        return self.categories.add_to(self.ids(ids), categories)

    def finish(self, content: Tensor, ids: Tensor, numbers: Tensor) -> Tensor:
        """(n, dimension + 1) from (n, dimension) content, (n,) ids and (n, numbers)."""
        taste = nn.functional.normalize(content + self.numbers(numbers), dim=-1)
        return torch.cat([taste, self.id_bias(ids) + self.number_bias(numbers)], dim=-1)

    def forward(self, ids: Tensor, categories: Tensor, numbers: Tensor) -> Tensor:
        """(n, dimension + 1) from (n,) ids with 0 for unknown ones, (n, categories) and (n, numbers)."""
        return self.finish(self.content(ids, categories), ids, numbers)


class UserTower(nn.Module):
    """A user's vector from the items they met, their own id, their categories and their numbers."""

    def __init__(
        self,
        users: int,
        categories: Sequence[CategoryInput],
        numbers: int,
        dimension: int,
        history: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.position_weights = nn.Parameter(torch.zeros(POOLING_HEADS, history))
        self.age_weights = nn.Parameter(torch.zeros(POOLING_HEADS, AGE_BUCKETS))
        self.gains = nn.Parameter(torch.ones(POOLING_HEADS, dimension))
        self.ids = nn.Embedding(users + 1, dimension, padding_idx=0)
        self.categories = CategoryEmbeddings(categories, dimension)
        self.numbers = nn.Linear(numbers, dimension)
        self.dropout = nn.Dropout(dropout)
        for embedding in (self.ids, *self.categories):
            nn.init.zeros_(embedding.weight)
        nn.init.zeros_(self.numbers.weight)
        nn.init.normal_(self.numbers.bias, std=0.01)
        with torch.no_grad():
            self.age_weights[0] -= torch.linspace(0, 2, AGE_BUCKETS)  # tell the heads apart from the start

    def weights(self, age: Tensor, present: Tensor) -> Tensor:
        """(n, heads, history) pooling weights that sum to 1, or to 0 without history.

        Position 0 is the most recent item.
        """
        bucket = (2 * torch.log2(1 + age)).clamp(0, AGE_BUCKETS - 1).long()
        logits = self.age_weights[:, bucket].transpose(0, 1) + self.position_weights[:, : age.shape[1]]
        logits = logits.masked_fill(~present.unsqueeze(1), -1e9)
        return torch.softmax(logits, dim=-1) * present.unsqueeze(1)

    def forward(
        self, history: Tensor, age: Tensor, present: Tensor, ids: Tensor, categories: Tensor, numbers: Tensor
    ) -> Tensor:
        """User vectors, the last column being the constant that answers an item's bias.

        Parameters
        ----------
        history
            (n, history, dimension) content of the items met, most recent first.
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
        (n, dimension + 1)
        """
        pooled = torch.bmm(self.weights(age, present), history)
        return self.finish(pooled, ids, categories, numbers)

    def finish(self, pooled: Tensor, ids: Tensor, categories: Tensor, numbers: Tensor) -> Tensor:
        """The rest of `forward`, from (n, heads, dimension) pooled histories."""
        taste = self.dropout((pooled * self.gains).sum(1)) + self.ids(ids) + self.numbers(numbers)
        taste = self.categories.add_to(taste, categories)
        return torch.cat([nn.functional.normalize(taste, dim=-1), torch.ones_like(taste[:, :1])], dim=-1)


def _initialise(embedding: nn.Embedding, dimension: int) -> None:
    nn.init.normal_(embedding.weight, std=INITIAL_SCALE / dimension**0.5)
    with torch.no_grad():
        embedding.weight[0].zero_()
