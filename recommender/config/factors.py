"""Unit vectors learnt by a softmax over the whole catalogue, as a profile describes them."""

from typing import Annotated, Literal

from pydantic import Field

from recommender.config.classic import FromHistories
from recommender.config.optimisation import Optimised


class Factors(Optimised, FromHistories):
    """A vector for each user and item, of length 1, learnt against the whole catalogue at once; ids alone."""

    kind: Literal["factors"] = "factors"
    dimension: Annotated[int, Field(ge=2)] = 256
    temperature: Annotated[float, Field(gt=0)] = 0.15
    """Divides the cosines: the larger the catalogue, the smaller."""
    activity: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A user counts for the number of items they have met to the power of this. 0: all alike; 1: all pairs alike."""
    batch_size: Annotated[int, Field(ge=1)] = 512
    """Users in a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.02
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """How the learning rate falls over `max_epochs`."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.5
    """Epochs over which the learning rate first rises from nothing."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the running average of the weights that each step keeps."""
    max_epochs: Annotated[int, Field(ge=1)] = 50
    patience: Annotated[int, Field(ge=1)] = 50
    """Epochs without a better validation figure before training stops; a falling rate wants them all."""
