"""Every kind of model that a profile may name."""

from typing import Annotated

from pydantic import Discriminator, Tag

from recommender.config.blend import Blend
from recommender.config.candidates import STAND_ALONE, tag_of
from recommender.config.classic import Ease, Ials, ItemKnn, Popularity, Spectral
from recommender.config.factors import Factors
from recommender.config.head import Head
from recommender.config.ncf import Ncf
from recommender.config.ranking import Ranking
from recommender.config.section import KIND_TAG
from recommender.config.two_tower import TwoTower

AnyModel = TwoTower | Head | Ncf | Popularity | ItemKnn | Ials | Ease | Spectral | Factors | Blend | Ranking
MODEL_KINDS = (*STAND_ALONE, "blend", "ranking")
ModelConfig = Annotated[
    Annotated[TwoTower, Tag(f"{KIND_TAG}two_tower")]
    | Annotated[Head, Tag(f"{KIND_TAG}head")]
    | Annotated[Ncf, Tag(f"{KIND_TAG}ncf")]
    | Annotated[Popularity, Tag(f"{KIND_TAG}popularity")]
    | Annotated[ItemKnn, Tag(f"{KIND_TAG}item_knn")]
    | Annotated[Ials, Tag(f"{KIND_TAG}ials")]
    | Annotated[Ease, Tag(f"{KIND_TAG}ease")]
    | Annotated[Spectral, Tag(f"{KIND_TAG}spectral")]
    | Annotated[Factors, Tag(f"{KIND_TAG}factors")]
    | Annotated[Blend, Tag(f"{KIND_TAG}blend")]
    | Annotated[Ranking, Tag(f"{KIND_TAG}ranking")],
    Discriminator(tag_of, "kind", f"kind must be one of {', '.join(MODEL_KINDS)}", None),
]
