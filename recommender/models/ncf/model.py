"""Neural collaborative filtering as a model of the profile."""

import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from recommender.config.ncf import Ncf as NcfConfig
from recommender.config.preprocessing import Preprocessing
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import ArtifactError, NotReadyError
from recommender.features.definitions import Feature, declared_features
from recommender.features.encoding import MAX_CATEGORIES, FeatureEncoder
from recommender.models.base import ALONE, Model, Support
from recommender.models.compatibility import require_definitions
from recommender.models.ncf.export import export_network
from recommender.models.ncf.fitted import Attached, Fitted
from recommender.models.ncf.network import Part
from recommender.models.ncf.newcomers import Newcomers
from recommender.models.ncf.objective import Objective, sample_of
from recommender.models.popularity import Popularity
from recommender.models.recall import recall
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK
from recommender.retrieval.similar import most_similar
from recommender.training.fitting import device_of, fit_module, seeded
from recommender.training.report import FitReport

PAIR_BLOCK = 1 << 14
"""Pairs whose dense layers are computed at one time; more fall out of the processor's cache."""
ITEM_BLOCK = 2048
LEAST_SHARE = 1e-6


class Ncf(Model):
    """A network over the embeddings of a user and an item; the score is a logit.

    Users unknown to training are taken as the mean of those who met the same items; without any they get what is
    popular, unless categories describe them. Items unknown to training share one embedding, to which their categories
    are added where the profile wants them.

    Parameters
    ----------
    config
        Architecture, width, negatives and the like.
    training
        Seed, threads and device.
    user_features, item_features
        The declared features; the categories among them are read where `config.metadata` says so.
    preprocessing, max_categories
        How they are prepared.
    """

    kind: ClassVar[str] = "ncf"
    factorises = False
    warm_starts: ClassVar[bool] = True

    def __init__(
        self,
        config: NcfConfig,
        training: Training,
        user_features: list[Feature],
        item_features: list[Feature],
        preprocessing: Preprocessing | None = None,
        max_categories: int = MAX_CATEGORIES,
    ) -> None:
        super().__init__()
        self.config = config
        self.training = training
        self.user_features = _categories(user_features) if config.metadata else []
        self.item_features = _categories(item_features) if config.metadata else []
        self.preprocessing = preprocessing or Preprocessing()
        self.max_categories = max_categories
        self.name: str = self.kind
        """What error messages call it: the folder it was read from."""
        self.report: FitReport | None = None
        self.device = device_of(training)
        self._fitted: Fitted | None = None
        self._attached: Attached | None = None
        self._popular = Popularity()

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
        """Learn from `rows`; see `Model.fit`. Users' categories are those of the rows, items' those of `dataset`.

        Raises
        ------
        TrainingError
            Nothing to train on, a declared feature is missing, or the loss became NaN.
        ArtifactError
            The model to go on from has another shape.
        """
        encoders = (
            FeatureEncoder.fit(rows.user_features, self.user_features, self.preprocessing, self.max_categories),
            FeatureEncoder.fit(rows.item_features, self.item_features, self.preprocessing, self.max_categories),
        )
        users, items = np.unique(dataset.user[rows.event]), np.unique(dataset.item[rows.event])
        ids = (pd.Index(dataset.user_ids[users]), pd.Index(dataset.item_ids[items]))
        with seeded(self.training):
            self._fitted = fitted = Fitted.fresh(self.config, encoders, ids, self.device)
            if support.start is not None:
                fitted.take_over(_fitted_of(support.start))
            self._read(dataset)
            objective = Objective(fitted, self.config, dataset, rows, self._state())
            self.report = fit_module(
                fitted.network,
                lambda epoch: objective.epoch(np.random.default_rng([self.training.seed, epoch])),
                self.config,
                self.training,
                epochs=epochs,
                validate=self._judge(truth, support.on_epoch),
                batches=objective.batches,
                checkpoints=support.checkpoints,
                logs=support.logs,
                progress=progress,
            )
        self._forget()
        return self.report

    def attach(self, dataset: Dataset) -> None:
        """Score this data set from now on; see `Model.attach`.

        Raises
        ------
        ArtifactError
            The data set lacks a category that the model was trained on, or has it by another definition.
        """
        require_definitions(self.name, (*self.user_features, *self.item_features), dataset)
        self._read(dataset)

    def knows(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """(n,) False for users who get what is popular: training met neither them nor what they met, and no category
        describes them.
        """
        if self._trained().encoders[0].category_inputs:
            return np.ones(len(users), bool)
        return (self._state().user[users] > 0) | self._newcomers.among(users)

    @torch.inference_mode()
    def scores(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(users, items) logits, a new array; for users it doesn't know, of each item's popularity."""
        users = np.asarray(users, np.int64)
        scores = np.empty((len(users), len(self.dataset.item_ids)), np.float32)
        known = self.knows(users)
        scores[~known] = self.popular()
        network, items = self._trained().network, self._items()
        rows = np.flatnonzero(known)
        width = min(ITEM_BLOCK, max(1, scores.shape[1]))
        height = max(1, PAIR_BLOCK // width)
        for start in range(0, len(rows), height):
            chosen = rows[start : start + height]
            part = self._users(users[chosen])
            for left in range(0, scores.shape[1], width):
                some = Part(*(values[left : left + width] for values in items))
                scores[chosen, left : left + width] = network.block(part, some).cpu().numpy()
        return scores

    @torch.inference_mode()
    def score(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        users, items = np.asarray(users, np.int64), np.asarray(items, np.int64)
        scores = np.empty(len(users), np.float32)
        known = self.knows(users)
        scores[~known] = self.popular()[items[~known]]
        network, parts = self._trained().network, self._items()
        rows = np.flatnonzero(known)
        for start in range(0, len(rows), PAIR_BLOCK):
            chosen = rows[start : start + PAIR_BLOCK]
            wanted = torch.from_numpy(items[chosen]).to(self.device)
            some = Part(*(values[wanted] for values in parts))
            scores[chosen] = network.pairs(self._users(users[chosen]), some).cpu().numpy()
        return scores

    def popular(self) -> npt.NDArray[np.float32]:
        """(items,) scores for users it doesn't know: logits of recent events as a share of the most popular item's."""
        counts = self._popular.scores(np.zeros(1, np.int64))[0]
        share = np.clip(counts / max(float(counts.max(initial=0.0)), LEAST_SHARE), LEAST_SHARE, 1 - LEAST_SHARE)
        return np.asarray(np.log(share) - np.log1p(-share), np.float32)

    @torch.inference_mode()
    def similar_items(self, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> TopK:
        """By the cosine of their embeddings."""
        state = self._state()
        side = self._trained().network.item
        ids, categories = (torch.from_numpy(part.astype(np.int64)) for part in (state.item, state.item_categories))
        embedded = side.embed(ids.to(self.device), categories.to(self.device)).cpu().numpy()
        return most_similar(embedded, k, allowed=allowed)

    @classmethod
    def build(cls, config: NcfConfig, profile: Profile) -> Self:
        """The model that a profile describes, before it is fitted."""
        user, item = declared_features(profile, "user"), declared_features(profile, "item")
        return cls(config, profile.training, user, item, profile.preprocessing, profile.features.max_categories)

    def save(self, folder: Path) -> None:
        self._trained().save(folder)
        content = {
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
            "max_categories": self.max_categories,
            "user_features": [asdict(feature) for feature in self.user_features],
            "item_features": [asdict(feature) for feature in self.item_features],
            "report": None if self.report is None else asdict(self.report),
        }
        (folder / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if content["kind"] != cls.kind:
            raise ArtifactError(f"{folder.name} is a model of kind {content['kind']}, not {cls.kind}")
        model = cls(
            NcfConfig.model_validate(content["config"]),
            Training.model_validate(content["training"]),
            [Feature(**feature) for feature in content["user_features"]],
            [Feature(**feature) for feature in content["item_features"]],
            Preprocessing.model_validate(content["preprocessing"]),
            content["max_categories"],
        )
        model.name = folder.name
        model.report = None if content["report"] is None else FitReport(**content["report"])
        model._fitted = Fitted.load(folder, model.config, model.device)
        return model

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write the network as ONNX; see `export.export_network`."""
        fitted = self._trained()
        return export_network(fitted.network, *fitted.encoders, folder)

    def _read(self, dataset: Dataset) -> None:
        self._attached = self._trained().read(dataset)
        self._popular.attach(dataset)
        super().attach(dataset)
        self._forget()

    def _forget(self) -> None:
        """What the weights gave may be otherwise now."""
        self._state().items = None
        self._newcomers = Newcomers(self._trained(), self._state(), self.dataset)

    def _judge(self, truth: Truth | None, on_epoch: Callable[[int, float], None] | None) -> Callable[[], float] | None:
        """What training asks after each epoch, if there is anything to ask."""
        if truth is None or len(truth.users) == 0:
            return None
        sample, epochs = sample_of(truth), count(1)

        def judge() -> float:
            self._forget()
            figure = recall(self, sample)
            if on_epoch is not None:
                on_epoch(next(epochs), figure)
            return figure

        return judge

    def _users(self, users: npt.NDArray[np.int64]) -> Part:
        state = self._state()
        part = self._trained().part("user", state.user[users], state.user_categories[users])
        return self._newcomers.add_to(part, users)

    def _items(self) -> Part:
        state = self._state()
        if state.items is None:
            state.items = self._trained().part("item", state.item, state.item_categories)
        return state.items

    def _trained(self) -> Fitted:
        if self._fitted is None:
            raise NotReadyError("ncf isn't fitted, call `fit` or `load` first")
        return self._fitted

    def _state(self) -> Attached:
        if self._attached is None:
            raise NotReadyError("ncf has no data attached, call `fit` or `attach` first")
        return self._attached


def _categories(features: list[Feature]) -> list[Feature]:
    return [feature for feature in features if feature.kind in ("categorical", "categories")]


def _fitted_of(model: Model) -> Fitted:
    if not isinstance(model, Ncf):
        raise ArtifactError(f"ncf can't go on from a model of kind {model.kind}: train from scratch")
    return model._trained()
