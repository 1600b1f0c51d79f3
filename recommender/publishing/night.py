"""A night's publication: the champion's lists over tonight's features, ranked in shards, loaded and made live."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import psycopg

from recommender.config.settings import Settings
from recommender.errors import ConfigError
from recommender.evaluation.contenders import load_served
from recommender.models.base import Model
from recommender.progress import Progress
from recommender.publishing.build import content_of
from recommender.publishing.content import Content
from recommender.publishing.edition import Edition, edition_of
from recommender.publishing.lists import ranked_users
from recommender.publishing.publication import publish
from recommender.publishing.ranked import Ranked, forget, shard_of
from recommender.publishing.rules import Rules


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
    edition = edition_of(settings, ds, connection)
    ranking = Ranking(edition, progress)
    wanted = list(range(shards)) if shard is None else [shard]
    users = sum(len(ranking.shard(number).users) for number in wanted)
    return RankedShards(edition.champion.model_version, wanted, shards, users)


def publish_night(settings: Settings, ds: date, connection: psycopg.Connection, progress: Progress) -> Published:
    """Rank whoever isn't ranked yet with the champion, load the lists, and make them live; the same content is kept."""
    edition = edition_of(settings, ds, connection)
    ranking = Ranking(edition, progress)
    version = edition.champion.model_version
    publication_id, done = publish(
        connection, ds, version, edition.fingerprint, ranking.content, settings.profile.publish.keep, progress
    )
    forget(settings.ranked, ds)
    row = connection.execute(
        "select users, items from reco.publications where publication_id = %s", [publication_id]
    ).fetchone()
    users, items = row or (0, 0)
    return Published(publication_id, version, users, items, done)


class Ranking:
    """Ranks an edition's users, shard by shard; what is ranked stays on disk."""

    def __init__(self, edition: Edition, progress: Progress) -> None:
        self._edition, self._progress = edition, progress
        self._rules = Rules(edition)
        self._model: Model | None = None

    def shard(self, number: int) -> Ranked:
        """The lists of one shard, ranked now where nobody did before."""
        shards = self._edition.profile.publish.shards
        folder = self._edition.folder / f"{number:04d}-of-{shards:04d}"
        found = Ranked.read(folder)
        if found is not None:
            return found
        users = shard_of(self._edition.dataset.active_users, number, shards)
        ranked_users(self._edition, self._rules, self.model, users, self._progress).save(folder)
        return Ranked.open(folder)

    def content(self) -> Content:
        """Everything that is to be published."""
        shards = [self.shard(number) for number in range(self._edition.profile.publish.shards)]
        return content_of(self._edition, self._rules, self.model, shards)

    @property
    def model(self) -> Model:
        """The champion, over the edition's data set."""
        if self._model is None:
            edition = self._edition
            counts = f"{len(edition.dataset.item_ids):,} items for {len(edition.dataset.user_ids):,} users"
            self._progress(f"ranking {counts} with {edition.champion.model_version}")
            self._model = load_served(edition.champion, edition.dataset)
        return self._model
