"""What models share that learn items from who met them, and read a user as what they have met."""

import json
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.numpy import load_file, save_file
from scipy import sparse

from recommender.columns import ITEM_ID
from recommender.config.classic import FromHistories
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError, TrainingError
from recommender.features.definitions import Feature
from recommender.models.base import ALONE, Model, Support
from recommender.models.compatibility import require_definitions
from recommender.models.interactions import histories, learnt_from
from recommender.models.side import (
    Catalogue,
    categories_of,
    features_json,
    features_of,
    require_columns,
    side_rows,
)
from recommender.progress import Progress, quiet
from recommender.training.report import FitReport


class HistoryModel(Model):
    """Learns about items alone, from all known events, whether in the training window or before it.

    What each user has met, and how long ago, is read from whatever data set is attached, so users who are new to the
    model are like others, and nothing of any user is kept. New items are scored as those they share a category with.

    Parameters
    ----------
    config
        The model's section.
    training
        Seed and threads.
    side
        Categories of the items, most telling first.
    """

    config_class: ClassVar[type[FromHistories]]
    newcomer_weight: ClassVar[float] = 1.0
    """What the mean of the items that a new one stands for is multiplied by."""

    def __init__(self, config: Any, training: Training, side: Sequence[Feature] = ()) -> None:
        super().__init__()
        self.config = config
        self.training = training
        self.side = tuple(side)
        self.name: str = self.kind
        """What error messages call it: the folder it was read from."""
        self._ids: pd.Index | None = None
        self._catalogue: Catalogue | None = None
        self._histories = sparse.csr_matrix((0, 0), dtype=np.float32)

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
        """Learn from every known event but those that the k-core leaves out; `truth` and `epochs` change nothing.

        Raises
        ------
        TrainingError
            There is nothing to learn from, a side feature is missing, or the model can't be made of so much.
        """
        started = time.monotonic()
        require_columns(self.kind, self.side, dataset)
        met, items = learnt_from(dataset, rows)
        if len(items) == 0:
            raise TrainingError(f"{self.kind} has no events to learn from: ingest earlier nights, or choose a later ds")
        self._learn(met, side_rows(dataset.item_features.iloc[items], self.side), progress)
        self._ids = pd.Index(dataset.item_ids[items])
        self.attach(dataset)
        self.report = FitReport(epochs=0, seconds=time.monotonic() - started)
        return self.report

    def attach(self, dataset: Dataset) -> None:
        """Score this data set from now on; see `Model.attach`.

        Raises
        ------
        ArtifactError
            The data set lacks a side feature, or has it by another definition.
        """
        require_definitions(self.name, self.side, dataset)
        self._catalogue = Catalogue(self._fitted(), dataset, self.side, self.newcomer_weight)
        self._histories = histories(dataset, self.config.half_life_days, self.config.floor)
        super().attach(dataset)

    @classmethod
    def build(cls, config: Any, profile: Profile) -> Self:
        """The model that a section of the profile describes, before it is fitted.

        Raises
        ------
        ConfigError
            `side_features` names what is no declared category of the items.
        """
        return cls(config, profile.training, categories_of(profile, "item", config.side_features, "side_features"))

    def save(self, folder: Path) -> None:
        ids = self._fitted()
        save_file({name: np.ascontiguousarray(array) for name, array in self._arrays().items()}, folder / _WEIGHTS)
        pd.DataFrame({ITEM_ID: ids}).to_parquet(folder / _IDS, index=False)
        content = {
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "side": features_json(self.side),
        }
        (folder / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = cls(
            cls.config_class.model_validate(content["config"]),
            Training.model_validate(content["training"]),
            features_of(content["side"]),
        )
        model.name = folder.name
        model._ids = pd.Index(pd.read_parquet(folder / _IDS)[ITEM_ID])
        model._restore(load_file(folder / _WEIGHTS))
        return model

    @abstractmethod
    def _learn(self, met: sparse.csr_matrix, side: sparse.csr_matrix, progress: Progress) -> None:
        """Learn from (users, n) events and (values, n) categories of the n items that have events, all 1."""

    @abstractmethod
    def _arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """What was learnt, to be kept."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up what `_arrays` gave."""

    def _fitted(self) -> pd.Index:
        if self._ids is None:
            raise NotReadyError(f"{self.kind} isn't fitted, call `fit` or `load` first")
        return self._ids

    def _attached(self) -> Catalogue:
        if self._catalogue is None:
            raise NotReadyError(f"{self.kind} has no data attached, call `fit` or `attach` first")
        return self._catalogue


_WEIGHTS, _IDS = "weights.safetensors", "item_ids.parquet"
