"""Models that count, solve or factorise, as a profile describes them."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from recommender.config.section import Section


class Popularity(Section):
    """The most chosen items, for everybody or by segment."""

    kind: Literal["popularity"] = "popularity"
    half_life_days: Annotated[float, Field(gt=0)] | None = 60.0
    """Age at which an event counts half; null: all count alike."""
    segments: tuple[str, ...] = ()
    """Categories of the users, such as `[age_band, country]`, most telling first; who shares them shares a list. The
    last ones are given up first."""
    min_segment_users: Annotated[int, Field(ge=1)] = 20
    """Active users a segment needs to have a list of its own."""
    segment_prior: Annotated[float, Field(ge=0)] = 2000.0
    """Events by which a segment's shares are drawn towards those of the segment with one category less, and at last
    of everybody."""

    @field_validator("segments")
    @classmethod
    def _once_each(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return once_each(names)


class FromHistories(Section):
    """What models have in common that read a user as the items they have met."""

    half_life_days: Annotated[float, Field(gt=0)] | None = 180.0
    """Age at which an event of a user's history has lost half of what it can lose; null: none loses any."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of its weight that an event of a history never loses."""
    side_features: tuple[str, ...] | None = None
    """Categories of the items, most telling first: a new item is scored as the items it shares the first such value
    with. null: `creator` and `category`, where they are declared."""

    @field_validator("side_features")
    @classmethod
    def _once_each(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else once_each(names)


class ItemKnn(FromHistories):
    """Items like those a user has met, by who met them."""

    kind: Literal["item_knn"] = "item_knn"
    half_life_days: Annotated[float, Field(gt=0)] | None = 60.0
    """Age at which an event of a user's history has lost half of what it can lose; null: none loses any."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of its weight that an event of a history never loses."""
    neighbours: Annotated[int, Field(ge=1)] = 20
    """Items that each item recommends: those most like it."""
    shrinkage: Annotated[float, Field(ge=0)] = 10.0
    """Added to the denominator of the cosine, so that what few users share counts for little."""


class Ials(FromHistories):
    """Matrix factors by implicit alternating least squares; users' vectors are solved for every night."""

    kind: Literal["ials"] = "ials"
    dimension: Annotated[int, Field(ge=4)] = 256
    iterations: Annotated[int, Field(ge=1)] = 15
    """Times that users' and items' vectors are solved for in turn."""
    alpha: Annotated[float, Field(gt=0)] = 20.0
    """Confidence in an event, where that in a pair without one is 1."""
    regularisation: Annotated[float, Field(gt=0)] = 100.0


class Ease(FromHistories):
    """A linear model of items on items, solved in closed form; for catalogues up to about 30,000 items."""

    kind: Literal["ease"] = "ease"
    side_features: tuple[str, ...] | None = None
    """Categories of the items, most telling first: the items of each value are tied together, as by `side_weight` users
    who met just them, and new items are scored as those they share the first such value with. null: `creator`, or
    `category` where no creator is declared."""
    regularisation: Annotated[float, Field(gt=0)] = 100.0
    """Added to the diagonal of the items' Gram matrix, so that what few users share counts for little."""
    side_weight: Annotated[float, Field(ge=0)] = 10.0
    """Users that each value of a side feature counts for."""
    max_items: Annotated[int, Field(ge=1)] = 30_000
    """With more items that have events the model refuses: memory grows with their square (3.4 GiB for 30,000), time
    with their cube."""


class Spectral(FromHistories):
    """The leading directions of who met what, degree by degree; linear, quick, and served by vectors."""

    kind: Literal["spectral"] = "spectral"
    dimension: Annotated[int, Field(ge=2)] = 256
    """Directions that are kept: the larger and sparser the data, the more."""


def once_each(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, unless one is there twice."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} is listed twice: name it once")
    return names
