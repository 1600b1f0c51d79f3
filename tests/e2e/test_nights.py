"""Whole nights on a small world, read back as its users would."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.errors import DataQualityError, TrainingError
from recommender.serving.index import load_index
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect
from tests.e2e.worlds import AFTER_THE_END, FIRST, SECOND, THIRD


def ask(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with connect(settings) as connection:
        return connection.execute(query).fetchall()


def state(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Everything a night leaves for readers and operators, without the times it was done at."""
    return {
        "publications": ask(
            settings,
            "select publication_id, ds, model_version, status, users, fingerprint from reco.publications order by 1",
        ),
        "lists": ask(settings, "select * from reco.recommendation_lists order by 1, 2"),
        "catalogue": ask(settings, "select * from reco.catalogue order by 1, 2"),
        "models": ask(
            settings, "select model_version, status, artifact, checksum, serving_checksum from reco.models order by 1"
        ),
        "gate": ask(settings, "select * from reco.gate_results order by 1, 2"),
        "events": ask_lake(settings),
    }


def ask_lake(settings: Settings) -> list[tuple[Any, ...]]:
    lake = Lake(settings.lake)
    return [(str(night), len(lake.read("events", night))) for night in lake.nights("events")]


def test_the_first_night_serves_every_user(small: Settings) -> None:
    assert ask(small, "select ds, status from reco.publications") == [(FIRST, "live")]
    users = pd.read_csv(small.data / "users.csv")["user_id"]
    lists = dict(ask(small, "select user_id, item_ids from reco.recommendation_lists"))
    events = pd.concat(pd.read_parquet(path) for path in (small.data / "events").iterdir())
    seen = events[events["ts"] < "2026-03-29"].groupby("user_id")["item_id"].agg(set)
    assert set(seen.index) <= set(lists) <= set(users)
    for user, items in lists.items():
        assert len(items) == len(set(items)) == 20
        assert not set(items) & seen.get(user, set())
    assert ask(small, "select distinct source from reco.recommend('a stranger')") == [("popular",)]
    assert len(ask(small, "select * from reco.similar_items('item-1', 5)")) == 5


def test_the_gate_explains_its_verdict(small: Settings) -> None:
    rules = {
        rule: (passed, detail)
        for rule, passed, detail in ask(small, "select rule, passed, detail from reco.gate_results")
    }
    assert {"beats_popularity", "recall_keeps_up", "onnx_agrees"} <= set(rules)
    assert rules["recall_keeps_up"] == (True, "no champion to compare recall@20 with")
    assert all(detail for _, detail in rules.values())


def test_the_first_model_that_beats_popularity_is_refitted_and_serves(small: Settings) -> None:
    ((version, kind),) = ask(small, "select model_version, kind from reco.models where status = 'champion'")
    assert ask(small, "select model_version from reco.publications where status = 'live'") == [(version,)]
    assert kind == "two_tower"
    ((artifact, serving),) = ask(small, "select artifact, serving_artifact from reco.models where status = 'champion'")
    assert serving == f"{artifact}-full"


def test_the_same_night_twice_leaves_the_same_rows(small: Settings) -> None:
    before = state(small)
    list(pipeline.nightly(small, FIRST))
    assert state(small) == before


def test_the_next_night_takes_in_its_day_and_goes_live(small: Settings) -> None:
    results = list(pipeline.nightly(small, SECOND))
    assert [result.stage for result in results] == list(pipeline.STAGES)
    assert ask(small, "select ds, status from reco.publications order by 1") == [(FIRST, "retired"), (SECOND, "live")]
    compared = ask(
        small,
        f"select detail from reco.gate_results where rule = 'recall_keeps_up' and model_version like '%{SECOND}%'",
    )
    assert "of the champion" in compared[0][0]


def test_an_older_night_run_again_does_not_displace_the_newer(small: Settings) -> None:
    said = {result.stage: result.summary for result in pipeline.nightly(small, FIRST)}
    assert said["features"].endswith("online store stays at a newer night")
    assert ask(small, "select ds from reco.publications where status = 'live'") == [(SECOND,)]
    assert ask(small, "select count(*) from reco.models where status = 'champion'") == [(1,)]


def test_a_failing_expectation_stops_the_night_and_keeps_serving(small: Settings, monkeypatch) -> None:
    bad = small.data / "events" / "planted.parquet"
    rows = pd.DataFrame(
        {"user_id": "user-1", "item_id": "no-such-item", "ts": pd.date_range("2026-03-30", periods=50, freq="min")}
    )
    rows.to_parquet(bad, coerce_timestamps="us")
    before = state(small)
    with pytest.raises(DataQualityError, match="rejected_share") as caught:
        list(pipeline.nightly(small, THIRD))
    assert "\n" not in str(caught.value)
    assert state(small) == before
    assert len(Lake(small.lake).read("failed_quarantine", THIRD)) >= 50
    ((status, summary),) = ask(small, f"select status, summary from reco.stage_runs where ds = '{THIRD}'")
    assert (status, summary) == ("failed", str(caught.value))
    bad.unlink()


def test_when_training_fails_the_champion_is_published_on_fresh_features(small: Settings, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise TrainingError("the loss is not a number after epoch 1")

    monkeypatch.setattr(pipeline, "train", fails)
    ((champion,),) = ask(small, "select model_version from reco.models where status = 'champion'")
    with pytest.raises(TrainingError):
        list(pipeline.nightly(small, THIRD))
    live = ask(small, "select ds, model_version from reco.publications where status = 'live'")
    assert live == [(THIRD, champion)]


def test_published_lists_are_judged_on_what_came_after(small: Settings) -> None:
    figures = pipeline.evaluate(small, FIRST, days=3)
    assert figures["users"] > 10
    assert 0 < figures["recall@20"] <= 1


def test_the_index_in_postgres_finds_what_exact_search_finds(small: Settings) -> None:
    with connect(small) as connection:
        index = load_index(connection)
    assert len(index.item_ids) == 100
    rng = np.random.default_rng(0)
    ids, scores = index.search(rng.normal(size=(3, index.dimension)).astype(np.float32), k=5)
    assert set(ids.ravel()) <= set(index.item_ids)
    assert (np.diff(scores, axis=1) <= 1e-6).all()


def test_a_night_without_any_event_is_published_all_the_same(small: Settings) -> None:
    results = list(pipeline.nightly(small, AFTER_THE_END))
    assert results[-1].stage == "publish"
    assert len(Lake(small.lake).read("events", AFTER_THE_END)) == 0
    assert ask(small, "select ds from reco.publications where status = 'live'") == [(AFTER_THE_END,)]


def test_settings_are_read_from_the_environment(small: Settings) -> None:
    assert load_settings() == small
