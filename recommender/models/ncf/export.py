"""The network as an ONNX file that answers `predict`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.features.encoding import FeatureEncoder
from recommender.models.ncf.network import NcfNetwork
from recommender.models.onnx import export_checked

FILE = "ncf.onnx"


class Probability(nn.Module):
    """The network with its logit made a number from 0 to 1."""

    def __init__(self, network: NcfNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, user: Tensor, item: Tensor, user_categories: Tensor, item_categories: Tensor) -> Tensor:
        return torch.sigmoid(self.network(user, item, user_categories, item_categories))


def export_network(
    network: NcfNetwork, user_encoder: FeatureEncoder, item_encoder: FeatureEncoder, folder: Path
) -> dict[str, Any]:
    """Write `ncf.onnx`, the number of rows left open.

    Inputs: `user` and `item` (n,) 1 + row of the id map, 0 unknown; `user_categories` and `item_categories` (n, c)
    as encoded, absent where the model reads none. Output: `probability` (n,).

    Returns
    -------
    `onnx_max_abs_diff`, the largest difference from PyTorch on random inputs, and `files`.
    """
    rng = np.random.default_rng(0)

    def categories(encoder: FeatureEncoder, rows: int) -> Tensor:
        sizes = [indices for indices, columns in encoder.category_inputs for _ in range(columns)]
        return torch.from_numpy(rng.integers(0, sizes, (rows, len(sizes)))) if sizes else torch.zeros(rows, 0).long()

    def inputs(rows: int) -> dict[str, Tensor]:
        return {
            "user": torch.from_numpy(rng.integers(0, network.user.ids.num_embeddings, rows)),
            "item": torch.from_numpy(rng.integers(0, network.item.ids.num_embeddings, rows)),
            "user_categories": categories(user_encoder, rows),
            "item_categories": categories(item_encoder, rows),
        }

    largest = export_checked(Probability(network), inputs, "probability", folder / FILE)
    return {"onnx_max_abs_diff": largest, "files": [FILE]}
