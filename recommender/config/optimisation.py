"""How a network learns: the keys that every model trained by gradients has."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recommender.config.section import Section


class Optimised(Section):
    """How long and how fast a model learns."""

    batch_size: Annotated[int, Field(ge=1)] = 2048
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are added up before a step: as one batch so many times as large, in the memory of one."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How the learning rate falls over `max_epochs`; a constant one leaves it to `averaging`."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs over which the learning rate first rises from nothing."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Of AdamW; tables with sparse gradients have none."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest length of a step's gradient; null: any."""
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Share of the running average of the weights that each step keeps; the average is what is kept in the end."""
    max_epochs: Annotated[int, Field(ge=1)] = 20
    patience: Annotated[int, Field(ge=1)] = 3
    """Epochs without a better validation figure before training stops."""

    @model_validator(mode="after")
    def _warm_in_time(self) -> Self:
        if self.warmup_epochs >= self.max_epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs:g}) must be less than max_epochs ({self.max_epochs}): "
                "the learning rate would never be reached"
            )
        return self
