"""The hybrid two-tower model: ids, metadata and pooled history into vectors whose dot product is the score."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from recommender.config.preprocessing import Preprocessing
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import ArtifactError, NotReadyError
from recommender.features.definitions import Feature, declared_features
from recommender.features.encoding import MAX_CATEGORIES, FeatureEncoder
from recommender.models.attached import Attached, history_tensors
from recommender.models.base import ALONE, Model, Support
from recommender.models.compatibility import require_definitions
from recommender.models.distillation import fitted_teacher
from recommender.models.ease import Ease
from recommender.models.explaining.contributions import Arrangement, Contributions, Explained, as_ranked
from recommender.models.explaining.gates import UserInputs
from recommender.models.explaining.towers import Removals
from recommender.models.export import export_towers
from recommender.models.export_variants import variant_file, write_variants
from recommender.models.first_events import turned_to_items
from recommender.models.fitted import Fitted, ids_with_rows
from recommender.models.objective import Objective, require_declared
from recommender.models.recall import after_epochs, recall
from recommender.models.warm_start import carry_over
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK
from recommender.training.batches import latest_histories
from recommender.training.fitting import device_of, fit_module, seeded
from recommender.training.report import FitReport

USER_BLOCK = 4096
"""Users encoded at one time; their histories' vectors are the bulk of the memory."""


