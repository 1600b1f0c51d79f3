"""The head as a torch module: a user's and an item's vector in, one number out."""

import torch
from torch import Tensor, nn

from recommender.config.head import Head as HeadConfig

_FAR, _HALVINGS = 20.0, 40
"""A logit that is as good as certain, and steps of a bisection between two such."""


class HeadNetwork(nn.Module):
    """Dense layers over user vector, item vector and their product side by side, added to the vectors' dot product.

    They start from nothing, so that a fresh head has the towers' own order and learns what is wrong with it. The
    first layer is kept as three, one over each part: that over a user is computed once for all their candidates.

    Parameters
    ----------
    width
        Columns of both vectors.
    sharpness
        What the dot product is multiplied by at first.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, config: HeadConfig, sharpness: float = 1.0) -> None:
        super().__init__()
        first, *others = config.layers
        self.user = nn.Linear(width, first, bias=False)
        self.item = nn.Linear(width, first, bias=False)
        self.product = nn.Linear(width, first)
        steps: list[nn.Module] = [nn.ReLU(), nn.Dropout(config.dropout)]
        for inputs, outputs in zip(config.layers, others, strict=False):
            steps += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(config.dropout)]
        self.dense = nn.Sequential(*steps)
        self.output = nn.Linear(config.layers[-1], 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.sharpness = nn.Parameter(torch.tensor(sharpness))
        self.classifies = config.target == "classification"
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("spread", torch.ones(1))

    def raw(self, users: Tensor, items: Tensor) -> Tensor:
        """(...) logits, or standardised values, of (..., width) vectors whose shapes fit each other."""
        product = users * items
        output: Tensor = self.output(self.dense(self.user(users) + self.item(items) + self.product(product)))
        return output.squeeze(-1) + self.sharpness * product.sum(-1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(...) probabilities, or values, of (..., width) vectors."""
        raw = self.raw(users, items)
        return torch.sigmoid(raw) if self.classifies else self.mean + self.spread * raw

    def standardised(self, targets: Tensor) -> Tensor:
        """What `raw` shall be for targets of a regression."""
        return (targets - self.mean) / self.spread

    @torch.no_grad()
    def centre(self, logits: Tensor, labels: Tensor) -> None:
        """Shift the output so that these logits say on average how many labels are 1; both are there."""
        low, high = -logits.max() - _FAR, -logits.min() + _FAR
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            too_high = torch.sigmoid(logits + middle).mean() > labels.mean()
            low, high = torch.where(too_high, low, middle), torch.where(too_high, middle, high)
        self.output.bias.add_(middle)

    @torch.no_grad()
    def set_scale(self, targets: Tensor) -> None:
        """Take mean and spread from the training targets of a regression."""
        self.mean.fill_(targets.mean())
        self.spread.fill_(targets.std(correction=0).clamp_min(1e-6))
