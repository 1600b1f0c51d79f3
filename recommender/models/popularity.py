"""Recent popularity: the same list for everyone, and the baseline a learnt model must beat."""

import json
import time
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from recommender.config.classic import Popularity as PopularityConfig
from recommender.config.profile import Profile
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError
from recommender.models.base import ALONE, Model, Support
from recommender.progress import Progress, quiet
from recommender.training.report import FitReport

HALF_LIFE_DAYS = 60.0


class Popularity(Model):
    """Scores an item by its events, each counting half as much for every half-life it is old.

    There is nothing to learn: the counts are those of whatever data set is attached.

    Parameters
    ----------
    half_life_days
        Time after which an event counts half.
    """

    kind: ClassVar[str] = "popularity"
    personal: ClassVar[bool] = False

    def __init__(self, half_life_days: float = HALF_LIFE_DAYS) -> None:
        super().__init__()
        self.half_life_days = half_life_days
        self._scores: npt.NDArray[np.float32] | None = None

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
        """Count; `rows`, `truth` and `epochs` change nothing."""
        started = time.monotonic()
        self.attach(dataset)
        return FitReport(epochs=0, seconds=time.monotonic() - started)

    def attach(self, dataset: Dataset) -> None:
        age_days = (dataset.until - dataset.ts) / SECONDS_A_DAY
        decayed = dataset.weight * np.exp2(-age_days / self.half_life_days)
        self._scores = np.bincount(dataset.item, weights=decayed, minlength=len(dataset.item_ids)).astype(np.float32)
        super().attach(dataset)

    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        return np.ones((len(self.dataset.user_ids) if users is None else len(users), 1), np.float32)

    def item_vectors(self) -> npt.NDArray[np.float32]:
        if self._scores is None:
            raise NotReadyError("popularity has no data attached, call `fit` or `attach` first")
        return self._scores[:, None]

    @classmethod
    def build(cls, config: PopularityConfig, profile: Profile) -> Self:  # noqa: ARG003 - the same for all
        return cls(config.half_life_days or HALF_LIFE_DAYS)

    def save(self, folder: Path) -> None:
        content = {"kind": self.kind, "half_life_days": self.half_life_days}
        (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return cls(content["half_life_days"])
