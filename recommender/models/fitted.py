"""What training leaves of the two towers: encoders, id maps and weights, and how they are kept in files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from recommender.columns import ITEM_ID, USER_ID
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset
from recommender.features.encoding import FeatureEncoder, load_encoder, save_encoder
from recommender.models.objective import Attached
from recommender.models.towers import ItemTower, UserTower


@dataclass(eq=False)
class Fitted:
    """Both towers with what turns a data set into their inputs."""

    encoders: tuple[FeatureEncoder, FeatureEncoder]
    """The users' and the items'."""
    ids: tuple[pd.Index, pd.Index]
    """Users and items with a vector of their own: row `n` is index `n + 1` of the embedding."""
    towers: nn.ModuleDict
    """`user` and `item`."""

    @classmethod
    def fresh(
        cls,
        config: TwoTowerConfig,
        encoders: tuple[FeatureEncoder, FeatureEncoder],
        ids: tuple[pd.Index, pd.Index],
        device: torch.device,
    ) -> Self:
        """Towers as they are before training, drawn from torch's random numbers."""
        users, items = encoders
        user_tower = UserTower(
            len(ids[0]),
            users.category_inputs,
            users.numeric_width,
            config.dimension,
            config.history_length,
            config.dropout,
        )
        item_tower = ItemTower(len(ids[1]), items.category_inputs, items.numeric_width, config.dimension)
        return cls(encoders, ids, nn.ModuleDict({"user": user_tower, "item": item_tower}).to(device))

    @classmethod
    def load(cls, folder: Path, config: TwoTowerConfig, device: torch.device) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            The encoders are not what this version of the program writes.
        """
        encoders = load_encoder("user", folder), load_encoder("item", folder)
        ids = (
            pd.Index(pd.read_parquet(folder / "user_ids.parquet")[USER_ID]),
            pd.Index(pd.read_parquet(folder / "item_ids.parquet")[ITEM_ID]),
        )
        fitted = cls.fresh(config, encoders, ids, device)
        fitted.towers.load_state_dict(load_file(folder / "weights.safetensors", device=str(device)))
        fitted.towers.eval()
        return fitted

    def save(self, folder: Path) -> None:
        weights = {name: value.contiguous().cpu() for name, value in self.towers.state_dict().items()}
        save_file(weights, folder / "weights.safetensors")
        save_encoder(self.encoders[0], "user", folder)
        save_encoder(self.encoders[1], "item", folder)
        pd.DataFrame({USER_ID: self.ids[0]}).to_parquet(folder / "user_ids.parquet", index=False)
        pd.DataFrame({ITEM_ID: self.ids[1]}).to_parquet(folder / "item_ids.parquet", index=False)

    def read(self, dataset: Dataset, device: torch.device) -> Attached:
        """The towers' inputs of a data set's users and items."""
        users, items = self.encoders
        user_numbers, user_categories = users.transform(dataset.user_features)
        item_numbers, item_categories = items.transform(dataset.item_features)
        return Attached(
            user=_known(self.ids[0], dataset.user_ids),
            user_numbers=user_numbers,
            user_categories=user_categories,
            item=torch.from_numpy(_known(self.ids[1], dataset.item_ids)).to(device),
            item_numbers=torch.from_numpy(item_numbers).to(device),
            item_categories=torch.from_numpy(item_categories.astype(np.int64)).to(device),
        )

    def tower(self, name: str) -> Any:
        return self.towers[name]


def _known(ids: pd.Index, asked: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """1 + position of each id asked for, 0 for unknown ones."""
    return ids.get_indexer(pd.Index(asked)).astype(np.int64) + 1
