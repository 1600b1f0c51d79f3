"""Several processes that train one model, as `torchrun` starts them.

Each takes its share of the batches; gradients are averaged over all examples of a step, so that every process holds
the same weights after it. Models wrap their batches in `shard` before they compute losses; the first process alone
validates, writes and speaks.
"""

import atexit
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor, distributed

from recommender.errors import TrainingError

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others; the first one validates in that time. A dead one is noticed at once."""


@dataclass(frozen=True)
class World:
    """Which of how many processes this is."""

    rank: int
    size: int
    local_rank: int
    """Which on this machine: the number of its GPU."""


def world() -> World:
    """As `torchrun` says in the environment; one process where it doesn't."""
    rank, size, local = (int(os.environ.get(name, default)) for name, default in _VARIABLES)
    return World(rank, size, local)


_VARIABLES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


def is_first() -> bool:
    """True in the process that writes and speaks."""
    return world().rank == 0


def shard(batches: Iterable[T]) -> Iterator[T]:
    """Of n processes the r-th takes batches r, r + n, …; all of them where it is alone.

    Every process has to go through the same batches in the same order. Shares may differ by one.
    """
    here = world()
    return islice(batches, here.rank, None, here.size)


class Peers:
    """The processes of one training, this one among them; alone, everything here is trivial."""

    def __init__(self, device: torch.device) -> None:
        self.world = world()
        self._device = device
        if not self.alone and not distributed.is_initialized():
            with _together():
                distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
            atexit.register(_leave)

    @property
    def alone(self) -> bool:
        return self.world.size == 1

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the first process's."""
        if not self.alone:
            with _together():
                for tensor in tensors:
                    distributed.broadcast(tensor.detach(), 0)

    def agree(self, number: float) -> float:
        """The first process's number."""
        if self.alone:
            return number
        told = torch.tensor([number], dtype=torch.float64, device=self._device)
        self.share([told])
        return float(told)

    def sum(self, parameters: Sequence[Tensor], numbers: Sequence[float]) -> list[float]:
        """Add up all processes' gradients, in place, and numbers.

        A parameter that has a gradient in any process has one in all of them afterwards.
        """
        if self.alone:
            return list(numbers)
        with _together():
            told = [*numbers, *(float(parameter.grad is not None) for parameter in parameters)]
            known = torch.tensor(told, dtype=torch.float64, device=self._device)
            distributed.all_reduce(known)
            sums = known.tolist()
            used = [p for p, count in zip(parameters, sums[len(numbers) :], strict=True) if count]
            dense = [p for p in used if p.grad is None or not p.grad.is_sparse]
            self._sum_dense(dense)
        return sums[: len(numbers)]

    def sum_sparse(self, tables: Sequence[Tensor]) -> None:
        """Add up all processes' gradients of tables whose gradients are sparse, in place."""
        if self.alone:
            return
        with _together():
            for table in tables:
                table.grad = self._sum_rows(table)

    def _sum_dense(self, parameters: Sequence[Tensor]) -> None:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        if not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, gradient, part in zip(parameters, gradients, parts, strict=True):
            parameter.grad = gradient.copy_(part.view_as(gradient))

    def _sum_rows(self, table: Tensor) -> Tensor | None:
        """The rows with a gradient in some process; each sends as many as the longest: they have to."""
        gradient = None if table.grad is None else table.grad.coalesce()
        count = torch.tensor([0 if gradient is None else gradient.indices().shape[1]], device=self._device)
        counts = [torch.zeros_like(count) for _ in range(self.world.size)]
        distributed.all_gather(counts, count)
        longest = max(int(number) for number in counts)
        if longest == 0:
            return None
        rows = torch.zeros(longest, dtype=torch.long, device=self._device)
        values = torch.zeros(longest, *table.shape[1:], dtype=table.dtype, device=self._device)
        if gradient is not None:
            rows[: int(count)] = gradient.indices()[0]
            values[: int(count)] = gradient.values()
        all_rows = [torch.empty_like(rows) for _ in counts]
        all_values = [torch.empty_like(values) for _ in counts]
        distributed.all_gather(all_rows, rows)
        distributed.all_gather(all_values, values)
        chosen = torch.cat([part[: int(number)] for part, number in zip(all_rows, counts, strict=True)])
        given = torch.cat([part[: int(number)] for part, number in zip(all_values, counts, strict=True)])
        return torch.sparse_coo_tensor(chosen.unsqueeze(0), given, table.shape, check_invariants=False).coalesce()


@contextmanager
def _together() -> Iterator[None]:
    """What fails inside fails because another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "another process of this training died or hung (its own message says why): start `torchrun` again, "
            "it goes on from the last checkpoint"
        ) from error


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
