"""Models of a night on the same users: on the days that decided, and on what people chose later."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg

from recommender.backtest.records import Comparison, Night, Role
from recommender.config.settings import Settings
from recommender.data.dataset import Dataset, Truth
from recommender.data.split import Split
from recommender.errors import ArtifactError
from recommender.evaluation.confidence import PerUser, compare, intervals
from recommender.evaluation.evaluate import measure
from recommender.evaluation.published import choices_after
from recommender.features.loading import load_dataset, truth_after
from recommender.models.base import Model
from recommender.models.popularity import Popularity
from recommender.models.registry import load_model
from recommender.storage import registry
from recommender.storage.artifacts import verify
from recommender.storage.lake import Lake

METRIC, KS = "recall@20", (20,)


@dataclass(frozen=True)
class Artifact:
    """A kept model; without a folder popularity, which is all in the data set."""

    kind: str = Popularity.kind
    folder: Path | None = None
    checksum: str = ""

    def load(self, dataset: Dataset) -> Model:
        if self.folder is None:
            model: Model = Popularity()
        else:
            verify(self.folder, self.checksum)
            model = load_model(self.kind, self.folder)
        model.attach(dataset)
        return model


def judged(settings: Settings, connection: psycopg.Connection, night: Night) -> Comparison:
    """Challenger and champion on the days that decided, as judging measured them."""
    lake, split = Lake(settings.lake), Split.of(settings.profile, night.ds)
    dataset = load_dataset(lake, settings.profile, split.judged_at, known=night.ds)
    truth = truth_after(lake, dataset, night.ds, known=night.ds)
    models: dict[Role, Artifact] = {
        "challenger": as_judged(connection, night.challenger),
        "champion": as_judged(connection, night.champion),
    }
    return _compared(models, dataset, truth, night.ds, settings.profile.training.seed)


def later(
    settings: Settings, connection: psycopg.Connection, night: Night, first: str | None, until: date
) -> Comparison:
    """All models of the night on what people chose after it up to the end of `until`, read from the source.

    `first` is the version that was promoted first of all; None: none was yet.
    """
    dataset = load_dataset(Lake(settings.lake), settings.profile, night.ds, known=night.ds)
    truth = choices_after(settings, dataset, until)
    models: dict[Role, Artifact] = {
        "challenger": as_judged(connection, night.challenger),
        "champion": as_judged(connection, night.champion),
        "first": as_judged(connection, first),
        "serving": as_served(connection, night.live),
    }
    return _compared(models, dataset, truth, until, settings.profile.training.seed)


def as_judged(connection: psycopg.Connection, version: str | None) -> Artifact:
    """The weights that the gate saw."""
    if version is None:
        return Artifact()
    found = _found(connection, version)
    return Artifact(found.kind, found.artifact, found.checksum)


def as_served(connection: psycopg.Connection, version: str | None) -> Artifact:
    """The weights that publish."""
    if version is None:
        return Artifact()
    found = _found(connection, version)
    return Artifact(found.kind, *found.served)


def _found(connection: psycopg.Connection, version: str) -> registry.ModelVersion:
    found = registry.find(connection, version)
    if found is None:
        raise ArtifactError(f"{version} is not in the backtest's registry any more: delete the backtest's folder")
    return found


def _compared(models: Mapping[Role, Artifact], dataset: Dataset, truth: Truth, until: date, seed: int) -> Comparison:
    if len(truth.users) == 0:
        return Comparison(until, 0)
    per_user: dict[Artifact, PerUser] = {}
    for artifact in models.values():
        if artifact not in per_user:
            values = measure(artifact.load(dataset), truth, KS).per_user[METRIC]
            per_user[artifact] = {METRIC: values}
    recall = {role: intervals(per_user[artifact], seed)[METRIC] for role, artifact in models.items()}
    beside = compare(per_user[models["challenger"]], per_user[models["champion"]], seed)[METRIC]
    return Comparison(until, len(truth.users), recall, beside)
