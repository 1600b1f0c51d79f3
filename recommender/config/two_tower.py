"""The hybrid two-tower model, as a profile describes it."""

from typing import Annotated, Literal

from pydantic import Field

from recommender.config.optimisation import Optimised


class TwoTower(Optimised):
    """The hybrid two-tower model and its training; defaults hold on several data sets."""

    kind: Literal["two_tower"] = "two_tower"
    dimension: Annotated[int, Field(ge=4)] = 256
    """Width of both towers' normalised output; one column more holds an item's bias."""
    history_length: Annotated[int, Field(ge=1)] = 100
    """Most recent items pooled into a user's vector."""
    history_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Share of a training example's history that is left out at random."""
    stretch_days: Annotated[int, Field(ge=1)] = 30
    """Longest stretch of a user's events of which one training example hides a part and predicts it."""
    stretch_events: Annotated[int, Field(ge=1)] = 16
    """Most events of such a stretch."""
    hide: Literal["latest", "random"] = "latest"
    """Which part: the latest events, predicted from the past alone, or random ones, predicted from the rest too."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    id_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of training rows whose own id is hidden, so that cold users and items are trained for."""
