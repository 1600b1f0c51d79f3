"""A prediction head on top of two towers, as a profile describes it."""

from typing import Annotated, Literal

from pydantic import Field

from recommender.config.optimisation import Optimised
from recommender.config.two_tower import TwoTower


class Head(Optimised):
    """Dense layers over a user's and an item's vector, which put the towers' best items in order anew."""

    kind: Literal["head"] = "head"
    towers: TwoTower = TwoTower()
    """The two towers, trained first."""
    train_towers: bool = False
    """Whether the towers go on learning together with the head; else they stay as they are."""
    target: Literal["classification", "regression"] = "classification"
    """What is predicted: whether an item is chosen, or the weight of the event, such as a rating."""
    layers: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (128, 64)
    """Widths of the dense layers over user vector, item vector and their product side by side."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    negatives_per_positive: Annotated[int, Field(ge=1)] = 4
    """Items of the batch that the user has not met, drawn for each chosen one; a regression has none."""
    depth: Annotated[int, Field(ge=1)] = 200
    """Of the towers' best unseen items so many are put in order by the head; the rest follow in the towers' order."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    max_epochs: Annotated[int, Field(ge=1)] = 3
    """Of the head; all of them are run. Early stopping is the towers', by their own keys."""
