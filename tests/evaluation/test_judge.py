"""The nights after a feature was defined otherwise: the champion that was trained on the old one scores nothing."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.errors import ArtifactError, ConfigError
from recommender.evaluation.judge import Verdict, decay, judge_candidate
from recommender.features.definitions import declared_features, feature_tables
from recommender.features.loading import load_dataset
from recommender.features.snapshots import build_snapshots
from recommender.models.two_tower import TwoTower
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
REDEFINED = BOARD.replace("category: c", "category: {column: genre}")
YESTERDAY = DS - timedelta(days=1)
JUDGED_AT = DS - timedelta(days=20)


@pytest.fixture
def board(home: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The checkerboard in a lake; yesterday's champion has published. Then items got their category from elsewhere."""
    path = tmp_path / "board.yaml"
    path.write_text(BOARD)
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
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
    path.write_text(REDEFINED)
    settings = load_settings(str(path), reads_sources=False)
    snapshots(settings, [JUDGED_AT, DS])
    return settings


def snapshots(settings: Settings, nights: list[date]) -> None:
    tables = dict.fromkeys(feature_tables(settings.profile), nights)
    build_snapshots(Lake(settings.lake), settings.profile, tables, known=DS)


def register(settings: Settings, ds: date) -> str:
    """Train a model of the profile's definitions and register it as the night's candidate."""
    profile = settings.profile
    dataset = load_dataset(Lake(settings.lake), profile, JUDGED_AT, known=ds)
    user, item = declared_features(profile, "user"), declared_features(profile, "item")
    model = TwoTower(profile.model, profile.training, user, item)
    model.fit(dataset, rows_of(dataset), epochs=10)
    version = f"two_tower-{ds}"
    with writing(settings.artifacts / version) as scratch:
        model.save(scratch)
    with connect(settings) as connection:
        metrics = {"export": {"onnx_max_abs_diff": 0.0}}
        folder = settings.artifacts / version
        registry.register(connection, version, model.kind, ds, folder, checksum(folder), {}, metrics)
    return version


def judged(settings: Settings) -> tuple[Verdict, list[str]]:
    lines: list[str] = []
    with connect(settings, autocommit=True) as connection:
        return judge_candidate(settings, DS, connection, lines.append), lines


def live(settings: Settings) -> tuple[date, str]:
    with connect(settings) as connection:
        found = connection.execute("select ds, model_version from reco.publications where status = 'live'").fetchall()
    [(ds, version)] = found
    return ds, version


def test_the_champion_is_not_compared_and_the_challenger_meets_popularity(board: Settings) -> None:
    register(board, DS)
    verdict, lines = judged(board)
    refused = (
        f"two_tower-{YESTERDAY} was trained on other definitions of category than the snapshots of {JUDGED_AT} hold"
    )
    assert f"the champion can't be compared: {refused}" in " ".join(lines)
    assert set(verdict.figures) == {"challenger", "popularity"}
    rules = {rule.rule: rule for rule in verdict.rules}
    assert rules["champion_is_readable"].passed and refused in rules["champion_is_readable"].detail
    assert rules["recall_keeps_up"].detail == "no champion to compare recall@20 with"
    assert "of the popularity" in rules["beats_popularity"].detail
    assert re.search(r"\(95% of resamples .* to .*, p ", rules["beats_popularity"].detail)
    told = json.loads((board.reports / f"ds={DS}" / "verdict.json").read_text())
    sure = told["intervals"]["recall@20"]
    assert sure["low"] <= sure["value"] == verdict.figures["challenger"]["recall@20"] <= sure["high"]
    assert 0 < told["beside"]["popularity"]["recall@20"]["p_value"] <= 1
    # what is defined otherwise has not drifted
    assert any(line == f"1 item features are new or defined otherwise since {YESTERDAY}" for line in lines)
    assert rules["features_are_stable"].passed


def test_a_refused_champion_publishes_nothing_and_yesterdays_lists_stay(board: Settings) -> None:
    version = f"two_tower-{YESTERDAY}"
    assert live(board) == (YESTERDAY, version)
    with pytest.raises(ArtifactError, match=f"^{version} was trained on other definitions of category .*: train again"):
        pipeline.publish(board, DS)
    assert live(board) == (YESTERDAY, version)
    with connect(board) as connection:
        assert connection.execute("select count(*) from reco.recommend('u000')").fetchall() == [(3,)]
        failures = connection.execute("select ds, summary from reco.stage_runs where status = 'failed'").fetchall()
    assert [(ds, summary.split(":")[0]) for ds, summary in failures] == [
        (DS, f"{version} was trained on other definitions of category than the snapshots of {DS} hold")
    ]


def test_a_model_of_the_new_definitions_takes_over(board: Settings) -> None:
    version = register(board, DS)
    with connect(board) as connection:
        registry.record_verdict(connection, version, True, {}, [])
    pipeline.publish(board, DS)
    assert live(board) == (DS, version)


def test_a_rule_against_what_no_night_fits_is_refused(board: Settings, tmp_path: Path) -> None:
    register(board, DS)
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{name: beats_ease, metric: recall@20, against: ease, at_least: 1.0}]")
    gate = board.profile.gate.model_copy(update={"policy": policy})
    strict = replace(board, profile=board.profile.model_copy(update={"gate": gate}))
    with pytest.raises(ConfigError, match="rule beats_ease .* add ease to evaluation.baselines"):
        judged(strict)
    both = board.profile.evaluation.model_copy(update={"baselines": ("ease", "ials")})
    verdict, _ = judged(replace(strict, profile=strict.profile.model_copy(update={"evaluation": both})))
    assert set(verdict.figures) == {"challenger", "popularity", "ease", "ials"}
    assert [rule.rule for rule in verdict.rules][-1] == "beats_ease"
    assert "of the ease" in verdict.rules[-1].detail


@pytest.mark.parametrize(("fresh", "decayed"), [(0.181, False), (0.179, True)])
def test_a_champion_that_loses_more_than_the_margin_has_decayed(board: Settings, fresh: float, decayed: bool) -> None:
    with connect(board) as connection:
        champion = registry.champion(connection)
    assert champion is not None
    champion.metrics["judged"] = {"challenger": {"recall@20": 0.2}}
    found = decay(champion, {"recall@20": fresh}, margin=0.1)
    assert found == {"champion": champion.model_version, "judged": 0.2, "fresh": fresh, "decayed": decayed}
    assert decay(None, None, margin=0.1) == decay(champion, None, margin=0.1) == {}
