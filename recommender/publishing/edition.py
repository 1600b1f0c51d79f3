"""A night's edition: what decides everything its publication holds, known before anything is ranked."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg

from recommender.columns import CREATOR, ITEM_ID, TITLE
from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.data.dataset import Dataset
from recommender.experiments.life import Experiment, current
from recommender.features.loading import fingerprint, load_dataset
from recommender.progress import Progress
from recommender.publishing.champion import champion_or_popularity
from recommender.storage import registry
from recommender.storage.artifacts import file_sha256
from recommender.storage.lake import Lake

_DECIDES_NOTHING = {"keep", "shards", "min_overlap", "min_coverage"}
"""Keys of the section `publish` that leave what readers get as it is."""


@dataclass(frozen=True, eq=False)
class Edition:
    """Tonight's data, and who ranks it."""

    profile: Profile
    dataset: Dataset
    users: Path
    """The lake's table of the night."""
    items: Path
    """The lake's table of the night."""
    champion: registry.ModelVersion
    fingerprint: str
    folder: Path
    """Where the champion's ranked lists wait for being published."""
    trial: "Trial | None" = None
    """The experiment that runs."""

    @property
    def ds(self) -> date:
        return self.dataset.ds

    @property
    def k(self) -> int:
        """What a full list has."""
        return min(self.profile.publish.top_k, len(self.dataset.item_ids))

    @cached_property
    def catalogue(self) -> pd.DataFrame:
        """The lake's items in the data set's order."""
        return pd.read_parquet(self.items).set_index(ITEM_ID).reindex(self.dataset.item_ids)

    @property
    def titles(self) -> npt.NDArray[np.object_]:
        """(items,) None where there is none."""
        return _texts(self.catalogue, TITLE)

    @property
    def creators(self) -> npt.NDArray[np.object_]:
        """(items,) None where there is none."""
        return _texts(self.catalogue, CREATOR)


@dataclass(frozen=True, eq=False)
class Trial:
    """Another model's lists for a share of the users."""

    experiment: Experiment
    challenger: registry.ModelVersion
    folder: Path
    """Where the challenger's ranked lists wait."""


def edition_of(settings: Settings, ds: date, connection: psycopg.Connection, progress: Progress) -> Edition:
    """The night's edition, by the champion and the experiment as they stand.

    Raises
    ------
    NotReadyError
        The lake lacks the night's events or features.
    """
    lake, profile = Lake(settings.lake), settings.profile
    dataset = load_dataset(lake, profile, ds, known=ds)
    champion = champion_or_popularity(settings, dataset, connection)
    users, items = lake.latest("users", ds), lake.latest("items", ds)
    parts = [
        fingerprint(dataset),
        champion.model_version,
        champion.served[1],
        profile.publish.model_dump_json(exclude=_DECIDES_NOTHING),
        profile.model_dump_json(include={"reasons": True, "words": True, "features": {"pair"}}),
        file_sha256(users),
        file_sha256(items),
    ]
    folder = settings.ranked / f"ds={ds}" / _digest(parts)[:16]
    trial = None
    experiment = current(connection, champion.model_version, ds, progress)
    if experiment is not None:
        challenger = registry.known(connection, experiment.challenger)
        parts += [str(experiment.experiment_id), challenger.served[1]]
        trial = Trial(experiment, challenger, settings.ranked / f"ds={ds}" / _digest(parts)[:16])
    return Edition(profile, dataset, users, items, champion, _digest(parts), folder, trial)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _texts(catalogue: pd.DataFrame, name: str) -> npt.NDArray[np.object_]:
    if name not in catalogue.columns:
        return np.full(len(catalogue), None, object)
    return np.array([None if pd.isna(value) else str(value) for value in catalogue[name]], dtype=object)
