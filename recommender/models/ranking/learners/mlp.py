"""A small network over the features of a pair."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from recommender.config.ranking import MlpLearner
from recommender.config.training import Training
from recommender.models.ranking.groups import Floats, Ints
from recommender.models.ranking.learners.base import (
    Learner,
    Standardiser,
    exchanged,
    not_fitted,
    read_tensors,
    require_pairs,
    write_tensors,
)
from recommender.training.distributed import shard
from recommender.training.fitting import fit_module, seeded

FILE = "mlp.safetensors"
SCORED_PAIRS = 1 << 16


class Network(nn.Module):
    """Dense layers, and a weighted sum of the features beside them."""

    def __init__(self, features: int, layers: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        widths = (features, *layers)
        parts = [
            part
            for width, following in pairwise(widths)
            for part in (nn.Linear(width, following), nn.ReLU(), nn.Dropout(dropout))
        ]
        self.layers = nn.Sequential(*parts, nn.Linear(widths[-1], 1))
        self.linear = nn.Linear(features, 1, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(n,) from (n, features)."""
        scores: Tensor = (self.layers(features) + self.linear(features)).squeeze(1)
        return scores


class Mlp(Learner):
    """The listwise softmax of `linear`, with a network instead of a sum.

    Parameters
    ----------
    config
        Layers and how they learn.
    training
        Threads; the arithmetic is the CPU's, since a batch is small.
    """

    kind: ClassVar[str] = "mlp"

    def __init__(self, config: MlpLearner | None = None, training: Training | None = None) -> None:
        self.config, self.training = config or MlpLearner(), training or Training()
        self._standardiser: Standardiser | None = None
        self._network: Network | None = None

    def fit(self, features: Floats, labels: Floats, groups: Ints, seed: int) -> None:
        require_pairs(labels, groups)
        self._standardiser = Standardiser.fit(features)
        prepared, chosen = torch.from_numpy(self._standardiser.apply(features)), torch.from_numpy(labels)
        training = self.training.model_copy(update={"seed": seed, "device": "cpu", "precision": "fp32"})
        starts = np.concatenate([[0], np.cumsum(groups)])

        def losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
            order = np.random.default_rng([seed, epoch]).permutation(len(groups))
            for users in shard(np.split(order, range(self.config.batch_size, len(order), self.config.batch_size))):
                pairs = torch.from_numpy(np.concatenate([np.arange(starts[u], starts[u + 1]) for u in users]))
                yield listwise_loss(network(prepared[pairs]), chosen[pairs], groups[users]), len(users)

        with seeded(training):
            network = Network(features.shape[1], self.config.layers, self.config.dropout)
            batches = -(-len(groups) // self.config.batch_size)
            fit_module(network, losses, self.config, training, epochs=self.config.max_epochs, batches=batches)
        self._network = network.eval()

    def score(self, features: Floats) -> Floats:
        scores = np.empty(len(features), np.float32)
        for start in range(0, len(features), SCORED_PAIRS):
            part = slice(start, start + SCORED_PAIRS)
            scores[part] = self._answer(self._prepared(features[part]))
        return scores

    def without(self, features: Floats, usual: Floats, groups: Sequence[Sequence[int]]) -> Floats:
        return exchanged(self._answer, self._prepared(features), self._prepared(usual), groups)

    def _prepared(self, features: Floats) -> Floats:
        if self._standardiser is None:
            raise not_fitted(self.kind)
        return self._standardiser.apply(features)

    @torch.inference_mode()
    def _answer(self, prepared: Floats) -> Floats:
        if self._network is None:
            raise not_fitted(self.kind)
        scores: Floats = self._network(torch.from_numpy(prepared)).numpy()
        return scores

    def save(self, folder: Path) -> None:
        if self._standardiser is None or self._network is None:
            raise not_fitted(self.kind)
        tensors = {name: tensor.numpy() for name, tensor in self._network.state_dict().items()}
        write_tensors(folder / FILE, {"mean": self._standardiser.mean, "scale": self._standardiser.scale} | tensors)

    def load(self, folder: Path) -> None:
        tensors = read_tensors(folder / FILE)
        self._standardiser = Standardiser(tensors.pop("mean"), tensors.pop("scale"))
        self._network = Network(len(self._standardiser.mean), self.config.layers, self.config.dropout).eval()
        self._network.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})


def listwise_loss(scores: Tensor, chosen: Tensor, groups: Ints) -> Tensor:
    """Mean over users of the mean over their chosen pairs of minus the log softmax, as in `linear`.

    Parameters
    ----------
    scores, chosen
        (pairs,) and 1 or 0; pairs of a user together.
    groups
        (users,) pairs of each; each has a chosen one.
    """
    present = torch.from_numpy(np.arange(groups.max()) < groups[:, None])
    table = torch.full(present.shape, -torch.inf).masked_scatter(present, scores)
    target = torch.zeros(present.shape).masked_scatter(present, chosen)
    target = target / target.sum(1, keepdim=True)
    log_shares = torch.log_softmax(table, dim=1).masked_fill(~present, 0)
    return -(target * log_shares).sum(1).mean()
