"""What a fit leaves behind beside the weights."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FitReport:
    """How a fit went; stored with the model."""

    epochs: int
    """Epochs whose weights were kept."""
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry an epoch: loss, validation recall, seconds."""
    parts: dict[str, int] = field(default_factory=dict)
    """Epochs kept of each part, where the model is made of several that learn by themselves."""
