"""The hybrid two-tower model: ids, metadata and pooled history into vectors whose dot product is the score."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from recommender.config.preprocessing import Preprocessing
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError
from recommender.features.definitions import Feature, declared_features
from recommender.features.encoding import MAX_CATEGORIES, FeatureEncoder
from recommender.models.base import ALONE, Model, Support
from recommender.models.compatibility import require_definitions
from recommender.models.export import export_towers
from recommender.models.fitted import Fitted
from recommender.models.objective import Attached, Objective, history_tensors
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK, most_similar, top_k
from recommender.training.batches import BatchMaker, latest_histories
from recommender.training.fitting import device_of, fit_module, seeded
from recommender.training.report import FitReport

USER_BLOCK = 4096
"""Users encoded at one time; their histories' vectors are the bulk of the memory."""
VALIDATION_K = 20


class TwoTower(Model):
    """Item tower and user tower, both normalised, trained with a corrected in-batch softmax.

    Vectors have `config.dimension` normalised columns and one more: an item's bias, which the user vector
    answers with 1. Without that column the dot product of two items is their cosine.

    Parameters
    ----------
    config
        Width, history, temperature and the like.
    training
        Seed, threads and device.
    user_features, item_features
        The declared features, which are columns of the data set's and the training rows' frames.
    preprocessing
        How they are prepared.
    max_categories
        Of a row with more categories the first ones are read.
    """

    kind: ClassVar[str] = "two_tower"

    def __init__(
        self,
        config: TwoTowerConfig,
        training: Training,
        user_features: list[Feature],
        item_features: list[Feature],
        preprocessing: Preprocessing | None = None,
        max_categories: int = MAX_CATEGORIES,
    ) -> None:
        super().__init__()
        self.config = config
        self.training = training
        self.user_features = user_features
        self.item_features = item_features
        self.preprocessing = preprocessing or Preprocessing()
        self.max_categories = max_categories
        self.name: str = self.kind
        """What error messages call it: the folder it was read from."""
        self.report: FitReport | None = None
        self.device = device_of(training)
        self._fitted: Fitted | None = None
        self._attached: Attached | None = None

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
        """Learn from `rows`; see `Model.fit`.

        Items' categories are taken from `dataset`, as fixed; all numbers and users' categories from `rows`.

        Raises
        ------
        TrainingError
            Nothing to train on, a declared feature is missing, or the loss became NaN.
        """
        encoders = (
            FeatureEncoder.fit(rows.user_features, self.user_features, self.preprocessing, self.max_categories),
            FeatureEncoder.fit(rows.item_features, self.item_features, self.preprocessing, self.max_categories),
        )
        # whoever the k-core leaves out is as new: an id without training rows would be a random vector
        users = np.setdiff1d(dataset.active_users, np.setdiff1d(dataset.user[rows.outside], dataset.user[rows.event]))
        items = np.flatnonzero(dataset.known_items)
        items = np.setdiff1d(items, np.setdiff1d(dataset.item[rows.outside], dataset.item[rows.event]))
        ids = (pd.Index(dataset.user_ids[users]), pd.Index(dataset.item_ids[items]))
        batches = BatchMaker(
            dataset,
            rows,
            history_length=self.config.history_length,
            history_dropout=self.config.history_dropout,
            stretch_days=self.config.stretch_days,
            stretch_events=self.config.stretch_events,
            hide=self.config.hide,
            batch_size=self.config.batch_size,
        )
        with seeded(self.training):
            self._fitted = fitted = Fitted.fresh(self.config, encoders, ids, self.device)
            self._read(dataset)
            objective = Objective(fitted.towers, self.config, batches, rows, encoders, self._state(), self.device)
            self.report = fit_module(
                fitted.towers,
                lambda epoch: objective.epoch(np.random.default_rng([self.training.seed, epoch])),
                self.config,
                self.training,
                epochs=epochs,
                validate=None if truth is None or len(truth.users) == 0 else lambda: self._recall(truth),
                checkpoints=support.checkpoints,
                logs=support.logs,
                progress=progress,
            )
        self._forget_vectors()
        return self.report

    def attach(self, dataset: Dataset) -> None:
        """Score this data set from now on; see `Model.attach`.

        Raises
        ------
        ArtifactError
            The data set lacks a feature that the model was trained on, or has it by another definition.
        """
        require_definitions(self.name, (*self.user_features, *self.item_features), dataset)
        self._read(dataset)

    @torch.inference_mode()
    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        chosen = np.arange(len(self.dataset.user_ids)) if users is None else np.asarray(users, np.int64)
        vectors = np.zeros((len(chosen), self.config.dimension + 1), np.float32)
        state, content, tower = self._state(), self._content(), self._tower("user")
        for start in range(0, len(chosen), USER_BLOCK):
            block = chosen[start : start + USER_BLOCK]
            histories = latest_histories(self.dataset, block, self.config.history_length)
            items, age, present = (part.to(self.device) for part in history_tensors(histories))
            vectors[start : start + USER_BLOCK] = tower(
                content[items],
                age,
                present,
                torch.from_numpy(state.user[block]).to(self.device),
                torch.from_numpy(state.user_categories[block].astype(np.int64)).to(self.device),
                torch.from_numpy(state.user_numbers[block]).to(self.device),
            ).cpu()
        return vectors

    @torch.inference_mode()
    def item_vectors(self) -> npt.NDArray[np.float32]:
        state = self._state()
        if state.vectors is None:
            tower = self._tower("item")
            state.vectors = tower.finish(self._content(), state.item, state.item_numbers).cpu().numpy()
        return state.vectors

    def similar_items(self, k: int) -> TopK:
        return most_similar(self.item_vectors()[:, :-1], k)  # how popular an item is says nothing about what it is like

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
    def build(cls, config: TwoTowerConfig, profile: Profile) -> Self:
        """The model that a profile describes, before it is fitted."""
        user, item = declared_features(profile, "user"), declared_features(profile, "item")
        return cls(config, profile.training, user, item, profile.preprocessing, profile.features.max_categories)

    @classmethod
    def load(cls, folder: Path) -> Self:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        config = TwoTowerConfig.model_validate(content["config"])
        training = Training.model_validate(content["training"])
        fitted = Fitted.load(folder, config, device_of(training))
        model = cls(
            config,
            training,
            [Feature(**feature) for feature in content["user_features"]],
            [Feature(**feature) for feature in content["item_features"]],
            Preprocessing.model_validate(content["preprocessing"]),
            content["max_categories"],
        )
        model.name = folder.name
        model.report = None if content["report"] is None else FitReport(**content["report"])
        model._fitted = fitted
        return model

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write both towers as ONNX; see `export.export_towers`."""
        fitted = self._trained()
        user_tower, item_tower = fitted.tower("user"), fitted.tower("item")
        return export_towers(user_tower, item_tower, *fitted.encoders, self.config.history_length, folder)

    def _read(self, dataset: Dataset) -> None:
        self._attached = self._trained().read(dataset, self.device)
        super().attach(dataset)

    def _recall(self, truth: Truth) -> float:
        """Recall@20 over all items, seen ones excluded."""
        self._forget_vectors()
        seen = self.dataset.seen[truth.users]
        best = top_k(self.user_vectors(truth.users), self.item_vectors(), VALIDATION_K, seen=seen)
        rows = np.repeat(np.arange(len(truth.users)), best.items.shape[1])
        hits = np.asarray(truth.relevant[rows, np.maximum(best.items, 0).ravel()]).reshape(best.items.shape)
        hits[best.items < 0] = 0
        return float((hits.sum(1) / np.diff(truth.relevant.indptr)).mean())

    def _content(self) -> Tensor:
        state = self._state()
        if state.content is None:
            state.content = self._tower("item").content(state.item, state.item_categories)
        return state.content

    def _forget_vectors(self) -> None:
        state = self._state()
        state.content = state.vectors = None

    def _tower(self, name: str) -> Any:
        return self._trained().tower(name)

    def _trained(self) -> Fitted:
        if self._fitted is None:
            raise NotReadyError("two_tower isn't fitted, call `fit` or `load` first")
        return self._fitted

    def _state(self) -> Attached:
        if self._attached is None:
            raise NotReadyError("two_tower has no data attached, call `fit` or `attach` first")
        return self._attached
