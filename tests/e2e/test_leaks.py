"""What happens after a model's cut can't reach it, nor what happens after an event its training row."""

from pathlib import Path

import numpy as np
import pandas as pd

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.data.dataset import Dataset, night_end
from recommender.data.split import Split
from recommender.data.synthetic import ensure_world
from recommender.features.loading import load_dataset, training_rows
from recommender.features.store import apply, feature_store
from recommender.storage import embedded, registry
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect, libpq_url
from tests.e2e.worlds import FIRST


def candidate(settings: Settings) -> tuple[str, dict[str, bytes]]:
    """Its name, and every file that fitting decides: weights, preprocessing statistics and id maps."""
    for stage in (pipeline.ingest, pipeline.features, pipeline.train):
        stage(settings, FIRST)
    with connect(settings) as connection:
        version = registry.newest_of(connection, FIRST)
    files = ("weights.safetensors", "user_encoder.json", "item_encoder.json", "user_ids.parquet", "item_ids.parquet")
    return version.model_version, {name: (version.artifact / name).read_bytes() for name in files}


def with_another_future(settings: Settings, cut: pd.Timestamp) -> None:
    """Let everybody choose other items after the cut."""
    assert settings.profile.synthetic is not None
    ensure_world(settings.profile.synthetic, settings.data)
    rng = np.random.default_rng(0)
    for path in sorted((settings.data / "events").iterdir()):
        events = pd.read_parquet(path)
        later = events["ts"] >= cut
        events.loc[later, "item_id"] = rng.permutation(events.loc[later, "item_id"].to_numpy())
        events.to_parquet(path, index=False, coerce_timestamps="us")


def test_the_holdout_does_not_reach_the_candidate(fresh: Settings, tmp_path: Path, monkeypatch) -> None:
    expected = candidate(fresh)
    monkeypatch.setenv("RECOMMENDER_HOME", str(tmp_path / "other"))
    other = load_settings()
    with_another_future(other, pd.Timestamp(Split.of(other.profile, FIRST).judged_at) + pd.Timedelta(days=1))
    try:
        assert candidate(other) == expected
    finally:
        embedded.stop(other.postgres)


def plant_next_items(lake: Lake, dataset: Dataset, honest: bool) -> None:
    """Let a feature of every user snapshot be the number of the item that its user chooses next.

    Honest values are stamped when they can first be known, just after that choice; dishonest ones keep their night.
    """
    for night in lake.nights("user_features"):
        snapshot, instant = lake.read("user_features", night), night_end(night)
        items, stamps = np.full(len(snapshot), np.nan, "float32"), np.full(len(snapshot), int(instant.timestamp()))
        for row, user in enumerate(np.searchsorted(dataset.user_ids, snapshot["user_id"])):
            first, last = dataset.offsets[user : user + 2]
            event = first + np.searchsorted(dataset.ts[first:last], int(instant.timestamp()))
            if event < last:
                items[row] = dataset.item[event]
                stamps[row] = dataset.ts[event] + 1 if honest else stamps[row]
        stamped = pd.to_datetime(pd.Series(stamps), unit="s").astype("datetime64[us]")
        planted = snapshot.assign(events_7d=items, event_timestamp=stamped)
        lake.write("user_features", night, planted, lake.facts("user_features", night))


def test_a_feature_that_knows_the_next_choice_does_not_tell_it_to_training_rows(fresh: Settings) -> None:
    for stage in (pipeline.ingest, pipeline.features):
        stage(fresh, FIRST)
    lake, store = Lake(fresh.lake), feature_store(fresh, libpq_url(fresh))
    apply(store, fresh.profile, fresh.lake)
    dataset = load_dataset(lake, fresh.profile, FIRST, known=FIRST)
    told = {}
    for honest in (True, False):
        plant_next_items(lake, dataset, honest)
        rows = training_rows(store, fresh.profile, dataset)
        told[honest] = np.mean(rows.user_features["events_7d"].to_numpy() == dataset.item[rows.event])
    assert told[False] > 0.3, "stamped too early it gives the answer away, so this test could fail"
    assert told[True] < 0.05, told
