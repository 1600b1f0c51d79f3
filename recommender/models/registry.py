"""Which class a stored model's kind stands for."""

from recommender.models.base import Model
from recommender.models.popularity import Popularity
from recommender.models.two_tower import TwoTower

MODELS: dict[str, type[Model]] = {model.kind: model for model in (TwoTower, Popularity)}
