"""The promise on real music: lists published for 2014-04-30, judged on the new tracks of May 2014."""

from datetime import date
from pathlib import Path

import pytest

from recommender import pipeline
from recommender.config.settings import load_settings
from recommender.storage import embedded

PROMISED_RECALL = 0.115


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.timeout(1800)
def test_recall_of_the_published_lists(shared_data: Path, home: Path) -> None:
    settings = load_settings("music", shared_data / "lfm")
    night = date(2014, 4, 30)
    try:
        list(pipeline.nightly(settings, night))
        figures = pipeline.evaluate(settings, night, days=31)
    finally:
        embedded.stop(settings.postgres)
    assert figures["users"] > 700
    assert figures["recall@20"] >= PROMISED_RECALL
