"""Models that count, solve or factorise, as a profile describes them."""

from typing import Annotated, Literal

from pydantic import Field

from recommender.config.section import Section


class Popularity(Section):
    """The most chosen items, for everybody or by segment."""

    kind: Literal["popularity"] = "popularity"
    half_life_days: Annotated[float, Field(gt=0)] | None = 60.0
    """Age at which an event counts half; null: all count alike."""


class ItemKnn(Section):
    """Items like those a user has met, by who met them."""

    kind: Literal["item_knn"] = "item_knn"
    neighbours: Annotated[int, Field(ge=1)] = 100


class Ials(Section):
    """Matrix factors by implicit alternating least squares."""

    kind: Literal["ials"] = "ials"
    dimension: Annotated[int, Field(ge=4)] = 128


class Ease(Section):
    """A linear model of items on items, solved in closed form; for catalogues up to about 30,000 items."""

    kind: Literal["ease"] = "ease"
    regularisation: Annotated[float, Field(gt=0)] = 100.0
