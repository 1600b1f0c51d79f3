"""A unit vector for each user and item, learnt by a softmax over the whole catalogue."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor, nn

from recommender.columns import USER_ID
from recommender.config.factors import Factors as FactorsConfig
from recommender.config.training import Training
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import TrainingError
from recommender.features.definitions import Feature
from recommender.models.base import ALONE, Support
from recommender.models.history_model import HistoryModel
from recommender.models.interactions import learnt_from
from recommender.models.recall import after_epochs, recall
from recommender.models.side import require_columns
from recommender.progress import Progress, quiet
from recommender.training.catalogue_softmax import catalogue_softmax
from recommender.training.distributed import shard
from recommender.training.fitting import device_of, fit_module, seeded
from recommender.training.report import FitReport

_USER_IDS = "user_ids.parquet"
_LEAST_NORM = 1e-9
Vectors = npt.NDArray[np.float32]


class Factors(HistoryModel):
    """Matrix factors by `catalogue_softmax`; the strongest of ids alone where nothing is known of time or metadata.

    Users who were there in training have their own vectors, others the direction of their history's items, each
    weighing as `half_life_days` and `floor` say.
    """

    kind: ClassVar[str] = "factors"
    config: FactorsConfig
    config_class = FactorsConfig

    def __init__(self, config: FactorsConfig, training: Training, side: Sequence[Feature] = ()) -> None:
        super().__init__(config, training, side)
        self._users = pd.Index([], dtype=object)
        self._user_factors: Vectors = np.zeros((0, config.dimension), np.float32)
        self._factors: Vectors = np.zeros((0, config.dimension), np.float32)
        self._item_vectors: Vectors = self._factors

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
        """Learn from every known event but those that the k-core leaves out; see `Model.fit`.

        Raises
        ------
        TrainingError
            There is nothing to learn from, a side feature is missing, or the loss became NaN.
        """
        started = time.monotonic()
        require_columns(self.kind, self.side, dataset)
        met, items = learnt_from(dataset, rows)
        users = np.flatnonzero(np.diff(met.indptr))
        if len(items) == 0:
            raise TrainingError(f"{self.kind} has no events to learn from: ingest earlier nights, or choose a later ds")
        self._ids, self._users = pd.Index(dataset.item_ids[items]), pd.Index(dataset.user_ids[users])
        device = device_of(self.training)
        with seeded(self.training):
            tables = nn.ModuleDict(
                {
                    side: nn.Embedding(count, self.config.dimension)
                    for side, count in (("user", len(users)), ("item", len(items)))
                }
            ).to(device)
            for table in tables.values():
                nn.init.normal_(
                    next(table.parameters()), std=self.config.dimension**-0.5
                )  # length 1, which the rate is made for

            def validated(asked: Truth) -> float:
                self._take(tables)
                self.attach(dataset)
                return recall(self, asked)

            report = fit_module(
                tables,
                lambda epoch: self._losses(tables, met[users], np.random.default_rng([self.training.seed, epoch])),
                self.config,
                self.training,
                epochs=epochs,
                validate=after_epochs(validated, truth, support.on_epoch),
                batches=-(-len(users) // self.config.batch_size),
                checkpoints=support.checkpoints,
                logs=support.logs,
                progress=progress,
            )
        self._take(tables)
        self.attach(dataset)
        self.report = FitReport(report.epochs, time.monotonic() - started, report.history)
        return self.report

    def attach(self, dataset: Dataset) -> None:
        super().attach(dataset)
        self._item_vectors = np.asarray(self._attached().matrix @ self._factors, np.float32)

    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> Vectors:
        chosen = np.arange(len(self.dataset.user_ids)) if users is None else np.asarray(users, np.int64)
        place = self._users.get_indexer(pd.Index(self.dataset.user_ids[chosen]))
        vectors = _unit(np.asarray(self._histories[chosen] @ self.item_vectors(), np.float32))
        known = place >= 0
        vectors[known] = self._user_factors[place[known]]
        # whoever has neither gets what everybody's direction has in common
        nothing = ~known & (np.diff(self._histories[chosen].indptr) == 0)
        vectors[nothing] = _unit(self._user_factors.mean(0, keepdims=True))
        return vectors

    def item_vectors(self) -> Vectors:
        self._attached()
        return self._item_vectors

    def save(self, folder: Path) -> None:
        super().save(folder)
        pd.DataFrame({USER_ID: self._users}).to_parquet(folder / _USER_IDS, index=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = super().load(folder)
        model._users = pd.Index(pd.read_parquet(folder / _USER_IDS)[USER_ID])
        return model

    def _losses(
        self, tables: nn.ModuleDict, met: sparse.csr_matrix, rng: np.random.Generator
    ) -> Iterator[tuple[Tensor, int]]:
        users: Any = tables["user"]
        items: Any = tables["item"]
        order = rng.permutation(met.shape[0])
        size = self.config.batch_size
        for block in shard(order[start : start + size] for start in range(0, len(order), size)):
            targets = met[block]
            counts = np.diff(targets.indptr).astype(np.float32) ** np.float32(self.config.activity)
            loss = catalogue_softmax(
                nn.functional.normalize(users(torch.from_numpy(block).to(users.weight.device)), dim=-1),
                nn.functional.normalize(items.weight, dim=-1),
                targets,
                torch.from_numpy(counts / counts.sum()).to(users.weight.device),
                self.config.temperature,
            )
            yield loss, targets.nnz

    def _take(self, tables: nn.ModuleDict) -> None:
        user, item = (_unit(tables[side].weight.detach().cpu().numpy()) for side in ("user", "item"))  # type: ignore[operator]
        self._user_factors, self._factors = user, item

    def _arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"users": self._user_factors, "items": self._factors}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._user_factors, self._factors = arrays["users"], arrays["items"]

    def _learn(self, met: sparse.csr_matrix, side: sparse.csr_matrix, progress: Progress) -> None:
        raise NotImplementedError("factors are learnt by `fit` itself")


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, _LEAST_NORM), np.float32)
