"""A night's publication: the champion's lists over tonight's features, loaded and made live."""

import hashlib
from dataclasses import dataclass
from datetime import date

import psycopg

from recommender.config.settings import Settings
from recommender.evaluation.contenders import load_served
from recommender.features.loading import fingerprint, load_dataset
from recommender.models.explaining.reasons import Phrases
from recommender.progress import Progress
from recommender.publishing.build import build_content
from recommender.publishing.champion import champion_or_popularity
from recommender.publishing.content import Content
from recommender.publishing.publication import publish
from recommender.storage.artifacts import file_sha256
from recommender.storage.lake import Lake


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


def publish_night(settings: Settings, ds: date, connection: psycopg.Connection, progress: Progress) -> Published:
    """Rank every user's items with the champion, load the lists, and make them live; the same content is kept."""
    lake = Lake(settings.lake)
    profile = settings.profile
    dataset = load_dataset(lake, profile, ds, known=ds)
    version = champion_or_popularity(settings, dataset, connection)
    users_table, items_table = lake.latest("users", ds), lake.latest("items", ds)
    parts = [
        fingerprint(dataset),
        version.model_version,
        version.served[1],
        profile.publish.model_dump_json(),
        profile.model_dump_json(include={"reasons", "words"}),
        file_sha256(users_table),
        file_sha256(items_table),
    ]

    def content() -> Content:
        counts = f"{len(dataset.item_ids):,} items for {len(dataset.user_ids):,} users"
        progress(f"ranking {counts} with {version.model_version}")
        model = load_served(version, dataset)
        return build_content(model, users_table, items_table, profile.publish, Phrases.of(profile))

    publication_id, done = publish(
        connection,
        ds,
        version.model_version,
        hashlib.sha256("\0".join(parts).encode()).hexdigest(),
        content,
        profile.publish.keep,
        progress,
    )
    row = connection.execute(
        "select users, items from reco.publications where publication_id = %s", [publication_id]
    ).fetchone()
    users, items = row or (0, 0)
    return Published(publication_id, version.model_version, users, items, done)
