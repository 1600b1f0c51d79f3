"""The nights after a feature was defined otherwise: the champion that was trained on the old one scores nothing."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from recommender import pipeline
from recommender.config.policy import load_policy
from recommender.config.settings import Settings, load_settings
from recommender.errors import ArtifactError, ConfigError
from recommender.evaluation.findings import Findings
from recommender.evaluation.judge import decay
from recommender.storage import registry
from recommender.storage.postgres import connect
from tests.evaluation.board import BOARD, JUDGED_AT, YESTERDAY, judged, register, set_up, snapshots
from tests.models.worlds import DS

REDEFINED = BOARD.replace("category: c", "category: {column: genre}")


@pytest.fixture
def board(home: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The checkerboard in a lake; yesterday's champion has published. Then items got their category from elsewhere."""
    path = tmp_path / "board.yaml"
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    set_up(path)
    path.write_text(REDEFINED)
    settings = load_settings(str(path), reads_sources=False)
    snapshots(settings, [JUDGED_AT, DS])
    return settings


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
    told = Findings.read(board.reports / f"ds={DS}")
    sure = told.intervals["challenger"]["recall@20"]
    assert sure.low <= sure.value == verdict.figures["challenger"]["recall@20"] <= sure.high
    assert 0 < told.beside["popularity"]["recall@20"].p_value <= 1
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
        registry.record_verdict(connection, version, "promote", {}, [], policy=load_policy(None), summary="")
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
