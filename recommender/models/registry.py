"""Which class a kind of model stands for."""

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError

from recommender.config.models import AnyModel
from recommender.config.profile import Profile
from recommender.errors import ArtifactError
from recommender.models.base import Model
from recommender.models.blend import Blend
from recommender.models.ease import Ease
from recommender.models.factors import Factors
from recommender.models.head.model import Head
from recommender.models.ials import Ials
from recommender.models.item_knn import ItemKnn
from recommender.models.ncf.model import Ncf
from recommender.models.popularity import Popularity
from recommender.models.ranking.model import Ranking
from recommender.models.spectral import Spectral
from recommender.models.two_tower import TwoTower

MODELS: dict[str, type[Model]] = {
    model.kind: model
    for model in (TwoTower, Head, Ncf, Popularity, ItemKnn, Ials, Ease, Spectral, Factors, Blend, Ranking)
}


def new_model(config: AnyModel, profile: Profile) -> Model:
    """The model that a section of the profile describes, before it is fitted."""
    return MODELS[config.kind].build(config, profile)


def load_model(kind: str, folder: Path) -> Model:
    """The model that was written to a folder whose checksums are right.

    Raises
    ------
    ArtifactError
        Another version of this program wrote it, with other keys or parts.
    """
    try:
        return MODELS[kind].load(folder)
    except (ValidationError, KeyError, TypeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(
            f"{folder} was written by another version of this program ({type(error).__name__}: {reason}): train again"
        ) from error
