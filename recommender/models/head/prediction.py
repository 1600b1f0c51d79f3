"""The head by itself: learns from pairs of vectors, whatever made them."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recommender.config.head import Head as HeadConfig
from recommender.config.training import Training
from recommender.errors import NotReadyError, TrainingError
from recommender.models.head import figures
from recommender.models.head.network import HeadNetwork
from recommender.models.onnx import export_checked
from recommender.progress import Progress, quiet
from recommender.training.fitting import device_of, fit_module, seeded
from recommender.training.report import FitReport

WEIGHTS, CONTENT, ONNX = "head.safetensors", "head.json", "head.onnx"
HELD_OUT = 0.1
"""Share of the pairs by which a fit is measured."""
_BLOCK = 1 << 16
"""Pairs scored at one time."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class PredictionHead:
    """Predicts from a user's and an item's vector whether they fit, or the value of an event between them.

    head = PredictionHead(Head(target="regression"), Training())
    head.fit(user_vectors, item_vectors, (users, items), ratings)
    head.score(user_vectors[[3]], item_vectors[[7]])

    Parameters
    ----------
    config
        `config.towers` and `config.depth` are not read.
    training
        Seed, threads and device.
    """

    def __init__(self, config: HeadConfig, training: Training) -> None:
        self.config, self.training = config, training
        self.device = device_of(training)
        self.report: FitReport | None = None
        self._network: HeadNetwork | None = None

    def fit(
        self,
        user_vectors: Floats,
        item_vectors: Floats,
        pairs: tuple[Ints, Ints],
        targets: Floats,
        weights: Floats | None = None,
        *,
        progress: Progress = quiet,
    ) -> FitReport:
        """Learn from pairs; a tenth of them, drawn at random, is held out and measured.

        Parameters
        ----------
        user_vectors, item_vectors
            (users, d) and (items, d).
        pairs
            (n,) rows of `user_vectors` and (n,) rows of `item_vectors`, negatives among them.
        targets
            (n,) 1 for chosen items and 0 for others; or any values, for a regression.
        weights
            (n,) how much each pair counts; all alike when None.

        Returns
        -------
        The last entry of its history has `auc` and `accuracy`, or `rmse` and `mae`, of the held-out pairs.

        Raises
        ------
        TrainingError
            There are no pairs, or the loss became NaN.
        """
        if len(targets) < 2:
            raise TrainingError(
                "a prediction head needs two pairs at least: one to learn from and one to be measured by"
            )
        order = np.random.default_rng(self.training.seed).permutation(len(targets))
        held, kept = np.split(order, [max(1, round(HELD_OUT * len(order)))])
        columns = (*pairs, targets.astype(np.float32), _ones(targets) if weights is None else weights)
        tensors = [torch.from_numpy(np.ascontiguousarray(column[kept])).to(self.device) for column in columns]
        users, items = (torch.from_numpy(part).to(self.device) for part in (user_vectors, item_vectors))

        def epoch(number: int) -> Any:
            shuffled = np.random.default_rng([self.training.seed, number]).permutation(len(kept))
            for start in range(0, len(kept), self.config.batch_size):
                chosen = torch.from_numpy(shuffled[start : start + self.config.batch_size]).to(self.device)
                of, to, target, weight = (tensor[chosen] for tensor in tensors)
                yield pair_loss(network, users[of], items[to], target, weight), len(chosen)

        with seeded(self.training):
            network = self.fresh(user_vectors.shape[1])
            if self.config.target == "regression":
                network.set_scale(tensors[2])
            report = fit_module(
                network,
                epoch,
                self.config,
                self.training,
                epochs=self.config.max_epochs,
                batches=-(-len(kept) // self.config.batch_size),
                progress=progress,
            )
        found = self.score(user_vectors[pairs[0][held]], item_vectors[pairs[1][held]])
        self.report = measured(report, self.config, found, targets[held])
        return self.report

    def fresh(self, width: int, sharpness: float = 1.0) -> HeadNetwork:
        """The network as it is before training, drawn from torch's random numbers; see `HeadNetwork`."""
        self._network = HeadNetwork(width, self.config, sharpness).to(self.device)
        return self._network

    @property
    def network(self) -> HeadNetwork:
        if self._network is None:
            raise NotReadyError("the prediction head isn't fitted, call `fit` or `load` first")
        return self._network

    def score(self, user_vectors: Floats, item_vectors: Floats) -> Floats:
        """(n,) probabilities, or values, of (n, d) users and (n, d) items."""
        return self._run(self.network, user_vectors, item_vectors)

    def logits(self, user_vectors: Floats, item_vectors: Floats) -> Floats:
        """(n,) the same before the sigmoid or the scaling: finer, in the same order."""
        return self._run(self.network.raw, user_vectors, item_vectors)

    def save(self, folder: Path) -> None:
        """Write `head.safetensors` and `head.json` into an existing folder."""
        weights = {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        content = {
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "width": self.network.user.in_features,
        }
        (folder / CONTENT).write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. The caller has verified the folder's checksums."""
        content = json.loads((folder / CONTENT).read_text(encoding="utf-8"))
        head = cls(HeadConfig.model_validate(content["config"]), Training.model_validate(content["training"]))
        network = head.fresh(content["width"])
        network.load_state_dict(load_file(folder / WEIGHTS, device=str(head.device)))
        network.eval()
        return head

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write `head.onnx`, the number of rows left open.

        Inputs: `user_vector` and `item_vector` (n, d), as the towers give them. Output: `prediction` (n,).

        Returns
        -------
        `onnx_max_abs_diff`, the largest difference from PyTorch on random inputs, and `files`.
        """
        rng, width = np.random.default_rng(0), self.network.user.in_features

        def inputs(rows: int) -> dict[str, Tensor]:
            vectors = (torch.from_numpy(rng.normal(size=(rows, width)).astype(np.float32)) for _ in range(2))
            user, item = (nn.functional.normalize(vector, dim=-1) for vector in vectors)
            return {"user_vector": user, "item_vector": item}

        return {"onnx_max_abs_diff": export_checked(self.network, inputs, "prediction", folder / ONNX), "files": [ONNX]}

    @torch.inference_mode()
    def _run(self, network: Any, user_vectors: Floats, item_vectors: Floats) -> Floats:
        found = np.empty(len(user_vectors), np.float32)
        for start in range(0, len(found), _BLOCK):
            users, items = (
                torch.from_numpy(vectors[start : start + _BLOCK]).to(self.device)
                for vectors in (user_vectors, item_vectors)
            )
            found[start : start + _BLOCK] = network(users, items).cpu().numpy()
        return found


def pair_loss(
    network: HeadNetwork, users: Tensor, items: Tensor, targets: Tensor, weights: Tensor, offset: Tensor | None = None
) -> Tensor:
    """Weighted mean log loss, or squared error in units of the targets' variance; `offset` is added to the logits."""
    raw = network.raw(users, items)
    if not network.classifies:
        costs = (raw - network.standardised(targets)) ** 2
    else:
        logits = raw if offset is None else raw + offset
        costs = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (costs * weights).sum() / weights.sum()


def measured(report: FitReport, config: HeadConfig, found: Floats, targets: npt.NDArray[np.floating]) -> FitReport:
    """The report with figures of held-out pairs in its last entry."""
    measure = figures.classification if config.target == "classification" else figures.regression
    history = [*report.history[:-1], {**report.history[-1], **measure(found, targets)}]
    return FitReport(report.epochs, report.seconds, history)


def _ones(targets: Floats) -> Floats:
    return np.ones(len(targets), np.float32)
