"""Where a fit is, beside what its tensors hold."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from recommender.training.stepping import Taken


@dataclass
class Tally:
    """What an epoch has added up so far."""

    batches: int = 0
    steps: int = 0
    examples: int = 0
    loss: float = 0.0
    """Over examples."""
    norm: float = 0.0
    """Over steps with a finite gradient."""
    normed: int = 0
    seconds: float = 0.0

    def add(self, taken: Taken) -> None:
        self.batches += taken.batches
        self.steps += 1
        self.examples += taken.examples
        self.loss += taken.loss
        if taken.norm is not None and math.isfinite(taken.norm):
            self.norm, self.normed = self.norm + taken.norm, self.normed + 1

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.examples, 1)


@dataclass
class State:
    """Where a fit is; everything that is no tensor."""

    epoch: int = 0
    """Epochs done."""
    tally: Tally = field(default_factory=Tally)
    """Of the epoch after those."""
    batches: int | None = None
    """Of a whole epoch, in all processes; None: not known yet."""
    steps: int | None = None
    best_recall: float = -1.0
    best_epoch: int = 0
    first_loss: float | None = None
    """Of the first batch with the first weights: other data would give another."""
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the checkpoint made here; names ascend."""
        return f"{self.epoch:05}-{self.tally.batches:08}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        return cls(**{**content, "tally": Tally(**content["tally"])})
