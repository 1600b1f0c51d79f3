"""What happens after a model's cut can't reach it: another future gives the same model to the last bit."""

from pathlib import Path

import numpy as np
import pandas as pd

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.data.split import Split
from recommender.data.synthetic import ensure_world
from recommender.storage import embedded, registry
from recommender.storage.postgres import connect
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
