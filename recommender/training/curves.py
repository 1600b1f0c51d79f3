"""Curves of a training for TensorBoard."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TAGS = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "gradient_norm": "train/gradient_norm",
    "examples_per_second": "train/examples_per_second",
    "recall": "validation/recall@20",
}
"""What of an epoch's entry in the history is drawn, and under which name."""


class Curves:
    """One point an epoch in a folder of TensorBoard's; without a folder, nothing.

    The curves of an interrupted fit go on: what it drew past the epoch that it goes on from is hidden.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def draw(self, entry: dict[str, float]) -> None:
        """Add an epoch's figures; they are on disk when this returns."""
        if self.folder is None:
            return
        epoch = int(entry["epoch"])
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes a second to import: only who draws needs it

            self._writer = SummaryWriter(str(self.folder), purge_step=epoch)
        for key, tag in TAGS.items():
            if key in entry:
                self._writer.add_scalar(tag, entry[key], epoch)
        self._writer.flush()
