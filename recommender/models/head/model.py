"""Two towers and a head that puts their best items in order, as one model of the profile."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from recommender.config.head import Head as HeadConfig
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError
from recommender.models.base import ALONE, Model, Support
from recommender.models.head.objective import Pairs
from recommender.models.head.prediction import PredictionHead, measured
from recommender.models.recall import recall
from recommender.models.two_tower import TwoTower
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK
from recommender.training.batches import first_meetings
from recommender.training.fitting import fit_module, seeded
from recommender.training.report import FitReport

TOWERS = "towers"
"""Folder of theirs in the head's."""
HELD_OUT = 20
"""One user in so many is held out, to measure the head by."""


class Head(Model):
    """The towers propose, the head disposes: of each user's best unseen items it makes the order.

    A score is the head's logit or value for the `config.depth` best unseen items by the towers and for seen ones that
    the towers score as high; all other items follow in the towers' order.

    Parameters
    ----------
    config
        What is predicted, layers and the like.
    training
        Seed, threads and device.
    towers
        Two towers as `config.towers` describes them.
    """

    kind: ClassVar[str] = "head"
    factorises = False

    def __init__(self, config: HeadConfig, training: Training, towers: TwoTower) -> None:
        super().__init__()
        self.config, self.training, self.towers = config, training, towers
        self.prediction = PredictionHead(config, training)
        self.report: FitReport | None = None

    def fit(
        self,
        dataset: Dataset,
        rows: TrainingRows,
        truth: Truth | None = None,
        *,
        epochs: int | None = None,
        progress: Progress = quiet,
        support: Support = ALONE,
    ) -> FitReport:
        """Learn the towers, then the head; see `Model.fit`. `epochs` and those reported are the towers'.

        The last entry of the history has figures of held-out users' pairs: `auc` and `accuracy`, or `rmse` and
        `mae`; and with `truth` the `recall` of the whole, the towers' own being called `towers_recall`.

        Raises
        ------
        TrainingError
            Nothing to train on, a declared feature is missing, or the loss became NaN.
        """
        known = support.fitted.get(self.config.towers.model_dump_json())
        if isinstance(known, TwoTower) and known.report is not None and not self.config.train_towers:
            self.towers, first = known, known.report
        else:
            progress("towers")
            first = self.towers.fit(
                dataset,
                rows,
                truth,
                epochs=epochs,
                progress=progress,
                support=replace(support.within(TOWERS), start=None),
            )
        progress("head")
        learnt, held = _held_out(dataset, rows)
        with seeded(self.training):
            sharpness = 1 / self.config.towers.temperature if self.config.target == "classification" else 0.0
            network = self.prediction.fresh(self.towers.config.vector_width, sharpness)
            pairs = Pairs(self.towers.objective(learnt), self.config)
            if self.config.target == "regression":
                network.set_scale(torch.from_numpy(dataset.weight[learnt.event]))
            pairs.start(network, np.random.default_rng(self.training.seed))
            module: nn.Module = network
            if self.config.train_towers:
                module = nn.ModuleDict({"head": network, TOWERS: self.towers.modules})
            own = support.within(self.kind)
            second = fit_module(
                module,
                lambda epoch: pairs.losses(network, np.random.default_rng([self.training.seed, epoch])),
                self.config,
                self.training,
                epochs=self.config.max_epochs,
                batches=pairs.batches,
                checkpoints=own.checkpoints,
                logs=own.logs,
                progress=progress,
            )
        self.attach(dataset)
        if held is not None:
            judged = Pairs(self.towers.objective(held), self.config)
            found, right = judged.predictions(network, np.random.default_rng(self.training.seed))
            second = measured(second, self.config, found, right)
        if truth is not None and len(truth.users):
            second.history[-1]["recall"] = recall(self, truth)
        earlier = [{f"{TOWERS}_{k}" if k == "recall" else k: v for k, v in e.items()} for e in first.history]
        self.report = FitReport(first.epochs, first.seconds + second.seconds, [*earlier, *second.history])
        progress(_line(second.history[-1]))
        return self.report

    def attach(self, dataset: Dataset) -> None:
        self.towers.attach(dataset)
        super().attach(dataset)

    def scores(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        users = np.asarray(users, np.int64)
        user_vectors, item_vectors = self.towers.user_vectors(users), self.towers.item_vectors()
        scores: npt.NDArray[np.float32] = user_vectors @ item_vectors.T
        if scores.size == 0:
            return scores
        unseen = np.where(self.dataset.seen[users].toarray() > 0, -np.inf, scores)
        place = max(0, scores.shape[1] - self.config.depth)
        last = np.partition(unseen, place, axis=1)[:, place]
        row, item = np.nonzero(scores >= last[:, None])
        answers = self.prediction.logits(user_vectors[row], item_vectors[item])
        lowest = np.full(len(users), np.inf, np.float32)
        np.minimum.at(lowest, row, answers)
        scores -= scores.max(1, keepdims=True) + 1 - lowest[:, None]  # below all that the head has put in order
        scores[row, item] = answers
        return scores

    def similar_items(self, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> TopK:
        """As the towers see it."""
        return self.towers.similar_items(k, allowed)

    @classmethod
    def build(cls, config: HeadConfig, profile: Profile) -> Self:
        """The model that a profile describes, before it is fitted."""
        return cls(config, profile.training, TwoTower.build(config.towers, profile))

    def save(self, folder: Path) -> None:
        (folder / TOWERS).mkdir()
        self.towers.save(folder / TOWERS)
        self.prediction.save(folder)
        report = None if self.report is None else asdict(self.report)
        (folder / "model.json").write_text(
            json.dumps({"kind": self.kind, "report": report}, indent=1), encoding="utf-8"
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        prediction = PredictionHead.load(folder)
        model = cls(prediction.config, prediction.training, TwoTower.load(folder / TOWERS))
        model.towers.name = folder.name
        model.prediction = prediction
        model.report = None if content["report"] is None else FitReport(**content["report"])
        return model

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write both towers and the head as ONNX; see `TwoTower.export_onnx` and `PredictionHead.export_onnx`."""
        if self.prediction.report is None and self.report is None:
            raise NotReadyError("head isn't fitted, call `fit` or `load` first")
        towers, head = self.towers.export_onnx(folder), self.prediction.export_onnx(folder)
        largest = max(towers["onnx_max_abs_diff"], head["onnx_max_abs_diff"])
        return {**towers, "onnx_max_abs_diff": largest, "files": [*towers["files"], *head["files"]]}


def _held_out(dataset: Dataset, rows: TrainingRows) -> tuple[TrainingRows, TrainingRows | None]:
    """Rows to learn from, and those of the users held out, told by their ids; None where too few users are left."""
    first = first_meetings(dataset)[rows.event] == rows.event
    chosen = np.array([crc32(str(user).encode()) % HELD_OUT == 0 for user in dataset.user_ids])[
        dataset.user[rows.event]
    ]
    if not (chosen & first).any() or not (~chosen & first).any():
        return rows, None
    return _part(rows, ~chosen), _part(rows, chosen)


def _part(rows: TrainingRows, chosen: npt.NDArray[np.bool_]) -> TrainingRows:
    frames = {
        name: getattr(rows, name)[chosen].reset_index(drop=True)
        for name in ("user_features", "item_features", "pair_features")
        if len(getattr(rows, name))
    }
    return replace(rows, event=rows.event[chosen], **frames)


def _line(entry: dict[str, float]) -> str:
    figures = [f"{name} {entry[name]:.4f}" for name in ("auc", "accuracy", "rmse", "mae", "recall") if name in entry]
    return f"head: {', '.join(figures) or 'nothing held out to measure it by'}"
