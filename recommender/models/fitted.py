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
from recommender.data.dataset import Dataset, TrainingRows
from recommender.errors import ArtifactError, first_line
from recommender.features.encoding import FeatureEncoder, load_encoder, save_encoder
from recommender.models.attached import Attached
from recommender.models.towers import ItemTower, UserTower

_FORMER_NAMES = {f"user.{name}": f"user.history.{name}" for name in ("position_weights", "age_weights", "gains")}
"""Of weights in artifacts from before there were several ways to read a history."""


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
        user_tower = UserTower(len(ids[0]), users.category_inputs, users.numeric_width, config)
        item_tower = ItemTower(len(ids[1]), items.category_inputs, items.numeric_width, config)
        return cls(encoders, ids, nn.ModuleDict({"user": user_tower, "item": item_tower}).to(device))

    @classmethod
    def load(cls, folder: Path, config: TwoTowerConfig, device: torch.device) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            The encoders or the weights are not what this version of the program writes.
        """
        encoders = load_encoder("user", folder), load_encoder("item", folder)
        ids = (
            pd.Index(pd.read_parquet(folder / "user_ids.parquet")[USER_ID]),
            pd.Index(pd.read_parquet(folder / "item_ids.parquet")[ITEM_ID]),
        )
        fitted = cls.fresh(config, encoders, ids, device)
        weights = load_file(folder / "weights.safetensors", device=str(device))
        weights = {_FORMER_NAMES.get(name, name): value for name, value in weights.items()}
        try:
            fitted.towers.load_state_dict(weights)
        except RuntimeError as error:
            raise ArtifactError(
                f"{folder / 'weights.safetensors'} doesn't hold the weights of its own configuration "
                f"({first_line(error)}): train the night again"
            ) from None
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


def ids_with_rows(dataset: Dataset, rows: TrainingRows) -> tuple[pd.Index, pd.Index]:
    """Users and items that get a vector of their own: all with events but those the k-core leaves out.

    Those are as new: an id without training rows would keep a random vector.
    """
    inside, outside = rows.event, rows.outside
    users = np.setdiff1d(dataset.active_users, np.setdiff1d(dataset.user[outside], dataset.user[inside]))
    items = np.flatnonzero(dataset.known_items)
    items = np.setdiff1d(items, np.setdiff1d(dataset.item[outside], dataset.item[inside]))
    return pd.Index(dataset.user_ids[users]), pd.Index(dataset.item_ids[items])


def _known(ids: pd.Index, asked: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """1 + position of each id asked for, 0 for unknown ones."""
    return ids.get_indexer(pd.Index(asked)).astype(np.int64) + 1
