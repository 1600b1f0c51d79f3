"""Who serves tonight: the champion, or popularity while no model has passed the gate."""

import json

import psycopg

from recommender.config.settings import Settings
from recommender.data.dataset import Dataset
from recommender.models.popularity import Popularity
from recommender.storage import registry
from recommender.storage.artifacts import checksum, writing


def champion_or_popularity(
    settings: Settings, dataset: Dataset, connection: psycopg.Connection
) -> registry.ModelVersion:
    """The champion. Where none exists, popularity is registered as one: readers must never find nothing."""
    champion = registry.champion(connection)
    if champion is not None:
        return champion
    model = Popularity()
    model.attach(dataset)
    version = f"{model.kind}-{dataset.ds}"
    folder = settings.artifacts / version
    with writing(folder) as scratch:
        model.save(scratch)
        (scratch / "metrics.json").write_text(json.dumps({}))
    registry.register(connection, version, model.kind, dataset.ds, folder, checksum(folder), {}, {}, status="champion")
    found = registry.find(connection, version)
    if found is None:
        raise RuntimeError(f"{version} vanished from reco.models while it was registered")
    return found
