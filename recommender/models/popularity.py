"""Recent popularity: the same list for everyone or for a segment, and the baseline a learnt model must beat."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.config.classic import Popularity as PopularityConfig
from recommender.config.profile import Profile
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError
from recommender.features.definitions import Feature
from recommender.models.base import ALONE, Model, Support
from recommender.models.compatibility import require_definitions
from recommender.models.side import categories_of, features_json, features_of, require_columns
from recommender.progress import Progress, quiet
from recommender.training.report import FitReport

HALF_LIFE_DAYS = 60.0
MIN_SEGMENT_USERS = 20
SEGMENT_PRIOR = 2000.0

Counts = npt.NDArray[np.float64]


class Popularity(Model):
    """Scores an item by its events, each counting half as much for every half-life it is old.

    There is nothing to learn: the counts are those of whatever data set is attached.

    With segments a score is the item's share of the events of the user's segment. A segment of n events whose items
    have n_i each, and in whose parent (the segment with one category less, in the end everybody) they have shares p_i,
    has shares (n_i + prior p_i) / (n + prior): a small one is much like its parent. A user belongs to the segment with
    most categories that is large enough. It takes 8 bytes for each pair of segment and item.

    Parameters
    ----------
    half_life_days
        Time after which an event counts half; None: all count alike.
    segments
        Categories of the users, most telling first.
    min_segment_users
        Active users a segment needs.
    segment_prior
        Events that the parent's shares count for.
    """

    kind: ClassVar[str] = "popularity"

    def __init__(
        self,
        half_life_days: float | None = HALF_LIFE_DAYS,
        segments: Sequence[Feature] = (),
        min_segment_users: int = MIN_SEGMENT_USERS,
        segment_prior: float = SEGMENT_PRIOR,
    ) -> None:
        super().__init__()
        self.half_life_days = half_life_days
        self.segments = tuple(segments)
        self.personal = bool(self.segments)
        self.min_segment_users = min_segment_users
        self.segment_prior = segment_prior
        self.name: str = self.kind
        """What error messages call it: the folder it was read from."""
        self._scores: npt.NDArray[np.float32] | None = None
        self._segment: npt.NDArray[np.int64] = np.zeros(0, np.int64)

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
        """Count; `rows`, `truth` and `epochs` change nothing.

        Raises
        ------
        TrainingError
            The data set lacks a category that the segments are made of.
        """
        started = time.monotonic()
        require_columns(self.kind, self.segments, dataset)
        self.attach(dataset)
        self.report = FitReport(epochs=0, seconds=time.monotonic() - started)
        return self.report

    def attach(self, dataset: Dataset) -> None:
        """Count the events of this data set.

        Raises
        ------
        ArtifactError
            It lacks a category that the segments are made of, or has it by another definition.
        """
        require_definitions(self.name, self.segments, dataset)
        decayed = dataset.weight
        if self.half_life_days is not None:
            decayed = dataset.weight * np.exp2((dataset.ts - dataset.until) / SECONDS_A_DAY / self.half_life_days)
        counts = np.bincount(dataset.item, weights=decayed, minlength=len(dataset.item_ids))
        self._segment = np.zeros(len(dataset.user_ids), np.int64)
        self._scores = counts.astype(np.float32)[:, None]
        if self.segments:
            shares = self._divide(dataset, decayed, counts / max(counts.sum(), np.finfo(np.float64).tiny))
            used, self._segment = np.unique(self._segment, return_inverse=True)
            self._scores = np.ascontiguousarray(shares[used].T, np.float32)
        super().attach(dataset)

    def user_vectors(self, users: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """(users, segments) 1 at the user's segment."""
        segment = self._segment if users is None else self._segment[users]
        vectors = np.zeros((len(segment), self.item_vectors().shape[1]), np.float32)
        vectors[np.arange(len(segment)), segment] = 1
        return vectors

    def item_vectors(self) -> npt.NDArray[np.float32]:
        """(items, segments) scores."""
        if self._scores is None:
            raise NotReadyError("popularity has no data attached, call `fit` or `attach` first")
        return self._scores

    def directions(self) -> None:
        """None: how popular items are says nothing about what they are like."""

    @classmethod
    def build(cls, config: PopularityConfig, profile: Profile) -> Self:
        """The model that a section of the profile describes.

        Raises
        ------
        ConfigError
            `segments` names what is no declared category of the users.
        """
        segments = categories_of(profile, "user", config.segments, "segments")
        return cls(config.half_life_days, segments, config.min_segment_users, config.segment_prior)

    def save(self, folder: Path) -> None:
        content = {
            "kind": self.kind,
            "half_life_days": self.half_life_days,
            "segments": features_json(self.segments),
            "min_segment_users": self.min_segment_users,
            "segment_prior": self.segment_prior,
        }
        (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = cls(
            content["half_life_days"],
            features_of(content.get("segments", ())),
            content.get("min_segment_users", MIN_SEGMENT_USERS),
            content.get("segment_prior", SEGMENT_PRIOR),
        )
        model.name = folder.name
        return model

    def _divide(self, dataset: Dataset, weight: npt.NDArray[np.float32], everybody: Counts) -> Counts:
        """(segments, items) shares of the segments, everybody's first; `_segment` becomes each user's row in them."""
        active = np.zeros(len(dataset.user_ids), bool)
        active[dataset.active_users] = True
        events = sparse.csr_matrix((weight.astype(np.float64), (dataset.user, dataset.item)), shape=dataset.seen.shape)
        shares = everybody[None]
        for depth in range(1, len(self.segments) + 1):
            names = [feature.name for feature in self.segments[:depth]]
            group = dataset.user_features.groupby(names, sort=False).ngroup().fillna(-1).to_numpy(np.int64)
            members = np.flatnonzero(group >= 0)
            enough = np.bincount(group[members], weights=active[members]) >= self.min_segment_users
            members = members[enough[group[members]]]
            _, first, place = np.unique(group[members], return_index=True, return_inverse=True)
            if len(first) == 0:
                break
            own = sparse.csr_matrix((np.ones(len(members)), (place, members)), shape=(len(first), len(active))) @ events
            prior = self.segment_prior * shares[self._segment[members[first]]]
            total = np.asarray(own.sum(axis=1)) + self.segment_prior
            self._segment[members] = len(shares) + place
            shares = np.concatenate([shares, (own.toarray() + prior) / np.maximum(total, np.finfo(np.float64).tiny)])
        return shares
