"""A checkerboard in a lake, whose champion of yesterday has published."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.evaluation.judge import judge_candidate
from recommender.evaluation.verdict import Verdict
from recommender.features.definitions import declared_features, feature_tables
from recommender.features.loading import load_dataset
from recommender.features.snapshots import build_snapshots
from recommender.models.two_tower import TwoTower
from recommender.nightly.artifact import fit_figures
from recommender.storage import registry
from recommender.storage.artifacts import checksum, writing
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect
from tests.models.worlds import DS, PROFILE, checkerboard, rows_of

SETTINGS = """
model: {dimension: 8, history_length: 4, batch_size: 64}
training: {device: cpu, threads: 1}
evaluation: {holdout_days: 20}
publish: {top_k: 3, similar_k: 2}
"""
BOARD = PROFILE + SETTINGS
YESTERDAY = DS - timedelta(days=1)
JUDGED_AT = DS - timedelta(days=20)
EPOCHS = 10


def set_up(path: Path) -> Settings:
    """Everything up to yesterday; the profile is written to `path`."""
    path.write_text(BOARD)
    settings = load_settings(str(path), reads_sources=False)
    dataset, lake = checkerboard(), Lake(settings.lake)
    events = pd.DataFrame(
        {
            "user_id": dataset.user_ids[dataset.user],
            "item_id": dataset.item_ids[dataset.item],
            "ts": pd.to_datetime(dataset.ts, unit="s").astype("datetime64[us]"),
        }
    )
    landed = events.assign(event_type="event", weight=dataset.weight, landed=YESTERDAY, removed=False)
    lake.write("events", YESTERDAY, landed)
    lake.write("users", YESTERDAY, pd.DataFrame({"user_id": dataset.user_ids, **dataset.user_features[["country"]]}))
    lake.write("items", YESTERDAY, pd.DataFrame({"item_id": dataset.item_ids, **dataset.item_features[["category"]]}))
    snapshots(settings, [JUDGED_AT, YESTERDAY])
    register(settings, YESTERDAY)
    with connect(settings) as connection:
        connection.execute("update reco.models set status = 'champion'")
    pipeline.publish(settings, YESTERDAY)
    return settings


def snapshots(settings: Settings, nights: list[date]) -> None:
    tables = dict.fromkeys(feature_tables(settings.profile), nights)
    build_snapshots(Lake(settings.lake), settings.profile, tables, known=DS)


def register(settings: Settings, ds: date, epochs: int = EPOCHS, spoil: Callable[[Path], None] | None = None) -> str:
    """Train a model of the profile's definitions and register it as the night's candidate.

    What `spoil` does to the folder has checksums like all the rest.
    """
    profile = settings.profile
    dataset = load_dataset(Lake(settings.lake), profile, JUDGED_AT, known=ds)
    user, item = declared_features(profile, "user"), declared_features(profile, "item")
    model = TwoTower(profile.model, profile.training, user, item)
    report = model.fit(dataset, rows_of(dataset), epochs=epochs)
    version = f"two_tower-{ds}"
    with writing(settings.artifacts / version) as scratch:
        model.save(scratch)
        metrics = {"export": model.export_onnx(scratch), "fit": fit_figures(report)}
        if spoil is not None:
            spoil(scratch)
    with connect(settings) as connection:
        folder = settings.artifacts / version
        registry.register(connection, version, model.kind, ds, folder, checksum(folder), {}, metrics)
    return version


def judged(settings: Settings) -> tuple[Verdict, list[str]]:
    lines: list[str] = []
    with connect(settings, autocommit=True) as connection:
        return judge_candidate(settings, DS, connection, lines.append), lines
