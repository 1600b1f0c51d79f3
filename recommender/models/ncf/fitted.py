"""What training leaves of a network: encoders, id maps and weights, and how they are kept in files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recommender.columns import ITEM_ID, USER_ID
from recommender.config.ncf import Ncf as NcfConfig
from recommender.data.dataset import Dataset
from recommender.errors import ArtifactError
from recommender.features.encoding import FeatureEncoder, load_encoder, save_encoder
from recommender.models.ncf.network import NcfNetwork, Part
from recommender.models.warm_start import category_rows, layout

_CURE = "train from scratch"


@dataclass(eq=False)
class Attached:
    """One data set as the network reads it; ids unknown to training are 0."""

    user: npt.NDArray[np.int64]
    user_categories: npt.NDArray[np.int32]
    item: npt.NDArray[np.int64]
    item_categories: npt.NDArray[np.int32]
    items: Part | None = None
    """Of all items; computed when first needed."""


@dataclass(eq=False)
class Fitted:
    """The network with what turns a data set into its inputs."""

    encoders: tuple[FeatureEncoder, FeatureEncoder]
    """The users' and the items': of categories alone, none where the profile wants ids alone."""
    ids: tuple[pd.Index, pd.Index]
    """Users and items with an embedding of their own: row `n` is index `n + 1`."""
    network: NcfNetwork

    @classmethod
    def fresh(
        cls,
        config: NcfConfig,
        encoders: tuple[FeatureEncoder, FeatureEncoder],
        ids: tuple[pd.Index, pd.Index],
        device: torch.device,
    ) -> Self:
        """The network as it is before training, drawn from torch's random numbers."""
        users, items = encoders
        network = NcfNetwork(len(ids[0]), len(ids[1]), users.category_inputs, items.category_inputs, config)
        return cls(encoders, ids, network.to(device))

    @classmethod
    def load(cls, folder: Path, config: NcfConfig, device: torch.device) -> Self:
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
        fitted.network.load_state_dict(load_file(folder / "weights.safetensors", device=str(device)))
        fitted.network.eval()
        return fitted

    def save(self, folder: Path) -> None:
        weights = {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()}
        save_file(weights, folder / "weights.safetensors")
        save_encoder(self.encoders[0], "user", folder)
        save_encoder(self.encoders[1], "item", folder)
        pd.DataFrame({USER_ID: self.ids[0]}).to_parquet(folder / "user_ids.parquet", index=False)
        pd.DataFrame({ITEM_ID: self.ids[1]}).to_parquet(folder / "item_ids.parquet", index=False)

    @torch.no_grad()
    def take_over(self, before: Self) -> None:
        """Go on from another fit's weights: known ids and categories keep their embeddings.

        New ids begin as the unknown, new categories as what the other fit takes them for, one of the rare ones.

        Raises
        ------
        ArtifactError
            The other fit has other categories of users or items, or its network another shape.
        """
        if [layout(side) for side in before.encoders] != [layout(side) for side in self.encoders]:
            raise ArtifactError("the model to go on from reads other categories than the profile declares: " + _CURE)
        state, old = self.network.state_dict(), before.network.state_dict()
        rows = category_rows(before.encoders, self.encoders)
        for side, now, then in zip(("user", "item"), self.ids, before.ids, strict=True):
            rows[f"{side}.ids.weight"] = np.append(0, positions(then, now.to_numpy()))
        for name, value in state.items():
            given = old.get(name)
            if name in rows and given is not None:
                given = given[torch.from_numpy(rows[name]).to(given.device)]
            if given is None or given.shape != value.shape:
                raise ArtifactError(f"{name} of the model to go on from doesn't fit this configuration: " + _CURE)
            value.copy_(given)

    def read(self, dataset: Dataset) -> Attached:
        """The network's inputs of a data set's users and items."""
        users, items = self.encoders
        return Attached(
            user=positions(self.ids[0], dataset.user_ids),
            user_categories=users.transform(dataset.user_features)[1],
            item=positions(self.ids[1], dataset.item_ids),
            item_categories=items.transform(dataset.item_features)[1],
        )

    def part(self, side: str, ids: npt.NDArray[np.int64], categories: npt.NDArray[np.int32]) -> Part:
        """What users, or items, bring to every pair."""
        device = self.network.bias.device
        module = self.network.user if side == "user" else self.network.item
        part: Part = module(_tensor(ids, device), _tensor(categories, device))
        return part


def positions(ids: pd.Index, asked: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """1 + position of each id asked for, 0 for unknown ones."""
    return ids.get_indexer(pd.Index(asked)).astype(np.int64) + 1


def _tensor(array: npt.NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.int64)).to(device)
