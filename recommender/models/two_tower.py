"""The hybrid two-tower model: ids, metadata and pooled history into vectors whose dot product is the score."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recommender.columns import ITEM_ID, USER_ID
from recommender.config.preprocessing import Preprocessing
from recommender.config.profile import Training
from recommender.config.profile import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError
from recommender.features.definitions import Feature
from recommender.features.encoding import FeatureEncoder, load_encoder, save_encoder
from recommender.models.base import Model
from recommender.models.export import export_towers
from recommender.models.objective import Attached, Objective, history_tensors
from recommender.models.towers import ItemTower, UserTower
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import top_k
from recommender.training.batches import BatchMaker, latest_histories
from recommender.training.report import FitReport
from recommender.training.trainer import Schedule, train

USER_BLOCK = 4096
"""Users encoded at one time; their histories' vectors are the bulk of the memory."""
VALIDATION_K = 20

Part = TypeVar("Part")


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
    """

    kind: ClassVar[str] = "two_tower"

    def __init__(
        self,
        config: TwoTowerConfig,
        training: Training,
        user_features: list[Feature],
        item_features: list[Feature],
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.training = training
        self.user_features = user_features
        self.item_features = item_features
        self.preprocessing = preprocessing or Preprocessing()
        self.report: FitReport | None = None
        use_cuda = training.device == "cuda" or (training.device == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda" if use_cuda else "cpu")
        self._towers: nn.ModuleDict | None = None
        self._encoders: tuple[FeatureEncoder, FeatureEncoder] | None = None
        self._ids: tuple[pd.Index, pd.Index] | None = None
        self._attached: Attached | None = None

    def fit(
        self,
        dataset: Dataset,
        rows: TrainingRows,
        truth: Truth | None = None,
        *,
        epochs: int | None = None,
        progress: Progress = quiet,
    ) -> FitReport:
        """Learn from `rows`; see `Model.fit`.

        Items' categories are taken from `dataset`, as fixed; all numbers and users' categories from `rows`.

        Raises
        ------
        TrainingError
            Nothing to train on, a declared feature is missing, or the loss became NaN.
        """
        self._encoders = (
            FeatureEncoder.fit(rows.user_features, self.user_features, self.preprocessing),
            FeatureEncoder.fit(rows.item_features, self.item_features, self.preprocessing),
        )
        # whoever the k-core leaves out is as new: an id without training rows would be a random vector
        users = np.setdiff1d(dataset.active_users, np.setdiff1d(dataset.user[rows.outside], dataset.user[rows.event]))
        items = np.flatnonzero(dataset.known_items)
        items = np.setdiff1d(items, np.setdiff1d(dataset.item[rows.outside], dataset.item[rows.event]))
        self._ids = (pd.Index(dataset.user_ids[users]), pd.Index(dataset.item_ids[items]))
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
        schedule = Schedule(
            max_epochs=self.config.max_epochs,
            patience=self.config.patience,
            learning_rate=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            averaging=self.config.averaging,
            epochs=epochs,
        )
        with (
            _threads(self.training.threads),
            torch.random.fork_rng(devices=[] if self.device.type == "cpu" else None),
        ):
            torch.manual_seed(self.training.seed)
            self._towers = self._build()
            self.attach(dataset)
            objective = Objective(self._towers, self.config, batches, rows, self._encoders, self._state(), self.device)
            self.report = train(
                self._towers,
                lambda epoch: objective.epoch(np.random.default_rng([self.training.seed, epoch])),
                schedule,
                recall=None if truth is None or len(truth.users) == 0 else lambda: self._recall(truth),
                progress=progress,
            )
        self._forget_vectors()
        return self.report

    def attach(self, dataset: Dataset) -> None:
        users, items = _fitted(self._encoders)
        user_ids, item_ids = _fitted(self._ids)
        user_numbers, user_categories = users.transform(dataset.user_features)
        item_numbers, item_categories = items.transform(dataset.item_features)
        self._attached = Attached(
            user=user_ids.get_indexer(pd.Index(dataset.user_ids)).astype(np.int64) + 1,
            user_numbers=user_numbers,
            user_categories=user_categories,
            item=torch.from_numpy(item_ids.get_indexer(pd.Index(dataset.item_ids)).astype(np.int64) + 1).to(
                self.device
            ),
            item_numbers=torch.from_numpy(item_numbers).to(self.device),
            item_categories=torch.from_numpy(item_categories.astype(np.int64)).to(self.device),
        )
        super().attach(dataset)

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

    def similarity_vectors(self) -> npt.NDArray[np.float32]:
        return self.item_vectors()[:, :-1]  # how popular an item is says nothing about what it is like

    def save(self, folder: Path) -> None:
        users, items = _fitted(self._encoders)
        user_ids, item_ids = _fitted(self._ids)
        weights = {name: value.contiguous().cpu() for name, value in _fitted(self._towers).state_dict().items()}
        save_file(weights, folder / "weights.safetensors")
        save_encoder(users, "user", folder)
        save_encoder(items, "item", folder)
        pd.DataFrame({USER_ID: user_ids}).to_parquet(folder / "user_ids.parquet", index=False)
        pd.DataFrame({ITEM_ID: item_ids}).to_parquet(folder / "item_ids.parquet", index=False)
        content = {
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
            "user_features": [asdict(feature) for feature in self.user_features],
            "item_features": [asdict(feature) for feature in self.item_features],
            "report": None if self.report is None else asdict(self.report),
        }
        (folder / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        encoders = load_encoder("user", folder), load_encoder("item", folder)
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = cls(
            TwoTowerConfig.model_validate(content["config"]),
            Training.model_validate(content["training"]),
            [Feature(**feature) for feature in content["user_features"]],
            [Feature(**feature) for feature in content["item_features"]],
            Preprocessing.model_validate(content["preprocessing"]),
        )
        model.report = None if content["report"] is None else FitReport(**content["report"])
        model._encoders = encoders
        model._ids = (
            pd.Index(pd.read_parquet(folder / "user_ids.parquet")[USER_ID]),
            pd.Index(pd.read_parquet(folder / "item_ids.parquet")[ITEM_ID]),
        )
        model._towers = model._build()
        model._towers.load_state_dict(load_file(folder / "weights.safetensors", device=str(model.device)))
        model._towers.eval()
        return model

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write both towers as ONNX; see `export.export_towers`."""
        users, items = _fitted(self._encoders)
        return export_towers(self._tower("user"), self._tower("item"), users, items, self.config.history_length, folder)

    def _build(self) -> nn.ModuleDict:
        users, items = _fitted(self._encoders)
        user_ids, item_ids = _fitted(self._ids)
        width = self.config.dimension
        user_tower = UserTower(
            len(user_ids),
            users.category_sizes,
            users.numeric_width,
            width,
            self.config.history_length,
            self.config.dropout,
        )
        item_tower = ItemTower(len(item_ids), items.category_sizes, items.numeric_width, width)
        return nn.ModuleDict({"user": user_tower, "item": item_tower}).to(self.device)

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
        return _fitted(self._towers)[name]

    def _state(self) -> Attached:
        if self._attached is None:
            raise NotReadyError("two_tower has no data attached, call `fit` or `attach` first")
        return self._attached


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` threads inside the block; None leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fitted(part: Part | None) -> Part:
    if part is None:
        raise NotReadyError("two_tower isn't fitted, call `fit` or `load` first")
    return part
