"""What a profile may say about what readers get: how lists are filled, filtered, mixed, and kept."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from recommender.config.section import Section


def _condition(text: str) -> str:
    from recommender.config.conditions import parse  # brings DuckDB, which profiles without filters need not wait for

    return parse(text).text


Condition = Annotated[str, AfterValidator(_condition)]


class Freshness(Section):
    """A head start for young items, that fades."""

    weight: Annotated[float, Field(gt=0, le=5)] = 0.3
    """What an item of age 0 gains, in standard deviations of the user's candidates' scores."""
    half_life_days: Annotated[float, Field(gt=0)] = 14.0
    """Age at which half of that is left."""


class Exploration(Section):
    """Places kept for items that nobody can have chosen often yet; their metadata alone speaks for them."""

    share: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Of every list's places, at least."""
    new_days: Annotated[int, Field(ge=1)] = 30
    """So many days after its first event an item is new; without an event, so many days after its release."""


class Publish(Section):
    """What readers get."""

    top_k: Annotated[int, Field(ge=1)] = 100
    """Recommendations a user."""
    similar_k: Annotated[int, Field(ge=1)] = 50
    """Similar items an item."""
    keep: Annotated[int, Field(ge=2)] = 5
    """Publications kept for rollback, the live one among them; experiments need last night's."""
    segments: tuple[str, ...] = ()
    """User columns that make up a segment, most telling first; the last ones are given up first."""
    min_segment_users: Annotated[int, Field(ge=1)] = 20
    """Active users a segment needs to have a list of its own."""
    filters: tuple[Condition, ...] = ()
    """What an item must be to be recommended: SQL conditions over the columns of the items, such as
    `in_stock and not explicit`. `users.country` is the user's own value, `ds` the night's date:
    `users.country is null or list_contains(countries, users.country)`."""
    max_per_creator: Annotated[int, Field(ge=1)] | None = None
    """Items of one creator in a list; more only where nothing else is left to fill it."""
    diversity: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """0: by score alone; towards 1: rather unlike what stands above it (maximal marginal relevance)."""
    released: str | None = None
    """Column of the items that says when each came out, a time or a year: the age of items without an event. None:
    they are new."""
    freshness: Freshness | None = None
    exploration: Exploration | None = None
    pool: Annotated[float, Field(ge=1, le=20)] = 3.0
    """Candidates that diversity, caps and freshness choose from, as a multiple of the places they fill."""
    recall: Annotated[float, Field(ge=0.5, le=1)] = 0.99
    """Share of the exact list that an approximate search must find to be used in its place; 1: always exact."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 1
    """Parts that users are ranked in; with more than one the Dag ranks each in a task of its own."""
    vectors: Literal["none", "items", "all"] = "items"
    """What goes into pgvector columns with an HNSW index, where the server has the extension: nothing, the items, or
    users too, for `reco.interested_users`; an index of users takes about a minute for every 100,000 on two cores."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least share of a list that it has in common with the live one, on average over users; below it the publication
    fails its checks."""
    min_coverage: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least share of the catalogue that is in some list; below it the publication fails its checks."""
