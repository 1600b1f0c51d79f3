"""The two towers as torch modules: tensors in, vectors out, no data frames and no ids."""

from recommender.models.towers.parts import CategoryEmbeddings, IdEmbedding
from recommender.models.towers.tower import Encoded, ItemTower, UserTower

__all__ = ["CategoryEmbeddings", "Encoded", "IdEmbedding", "ItemTower", "UserTower"]
