"""One of several kinds of model, told apart by `kind`."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from recommender.config.classic import Ease, Ials, ItemKnn, Popularity, Spectral
from recommender.config.factors import Factors
from recommender.config.head import Head
from recommender.config.ncf import Ncf
from recommender.config.section import KIND_TAG
from recommender.config.two_tower import TwoTower

DEFAULT_KIND = "two_tower"


def tag_of(given: Any) -> str:
    """The tag of a section, or of what shall become one; without `kind` it is the two towers."""
    kind = given.get("kind", DEFAULT_KIND) if isinstance(given, dict) else getattr(given, "kind", None)
    return f"{KIND_TAG}{kind}"


STAND_ALONE = ("two_tower", "head", "ncf", "popularity", "item_knn", "ials", "ease", "spectral", "factors")
CandidateModel = Annotated[
    Annotated[TwoTower, Tag(f"{KIND_TAG}two_tower")]
    | Annotated[Head, Tag(f"{KIND_TAG}head")]
    | Annotated[Ncf, Tag(f"{KIND_TAG}ncf")]
    | Annotated[Popularity, Tag(f"{KIND_TAG}popularity")]
    | Annotated[ItemKnn, Tag(f"{KIND_TAG}item_knn")]
    | Annotated[Ials, Tag(f"{KIND_TAG}ials")]
    | Annotated[Ease, Tag(f"{KIND_TAG}ease")]
    | Annotated[Spectral, Tag(f"{KIND_TAG}spectral")]
    | Annotated[Factors, Tag(f"{KIND_TAG}factors")],
    Discriminator(tag_of, "kind", f"kind must be one of {', '.join(STAND_ALONE)}", None),
]
"""A model that can stand alone."""
