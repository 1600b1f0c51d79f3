"""The precision of the matrix products; weights, gradients and optimisers stay in float32."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

from recommender.errors import TrainingError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Forward passes by autocast and, for fp16, losses scaled so that small gradients don't vanish.

    Raises
    ------
    TrainingError
        fp16 without a GPU.
    """

    def __init__(self, name: Literal["fp32", "bf16", "fp16"], device: torch.device) -> None:
        if name == "fp16" and device.type == "cpu":
            raise TrainingError("training.precision fp16 needs a GPU, and there is none: set it to bf16 or fp32")
        self._dtype = DTYPES.get(name)
        self._device = device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def forward(self) -> AbstractContextManager[object]:
        """A context for forward passes."""
        return nullcontext() if self._dtype is None else torch.autocast(self._device, self._dtype)

    def drawn(self, losses: Iterable[tuple[Tensor, int]]) -> Iterator[tuple[Tensor, int]]:
        """The same losses, computed in this precision; what is done between them is not."""
        iterator = iter(losses)
        while True:
            with self.forward():
                drawn = next(iterator, None)
            if drawn is None:
                return
            yield drawn
