"""From the items a user met to one vector."""

import torch
from torch import Tensor, nn

POOLING_HEADS = 2
"""Ways of weighing a history: one tends to become the recent taste, one the lasting."""
AGE_BUCKETS = 16
"""Ages of history items in powers of the square root of two times a day, the last one open."""
_NEVER = -1e9
"""Logit of an absent item; finite, so that an empty history has weights and not NaN."""


class WeightedHistory(nn.Module):
    """Means with weights learned over age and place, one a head, added up with a gain a column.

    Parameters
    ----------
    length
        Longest history read.
    trained
        Longest one that training shows: the items after it weigh as the last of it, and age alone tells them apart.
    """

    reads_query = False

    def __init__(self, dimension: int, length: int, trained: int) -> None:
        super().__init__()
        self._trained = trained
        self.position_weights = nn.Parameter(torch.zeros(POOLING_HEADS, length))
        self.age_weights = nn.Parameter(torch.zeros(POOLING_HEADS, AGE_BUCKETS))
        self.gains = nn.Parameter(torch.ones(POOLING_HEADS, dimension))
        with torch.no_grad():
            self.age_weights[0] -= torch.linspace(0, 2, AGE_BUCKETS)  # tell the heads apart from the start

    def logits(self, age: Tensor) -> Tensor:
        """(n, heads, history) how much each counts before the softmax; position 0 is the most recent item."""
        bucket = (2 * torch.log2(1 + age)).clamp(0, AGE_BUCKETS - 1).long()
        place = torch.arange(age.shape[1], device=age.device).clamp(max=self._trained - 1)
        return self.age_weights[:, bucket].transpose(0, 1) + self.position_weights[:, place]

    def forward(self, history: Tensor, age: Tensor, present: Tensor, query: Tensor | None = None) -> Tensor:
        """(n, dimension) pooled, zero where nothing is present.

        Parameters
        ----------
        history
            (n, history, dimension) content of the items met, most recent first.
        age
            (n, history) days since each was met.
        present
            (n, history) False where the history is shorter.
        query
            (n, dimension) who asks; read where `reads_query`.
        """
        pooled = torch.bmm(_weights(self.logits(age), present), history)
        return (pooled * self.gains).sum(1)


class AttentiveHistory(WeightedHistory):
    """The same with weights that also depend on how an item fits who asks: scaled dot-product attention.

    Vaswani et al., "Attention is all you need" (NeurIPS 2017), with one query a head and the items as keys and values.
    It starts as `WeightedHistory`: its queries are zero.
    """

    reads_query = True

    def __init__(self, dimension: int, length: int, trained: int) -> None:
        super().__init__(dimension, length, trained)
        self.queries = nn.Linear(dimension, POOLING_HEADS * dimension, bias=False)
        nn.init.zeros_(self.queries.weight)

    def forward(self, history: Tensor, age: Tensor, present: Tensor, query: Tensor | None = None) -> Tensor:
        logits = self.logits(age)
        if query is not None:
            queries = self.queries(query).view(-1, POOLING_HEADS, history.shape[2])
            logits = logits + torch.bmm(queries, history.transpose(1, 2)) / history.shape[2] ** 0.5
        pooled = torch.bmm(_weights(logits, present), history)
        return (pooled * self.gains).sum(1)


class MeanHistory(nn.Module):
    """The plain mean, with a gain a column."""

    reads_query = False

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.gains = nn.Parameter(torch.ones(dimension))

    def forward(self, history: Tensor, age: Tensor, present: Tensor, query: Tensor | None = None) -> Tensor:
        counted = present.to(history.dtype)
        weights = counted / counted.sum(1, keepdim=True).clamp(min=1)
        return torch.bmm(weights.unsqueeze(1), history).squeeze(1) * self.gains


def history_encoder(kind: str, dimension: int, length: int, trained: int) -> nn.Module | None:
    """The encoder that a configuration names; None for `none`."""
    if kind == "none":
        return None
    if kind == "mean":
        return MeanHistory(dimension)
    return (AttentiveHistory if kind == "attention" else WeightedHistory)(dimension, length, trained)


def _weights(logits: Tensor, present: Tensor) -> Tensor:
    """(n, heads, history) weights that sum to 1, or to 0 without history."""
    logits = logits.masked_fill(~present.unsqueeze(1), _NEVER)
    return torch.softmax(logits, dim=-1) * present.unsqueeze(1)
