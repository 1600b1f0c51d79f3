"""A night's publication: the champion's lists over tonight's features, ranked in shards, loaded and made live."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psycopg

from recommender.config.settings import Settings
from recommender.errors import ConfigError, RecommenderError
from recommender.evaluation.contenders import load_served
from recommender.experiments.life import stop
from recommender.models.base import Model
from recommender.progress import Progress
from recommender.publishing.build import content_of
from recommender.publishing.content import Content
from recommender.publishing.edition import Edition, edition_of
from recommender.publishing.finding import choose_finder
from recommender.publishing.lists import ranked_users
from recommender.publishing.publication import Bounds, is_made, publish
from recommender.publishing.ranked import Ranked, forget, shard_of
from recommender.publishing.rules import Rules
from recommender.storage import registry


@dataclass(frozen=True)
class RankedShards:
    """What was ranked, or was there already."""

    model_version: str
    shards: Sequence[int]
    of: int
    users: int

    @property
    def summary(self) -> str:
        which = f"shard {self.shards[0]}" if len(self.shards) == 1 else f"{len(self.shards)} shards"
        return f"{which} of {self.of} ranked by {self.model_version}: {self.users:,} users"


@dataclass(frozen=True)
class Published:
    """What went live, or was live already."""

    publication_id: int
    model_version: str
    users: int
    items: int
    done: str
    """What was done, for people."""

    @property
    def summary(self) -> str:
        what = f"publication {self.publication_id} of {self.model_version}"
        return f"{what}: {self.users:,} users, {self.items:,} items; {self.done}"


def rank_shards(
    settings: Settings, ds: date, connection: psycopg.Connection, progress: Progress, shard: int | None = None
) -> RankedShards:
    """Rank one shard of the users, or all, and leave the lists for `publish_night`.

    Raises
    ------
    ConfigError
        There is no such shard.
    """
    shards = settings.profile.publish.shards
    if shard is not None and shard >= shards:
        raise ConfigError(f"there is no shard {shard}: publish.shards is {shards}, and the first shard is 0")
    ranking = Ranking(edition_of(settings, ds, connection, progress), connection, progress)
    wanted = list(range(shards)) if shard is None else [shard]
    users = sum(len(ranked.users) for ranked in ranking.champion(wanted))
    ranking.challenger(wanted)
    return RankedShards(ranking.edition.champion.model_version, wanted, shards, users)


def publish_night(settings: Settings, ds: date, connection: psycopg.Connection, progress: Progress) -> Published:
    """Rank whoever isn't ranked yet with the champion, load the lists, and make them live; the same content is kept."""
    edition = edition_of(settings, ds, connection, progress)
    ranking, config = Ranking(edition, connection, progress), settings.profile.publish
    version = edition.champion.model_version
    if not is_made(connection, ds, edition.fingerprint):
        ranking.everything()  # before anybody is kept from publishing
    publication_id, done = publish(
        connection,
        ds,
        version,
        edition.fingerprint,
        ranking.content,
        config.keep,
        progress,
        wanted=ranking.rules.wanted,
        bounds=Bounds(config.min_coverage, config.min_overlap),
    )
    forget(settings.ranked, ds)
    row = connection.execute(
        "select users, items from reco.publications where publication_id = %s", [publication_id]
    ).fetchone()
    users, items = row or (0, 0)
    return Published(publication_id, version, users, items, done)


class Ranking:
    """Ranks an edition's users, shard by shard; what is ranked stays on disk."""

    def __init__(self, edition: Edition, connection: psycopg.Connection, progress: Progress) -> None:
        self.edition = edition
        self._connection, self._progress = connection, progress
        self.rules = Rules(edition)
        if self.rules.starved:
            progress(f"the filters leave nothing to {self.rules.starved:,} users: they get no recommendation")
        self._models: dict[str, Model] = {}

    def champion(self, shards: Iterable[int]) -> list[Ranked]:
        """Everybody's lists of these shards."""
        users, version = self.edition.dataset.active_users, self.edition.champion
        return [self._shard(version, self.edition.folder, users, number) for number in shards]

    def challenger(self, shards: Iterable[int]) -> list[Ranked]:
        """Lists of those who are in the challenger's arm; without a challenger that works the experiment is over."""
        trial = self.edition.trial
        if trial is None:
            return []
        active = self.edition.dataset.active_users
        users = active[trial.experiment.arm(self.edition.dataset.user_ids[active])]
        try:
            return [self._shard(trial.challenger, trial.folder, users, number) for number in shards]
        except RecommenderError as error:
            self._progress(f"experiment {trial.experiment.name} stopped: {error}")
            stop(self._connection, trial.experiment.experiment_id, f"the challenger failed: {error}", self.edition.ds)
            return []

    def everything(self) -> tuple[list[Ranked], list[Ranked]]:
        """All lists of both."""
        everybody = range(self.edition.profile.publish.shards)
        return self.champion(everybody), self.challenger(everybody)

    def content(self) -> Content:
        """Everything that is to be published."""
        shards, others = self.everything()
        return content_of(self.edition, self.rules, self._model(self.edition.champion), shards, others)

    def _shard(self, version: registry.ModelVersion, folder: Path, users: npt.NDArray[np.int64], number: int) -> Ranked:
        """The lists of one shard, ranked now where nobody did before."""
        shards = self.edition.profile.publish.shards
        place = folder / f"{number:04d}-of-{shards:04d}"
        found = Ranked.read(place)
        if found is not None:
            return found
        part = shard_of(users, number, shards)
        ranked_users(self.edition, self.rules, self._model(version), part, self._progress).save(place)
        return Ranked.open(place)

    def _model(self, version: registry.ModelVersion) -> Model:
        """Over the edition's data set."""
        if version.model_version not in self._models:
            dataset = self.edition.dataset
            counts = f"{len(dataset.item_ids):,} items for {len(dataset.user_ids):,} users"
            self._progress(f"ranking {counts} with {version.model_version}")
            model = load_served(version, dataset)
            choose_finder(self.edition, self.rules, model, self._progress)
            self._models[version.model_version] = model
        return self._models[version.model_version]
