"""Who stands before the gate: the challenger, the champion, the best champion of recent nights, simple models."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import psycopg

from recommender.config.profile import Profile
from recommender.data.dataset import Dataset, Truth
from recommender.errors import ArtifactError
from recommender.evaluation.baselines import baseline_figures
from recommender.evaluation.evaluate import Measured, measure
from recommender.models.base import Model
from recommender.models.popularity import Popularity
from recommender.models.registry import load_model
from recommender.progress import Progress
from recommender.storage import registry
from recommender.storage.artifacts import verify

HEADLINE = "recall@20"
CHALLENGER, CHAMPION, BEST_RECENT, POPULARITY = "challenger", "champion", "best_recent", "popularity"


@dataclass(frozen=True, eq=False)
class Contender:
    """A version of the registry, judged on tonight's users with the weights that never saw tonight's days."""

    version: registry.ModelVersion
    model: Model
    measured: Measured


@dataclass(frozen=True, eq=False)
class Contenders:
    """All of them, and why one that should be there isn't."""

    challenger: Contender
    champion_version: registry.ModelVersion | None
    """Who is champion, whether it can be compared or not."""
    champion: Contender | None
    best_recent: Contender | None
    """The champion itself where that is the best."""
    baselines: dict[str, Measured]
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> dict[str, Measured]:
        """By the name that rules call them."""
        versions = {CHALLENGER: self.challenger, CHAMPION: self.champion, BEST_RECENT: self.best_recent}
        return {name: one.measured for name, one in versions.items() if one is not None} | self.baselines

    @property
    def champion_days(self) -> int | None:
        """How many days before the challenger's night the champion's was."""
        if self.champion_version is None:
            return None
        return (self.challenger.version.ds - self.champion_version.ds).days


def load_judged(version: registry.ModelVersion, dataset: Dataset) -> Model:
    """The artifact that the gate judges, verified, over a data set.

    Raises
    ------
    ArtifactError
        It is damaged, or of other features than the data set.
    """
    return _load(version.kind, version.artifact, version.checksum, dataset)


def load_served(version: registry.ModelVersion, dataset: Dataset) -> Model:
    """The artifact of a version that serves, verified, over a data set."""
    return _load(version.kind, *version.served, dataset)


def contend(
    candidate: registry.ModelVersion,
    dataset: Dataset,
    truth: Truth,
    ks: Sequence[int],
    profile: Profile,
    connection: psycopg.Connection,
    progress: Progress,
) -> Contenders:
    """Judge everybody on the same users and days.

    Raises
    ------
    ArtifactError
        The candidate itself can't be read; of the others that is kept as the reason why they are missing.
    """

    def judged(version: registry.ModelVersion) -> Contender:
        model = load_judged(version, dataset)
        return Contender(version, model, measure(model, truth, ks, classification=True))

    challenger = judged(candidate)
    missing: dict[str, str] = {}
    champion = best = None
    version = registry.champion(connection)
    if version is not None and not _is_fallback(version):
        try:
            progress(f"judging the champion, {version.model_version}")
            champion = judged(version)
        except ArtifactError as error:
            progress(f"the champion can't be compared: {error}")
            missing[CHAMPION] = str(error)
    for former in _recent_champions(registry.history(connection), candidate.ds, profile.gate.recent_days):
        if version is not None and former.model_version == version.model_version:
            best = champion
        else:
            try:
                progress(f"judging the best champion of the last {profile.gate.recent_days} days again")
                best = judged(former)
            except ArtifactError as error:
                progress(f"{former.model_version} can't be compared: {error}")
        if best is not None:
            break
    popularity = Popularity()
    popularity.attach(dataset)
    baselines = {POPULARITY: measure(popularity, truth, ks, classification=True)}
    kinds = [kind for kind in profile.evaluation.baselines if kind not in baselines]
    baselines |= baseline_figures(kinds, profile, dataset, truth, list(ks), progress)
    return Contenders(challenger, version, champion, best, baselines, missing)


def judged_figure(version: registry.ModelVersion, metric: str = HEADLINE) -> float | None:
    """What a version showed at its own verdict."""
    figure = version.metrics.get("judged", {}).get(CHALLENGER, {}).get(metric)
    return None if figure is None else float(figure)


def _recent_champions(history: Sequence[registry.ModelVersion], ds: date, days: int) -> list[registry.ModelVersion]:
    """Those that served in the days before `ds`, by what they showed at their verdicts, the best first.

    One of them became champion before these days and served on.
    """
    champions = [
        version
        for version in history
        if version.status in ("champion", "retired") and version.ds < ds and judged_figure(version) is not None
    ]
    start = ds - timedelta(days=days)
    serving = [version for version in champions if version.ds >= start]
    serving += [version for version in champions if version.ds < start][:1]
    return sorted(serving, key=lambda version: judged_figure(version) or 0.0, reverse=True)


def _is_fallback(version: registry.ModelVersion) -> bool:
    """True of the popularity that serves for want of a champion: nobody trained it, and it is a baseline anyway."""
    return version.kind == POPULARITY and not version.config


def _load(kind: str, folder: Path, expected: str, dataset: Dataset) -> Model:
    verify(folder, expected)
    model = load_model(kind, folder)
    model.attach(dataset)
    return model
