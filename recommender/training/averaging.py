"""A running average of a module's weights."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SLOW_START = 10
"""After so many steps the average still keeps only half of what it was."""


class WeightAverage:
    """A running average of a module's weights: what a falling learning rate would reach, at any epoch.

    An early stop and a refit with as many epochs therefore see the same schedule. The average forgets faster
    during the first steps, so that it doesn't hold on to the random start. Of tables with sparse gradients only the
    rows that a step changes are touched; the others are caught up with when they are needed.

    Parameters
    ----------
    parameters
        Whose values are averaged.
    keep
        Share of the average that a step keeps; 0: the average is the weights, and costs nothing.
    sparse
        Those of the parameters whose gradients are sparse.
    """

    def __init__(self, parameters: Sequence[Tensor], keep: float, sparse: Sequence[Tensor] = ()) -> None:
        self._keep, self.steps = keep, 0
        tables = {id(table) for table in sparse} if keep else set()
        dense = [parameter for parameter in parameters if id(parameter) not in tables] if keep else []
        self._parameters = [*dense, *(sparse if keep else ())]
        self._average = [parameter.detach().clone() for parameter in self._parameters]
        self._dense = len(dense)
        self._until = [
            torch.zeros(len(table), dtype=torch.long, device=table.device) for table in self._parameters[self._dense :]
        ]
        """Of each row of each sparse table, the step up to which its average is right."""

    @torch.no_grad()
    def before_step(self) -> None:
        """Call before the optimiser's step: rows with a gradient are about to change."""
        for place, table in enumerate(self._parameters[self._dense :]):
            if table.grad is not None and table.grad.is_sparse:
                table.grad = table.grad.coalesce()
                self._catch_up(place, table.grad.indices()[0])

    @torch.no_grad()
    def update(self) -> None:
        """Call after each step."""
        self.steps += 1
        if self._dense:
            keep = min(self._keep, self.steps / (SLOW_START + self.steps))
            weights = [parameter.detach() for parameter in self._parameters[: self._dense]]
            torch._foreach_lerp_(self._average[: self._dense], weights, 1 - keep)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's weights and the average; a second call undoes the first."""
        for place, until in enumerate(self._until):
            self._catch_up(place, torch.arange(len(until), device=until.device))
        for parameter, average in zip(self._parameters, self._average, strict=True):
            current = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(current)

    def tensors(self) -> dict[str, Tensor]:
        """What the average remembers beside `steps`."""
        averages = {f"average.{number}": value for number, value in enumerate(self._average)}
        return averages | {f"until.{number}": value for number, value in enumerate(self._until)}

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Take over what `tensors` gave, of the same module."""
        self.steps = steps
        for name, value in self.tensors().items():
            value.copy_(tensors[name])

    def _catch_up(self, place: int, rows: Tensor) -> None:
        """Average over the steps in which these rows stayed as they are now."""
        table, average, until = (
            self._parameters[self._dense + place],
            self._average[self._dense + place],
            self._until[place],
        )
        now = self._log_kept(torch.tensor(self.steps, device=until.device))
        kept = torch.exp(now - self._log_kept(until[rows])).to(average.dtype).unsqueeze(1)
        average[rows] = torch.lerp(table[rows], average[rows], kept)
        until[rows] = self.steps

    def _log_kept(self, steps: Tensor) -> Tensor:
        """Log of the share of the start that the average keeps after so many steps.

        prod_s s / (SLOW_START + s) = n! SLOW_START! / (n + SLOW_START)! over the n steps whose factor is below `keep`,
        then keep^(steps - n).
        """
        slow = steps.clamp(max=math.floor(SLOW_START * self._keep / (1 - self._keep))).double()
        rising = torch.lgamma(slow + 1) + math.lgamma(SLOW_START + 1) - torch.lgamma(slow + SLOW_START + 1)
        return rising + (steps - slow) * math.log(self._keep)
