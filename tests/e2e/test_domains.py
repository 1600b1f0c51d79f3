"""A bookshop by its shipped profile, and learned re-ranking in place of one model: whole nights of both."""

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from recommender import pipeline
from recommender.config.settings import PROFILES, Settings, load_settings
from recommender.models.registry import MODELS
from recommender.models.two_tower import TwoTower
from recommender.serving.index import load_index
from recommender.storage import embedded, registry
from recommender.storage.postgres import connect
from recommender.storage.registry import ModelVersion
from tests.e2e.worlds import FIRST, PROFILE, SECOND

RANKING = {
    "kind": "ranking",
    "candidates": {
        "tower": {"kind": "two_tower", "dimension": 16, "history_length": 20, "batch_size": 128, "max_epochs": 4},
        "ease": {"kind": "ease"},
    },
    "depth": 30,
    "label_days": 14,
    "mlp": {"max_epochs": 2},
    "boosting": {"trees": 5, "least_pairs": 20},
}
BLEND = {
    "kind": "blend",
    "models": {"tower": RANKING["candidates"]["tower"], "spectral": {"kind": "spectral", "dimension": 8}},
    "weights": {"spectral": 0.3},
}
Rows = list[tuple[Any, ...]]


def world(folder: Path, profile: dict[str, Any], nights: tuple[date, ...]) -> Iterator[Settings]:
    """Settings of a profile whose nights have been run."""
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(profile))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        patch.setenv("RECOMMENDER_PROFILE", str(path))
        settings = load_settings()
        for night in nights:
            list(pipeline.nightly(settings, night))
        yield settings
        embedded.stop(settings.postgres)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """`books` as it is shipped but for its size."""
    profile = yaml.safe_load((PROFILES / "books.yaml").read_text())
    profile["synthetic"] |= {"users": 200, "items": 150, "days": 120, "events_per_user": 30}
    profile["model"] |= {"max_epochs": 3, "batch_size": 128}
    yield from world(tmp_path_factory.mktemp("shop"), profile, (FIRST,))


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The small world with several models and what puts their candidates in order, after two nights."""
    profile = yaml.safe_load(PROFILE) | {"model": RANKING}
    yield from world(tmp_path_factory.mktemp("ranked"), profile, (FIRST, SECOND))


@pytest.fixture(scope="module")
def blended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The small world with two models of vectors as one, after two nights."""
    profile = yaml.safe_load(PROFILE) | {"model": BLEND}
    yield from world(tmp_path_factory.mktemp("blended"), profile, (FIRST, SECOND))


def ask(settings: Settings, query: str, *values: object) -> Rows:
    with connect(settings) as connection:
        return connection.execute(query, values).fetchall()


def newest(settings: Settings, night: date) -> ModelVersion:
    with connect(settings) as connection:
        return registry.newest_of(connection, night)


def test_a_bookshop_runs_its_night_by_configuration_alone(shop: Settings) -> None:
    assert ask(shop, "select status from reco.models") == [("champion",)]
    user, k = ask(shop, "select user_id, count(*) from reco.recommendations group by 1 order by 1 limit 1")[0]
    lists = ask(shop, "select rank, item_id, source from reco.recommend(%s, 10)", user)
    assert k == shop.profile.publish.top_k
    assert sorted(rank for rank, _, _ in lists) == list(range(1, 11))
    assert all(item and source == "personal" for _, item, source in lists)
    assert len(ask(shop, "select item_id from reco.similar_items(%s, 5)", _first_item(shop))) == 5


def test_the_bookshop_has_the_encoders_that_its_profile_names(shop: Settings) -> None:
    version = newest(shop, FIRST)
    served = MODELS[version.kind].load(version.served[0])
    assert isinstance(served, TwoTower)
    assert (served.config.fusion, served.config.sparse_ids, served.config.hidden) == ("adaptive_mimic", True, (192, 96))
    assert served.config.vector_width == 96 + 1
    judged = version.metrics["judged"]
    assert judged["challenger"]["recall@20"] > judged["popularity"]["recall@20"]


def test_lists_are_in_the_order_of_the_learners(ranked: Settings) -> None:
    version = newest(ranked, FIRST)
    assert version.kind == "ranking" and version.status in ("champion", "retired")
    served = MODELS[version.kind].load(version.served[0])
    assert served.features and {"ease_score", "tower_score", "user_creator_events"} <= {*served.features}
    rows = ask(ranked, "select user_id, rank, score from reco.recommendations order by user_id, rank")
    users = [user for user, _, _ in rows]
    scores = np.array([score for *_, score in rows])
    same = np.array([one == other for one, other in pairwise(users)])
    assert (np.diff(scores)[same] <= 0).all()


def test_learners_of_the_champion_are_kept_while_its_models_go_on(ranked: Settings) -> None:
    first, second = newest(ranked, FIRST), newest(ranked, SECOND)
    assert (second.metrics["start"]["how"], second.metrics["start"]["from"]) == ("warm", first.model_version)
    before, after = (MODELS[version.kind].load(version.artifact) for version in (first, second))
    assert before.features == after.features
    assert len(after.report.history) < len(before.report.history)


def test_a_blend_of_vectors_is_published_with_an_index(blended: Settings) -> None:
    version = newest(blended, FIRST)
    assert version.kind == "blend" and version.status in ("champion", "retired")
    served = MODELS[version.kind].load(version.served[0])
    assert served.vector_model is served
    with connect(blended) as connection:
        index = load_index(connection)
    assert index.dimension == 16 + 1 + 8
    assert len(ask(blended, "select item_id from reco.similar_items(%s, 5)", _first_item(blended))) == 5


def test_a_blend_goes_on_with_the_models_that_can(blended: Settings) -> None:
    first, second = newest(blended, FIRST), newest(blended, SECOND)
    assert (second.metrics["start"]["how"], second.metrics["start"]["from"]) == ("warm", first.model_version)
    assert second.metrics["fit"]["parts"] == {"tower": 1, "spectral": 0}


def _first_item(settings: Settings) -> str:
    return str(ask(settings, "select min(item_id) from reco.recommendations")[0][0])
