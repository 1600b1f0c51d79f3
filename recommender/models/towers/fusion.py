"""How an id's own vector and what is known beside it (metadata, and a user's history) become one.

Each fusion takes (n,) ids with 0 for unknown ones, the (n, d) vectors `own` of the ids (zero for unknown ones) and
the (n, d) vectors `known` of the rest, and returns the (n, d) result and the (n, d) augmented vectors that shall
imitate the other tower's output, or None. All start as the sum.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from recommender.models.towers.parts import SMALL, IdEmbedding


class Concat(nn.Module):
    """Both side by side through a dense layer."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dense = _adding(2, dimension)

    def forward(self, ids: Tensor, own: Tensor, known: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.dense(torch.cat([own, known], dim=-1)), None


class AdaptiveMimic(nn.Module):
    """Concatenated with an augmented vector of each id, in which the other tower speaks.

    Yu et al., "A dual augmented two-tower model for online large-scale recommendation" (DLP-KDD 2021). Unknown ids
    share the augmented vector 0, which hidden ids train.
    """

    def __init__(self, dimension: int, ids: int, sparse: bool) -> None:
        super().__init__()
        self.augmented = IdEmbedding(ids, dimension, sparse=sparse)
        nn.init.zeros_(self.augmented.weight)
        self.dense = _adding(3, dimension)

    def forward(self, ids: Tensor, own: Tensor, known: Tensor) -> tuple[Tensor, Tensor | None]:
        augmented = self.augmented(ids)
        return self.dense(torch.cat([own, known, augmented], dim=-1)), augmented


class Gated(nn.Module):
    """A gate a column between id and the rest, and an augmented vector that metadata predicts for unknown ids.

    known ids: g * own + (1 - g) * known, with g = sigmoid(W [own, known] + c), and an augmented vector of their own;
    unknown ones: known alone, and a linear prediction from it. The sum of both is the result.
    """

    def __init__(self, dimension: int, ids: int, sparse: bool) -> None:
        super().__init__()
        self.augmented = IdEmbedding(ids, dimension, padding_idx=0, sparse=sparse)
        nn.init.zeros_(self.augmented.weight)
        self.gate = nn.Linear(2 * dimension, dimension)
        self.predicted = nn.Linear(dimension, dimension)
        for part in (self.gate, self.predicted):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        self.dense = _adding(1, dimension)

    def forward(self, ids: Tensor, own: Tensor, known: Tensor) -> tuple[Tensor, Tensor | None]:
        is_known = (ids != 0).unsqueeze(-1).to(known.dtype)
        gate = torch.sigmoid(self.gate(torch.cat([own, known], dim=-1))) * is_known
        augmented = self.augmented(ids) + self.predicted(known) * (1 - is_known)
        return gate * own + (1 - gate) * known + self.dense(augmented), augmented


FUSIONS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "concat": lambda dimension, _ids, _sparse: Concat(dimension),
    "adaptive_mimic": AdaptiveMimic,
    "gated": Gated,
}
"""Fusions with weights of their own, made of width, rows of the id table, and whether it is sparse."""


def _adding(parts: int, dimension: int) -> nn.Linear:
    """A dense layer over parts side by side that adds them up until it has learned better."""
    dense = nn.Linear(parts * dimension, dimension)
    with torch.no_grad():
        dense.weight.copy_(torch.eye(dimension).repeat(1, parts))
    nn.init.normal_(dense.bias, std=SMALL)
    return dense
