"""AdamW for most weights, SparseAdam for the tables whose gradients are sparse, one learning rate for both."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.errors import TrainingError


def sparse_tables(module: nn.Module) -> list[Tensor]:
    """Weights of the embeddings made with `sparse=True`, each once."""
    found = {
        id(part.weight): part.weight
        for part in module.modules()
        if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.sparse
    }
    return list(found.values())


def limited_tables(module: nn.Module) -> list[tuple[Tensor, float]]:
    """Weights of the embeddings made with a `max_norm`, and that."""
    embeddings = (part for part in module.modules() if isinstance(part, nn.Embedding))
    return [(part.weight, part.max_norm) for part in embeddings if part.max_norm is not None]


def learning_rate(config: Optimised, epochs: float, step: float) -> float:
    """The learning rate of the step that begins after `epochs` epochs and is `step` epochs long.

    It rises in a line over `warmup_epochs` and falls over the rest of `max_epochs`, in a line or as half a cosine
    (Loshchilov and Hutter, "SGDR", 2017, without restarts). It knows epochs alone, so that a fit which stops early
    and one of exactly so many epochs see the same.
    """
    warm, rate = config.warmup_epochs, config.learning_rate
    if epochs < warm:
        return rate * min(1.0, (epochs + step) / warm)
    if config.schedule == "constant":
        return rate
    falling = config.max_epochs - warm
    done = min(1.0, (epochs - warm) / falling) if falling > 0 else 1.0
    return rate * (1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2)


class Optimisers:
    """The one or two optimisers of a module's parameters.

    Rows of embeddings with a `max_norm` are cut to it at the start and after each step.

    Raises
    ------
    TrainingError
        The configuration asks for what sparse gradients don't allow.
    """

    def __init__(self, module: nn.Module, config: Optimised) -> None:
        tables = sparse_tables(module)
        if tables and config.clip_norm is not None:
            raise TrainingError("model.clip_norm can't clip sparse gradients: set it to null, or make the tables dense")
        sparse = {id(table) for table in tables}
        dense = [parameter for parameter in module.parameters() if id(parameter) not in sparse]
        self.sparse = tables
        self._limited = limited_tables(module)
        self._limit()
        self.parameters = [*dense, *tables]
        self._all: list[torch.optim.Optimizer] = []
        if dense:
            self._all.append(
                torch.optim.AdamW(dense, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
            )
        if tables:
            self._all.append(torch.optim.SparseAdam(tables, lr=config.learning_rate))

    def clear(self) -> None:
        for optimiser in self._all:
            optimiser.zero_grad(set_to_none=True)

    def step(self, rate: float, scaler: torch.amp.GradScaler) -> None:
        """One step along the gradients, which the scaler has unscaled or will."""
        for table in self.sparse:
            if table.grad is not None and not table.grad.is_sparse:
                raise TrainingError("a table made for sparse gradients got a dense one: make the model's tables dense")
        for optimiser in self._all:
            for group in optimiser.param_groups:
                group["lr"] = rate
            scaler.step(optimiser)
        scaler.update()
        self._limit()

    def unscale(self, scaler: torch.amp.GradScaler) -> None:
        for optimiser in self._all:
            scaler.unscale_(optimiser)

    def tensors(self) -> dict[str, Tensor]:
        """Everything the optimisers remember, by names that `restore` knows."""
        return {
            f"{number}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
            for number, remembered in enumerate(self._remembered())
            for key, value in remembered.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` gave, of the same module."""
        for name, value in tensors.items():
            number, _, key = name.partition(".")
            parameter = self.parameters[int(number)]
            optimiser = self._of(int(number))
            plain = key == "step" and isinstance(optimiser, torch.optim.SparseAdam)
            optimiser.state[parameter][key] = int(value) if plain else value.to(parameter.device)

    @torch.no_grad()
    def _limit(self) -> None:
        for table, longest in self._limited:
            table.renorm_(2, 0, longest)

    def _remembered(self) -> Iterable[dict[str, Tensor | int]]:
        return (self._of(number).state.get(parameter, {}) for number, parameter in enumerate(self.parameters))

    def _of(self, number: int) -> torch.optim.Optimizer:
        return self._all[-1 if number >= len(self.parameters) - len(self.sparse) else 0]


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Length of all gradients as one vector; sparse ones count with the rows they have."""
    values = []
    for parameter in parameters:
        if parameter.grad is not None:
            if parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad.values() if parameter.grad.is_sparse else parameter.grad)
    return nn.utils.get_total_norm(values)