class TwoTower(Model):
    """Item tower and user tower, whose vectors' dot product is the score.

    Vectors have `config.dimension` columns and with `item_bias` one more: an item's bias, which the user vector
    answers with 1. With `similarity: cosine` the dot product of two items without that column is their cosine.

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
    warm_starts: ClassVar[bool] = True

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

        Items' categories are taken from `dataset`, as fixed; all numbers and users' categories from `rows`. With
        `support.start` the weights go on from that model's, for `config.warm_epochs` at most unless `epochs` are given.

        Raises
        ------
        TrainingError
            Nothing to train on, a declared feature is missing, or the loss became NaN.
        ArtifactError
            `support.start` has other parts, widths or features than this model.
        """
        encoders = (
            FeatureEncoder.fit(rows.user_features, self.user_features, self.preprocessing, self.max_categories),
            FeatureEncoder.fit(rows.item_features, self.item_features, self.preprocessing, self.max_categories),
        )
        ids = ids_with_rows(dataset, rows)
        teacher = None
        if (linear := self.config.teacher) is not None:
            teacher = fitted_teacher(linear, self.training, self.item_features, dataset, rows, support, progress)
        with seeded(self.training):
            self._fitted = fitted = Fitted.fresh(self.config, encoders, ids, self.device)
            self._read(dataset)
            if support.start is not None:
                self._go_on_from(support.start)
            objective = self.objective(rows, teacher)
            self.report = fit_module(
                fitted.towers,
                lambda epoch: objective.epoch(np.random.default_rng([self.training.seed, epoch])),
                self.config if support.start is None else self.config.going_on,
                self.training,
                epochs=epochs,
                validate=after_epochs(self._recall, truth, support.on_epoch),
                batches=objective.batches_an_epoch,
                checkpoints=support.checkpoints,
                logs=support.logs,
                progress=progress,
            )
        self._forget_vectors()
        return self.report

    @property
    def modules(self) -> nn.ModuleDict:
        """Both towers, `user` and `item`."""
        return self._trained().towers

    def objective(self, rows: TrainingRows, teacher: Ease | None = None) -> Objective:
        """Examples of the attached data set, as the towers learn from them."""
        fitted = self._trained()
        return Objective(
            fitted.towers, self.config, self.dataset, rows, fitted.encoders, self._state(), self.device, teacher
        )

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
        vectors = np.zeros((len(chosen), self.config.vector_width), np.float32)
        tower = self._trained().tower("user")
        for start in range(0, len(chosen), USER_BLOCK):
            block = slice(start, start + USER_BLOCK)
            vectors[block] = tower(*self._user_inputs(chosen[block])).cpu()
        new = np.flatnonzero(self._are_read_by_items(chosen))
        if len(new):
            vectors[new] = turned_to_items(vectors[new], self.dataset.seen[chosen[new]], self.directions())
        return vectors

    @torch.inference_mode()
    def item_vectors(self) -> npt.NDArray[np.float32]:
        state = self._state()
        if state.vectors is None:
            tower = self._trained().tower("item")
            vectors = tower.finish(self._content(), state.item, state.item_categories, state.item_numbers)
            state.vectors = vectors.cpu().numpy()
        return state.vectors

    def contributions(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.integer]) -> Contributions:
        return self.removals().contributions(users, items)

    def explained(
        self,
        users: npt.NDArray[np.int64],
        k: int,
        *,
        allowed: npt.NDArray[np.bool_] | None = None,
        arranged: Arrangement = as_ranked,
    ) -> Iterator[Explained]:
        def find(block: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]) -> TopK:
            new = self._are_read_by_items(block)
            if new.any():
                vectors = vectors.copy()
                vectors[new] = self.user_vectors(block[new])
            return self.nearest(vectors, k, self.dataset.seen[block], allowed)

        return self.removals().explained(users, find, arranged)

    def directions(self) -> npt.NDArray[np.float32]:
        # how popular an item is says nothing about what it is like
        return self.item_vectors()[:, : self.config.dimension]

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
        """The model that a profile describes, before it is fitted.

        Raises
        ------
        ConfigError
            `align_by` or the teacher's `side_features` name what is no declared category of the items.
        """
        require_declared(config, profile)
        user, item = declared_features(profile, "user"), declared_features(profile, "item")
        return cls(config, profile.training, user, item, profile.preprocessing, profile.features.max_categories)

    @classmethod
    def load(cls, folder: Path) -> Self:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        config = TwoTowerConfig.model_validate(content["config"])
        training = Training.model_validate(content["training"])
        fitted = Fitted.load(folder, config, device_of(training))
        user, item = ([Feature(**feature) for feature in content[f"{side}_features"]] for side in ("user", "item"))
        preprocessing = Preprocessing.model_validate(content["preprocessing"])
        model = cls(config, training, user, item, preprocessing, content["max_categories"])
        model.name = folder.name
        model.report = None if content["report"] is None else FitReport(**content["report"])
        model._fitted = fitted
        return model

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write both towers as ONNX; see `export.export_towers` and, for smaller copies, `export_variants`.

        Raises
        ------
        NotReadyError
            `export_variants` are compared on the attached data set, and there is none.
        """
        fitted, length = self._trained(), self.config.history_length
        result = export_towers(fitted.tower("user"), fitted.tower("item"), *fitted.encoders, length, folder)
        if not (variants := self.config.export_variants):
            return result

        def inputs(users: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
            return self._state().user_inputs(users, latest_histories(self.dataset, users, length))

        losses = write_variants(folder, variants, inputs, self._state().item_inputs(), self.dataset)
        copies = [variant_file(name, variant) for variant in losses for name in result["files"]]
        return {**result, "files": [*result["files"], *copies], "variants": losses}

    def _read(self, dataset: Dataset) -> None:
        self._attached = self._trained().read(dataset, self.device)
        super().attach(dataset)

    def removals(self) -> Removals:
        """The towers with their named inputs to be taken away."""
        state = self._state()
        if state.removals is None:
            state.removals = Removals(self._trained(), state, self.user_features, self.item_features, self._user_inputs)
        return state.removals

    def _user_inputs(self, users: npt.NDArray[np.int64]) -> UserInputs:
        ids, categories, numbers = self._state().user_tensors(users, self.device)
        if self.config.history == "none":
            return None, None, None, ids, categories, numbers
        histories = latest_histories(self.dataset, users, self.config.history_length)
        items, age, present = (part.to(self.device) for part in history_tensors(histories))
        return self._content()[items], age, present, ids, categories, numbers

    def _are_read_by_items(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """(n,) True for users whose events nothing else would read: no history is, and training never met them."""
        unread: npt.NDArray[np.bool_] = (self._state().user[users] == 0) & (np.diff(self.dataset.offsets)[users] > 0)
        unread &= self.config.history == "none"
        return unread

    def _go_on_from(self, start: Model) -> None:
        if not isinstance(start, TwoTower):
            raise ArtifactError(f"two_tower cannot go on from a model of kind {start.kind}: train from scratch")
        adds = self.config.fusion == "sum"
        carry_over(start._trained(), self._trained(), self._state(), start.name, ids_add_to_metadata=adds)

    def _recall(self, truth: Truth) -> float:
        self._forget_vectors()
        return recall(self, truth)

    def _content(self) -> Tensor:
        state = self._state()
        if state.content is None:
            state.content = self._trained().tower("item").content(state.item, state.item_categories)
        return state.content

    def _forget_vectors(self) -> None:
        state = self._state()
        state.content = state.vectors = state.removals = None

    def _trained(self) -> Fitted:
        if self._fitted is None:
            raise NotReadyError("two_tower isn't fitted, call `fit` or `load` first")
        return self._fitted

    def _state(self) -> Attached:
        if self._attached is None:
            raise NotReadyError("two_tower has no data attached, call `fit` or `attach` first")
        return self._attached
