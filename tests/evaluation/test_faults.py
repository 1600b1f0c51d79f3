"""Candidates with a fault: each is stopped by the rule that is there for it, in words an operator understands."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from recommender import pipeline
from recommender.config.settings import Settings
from recommender.evaluation.findings import Findings, RuleResult
from recommender.storage import registry, verdicts
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect
from tests.evaluation.board import YESTERDAY, judged, register, set_up, snapshots
from tests.models.worlds import DS

CHAMPION = f"two_tower-{YESTERDAY}"


@pytest.fixture
def board(home: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The checkerboard; its champion of yesterday serves."""
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    settings = set_up(tmp_path / "board.yaml")
    snapshots(settings, [DS])
    return settings


def broken(settings: Settings) -> tuple[str, dict[str, RuleResult]]:
    """The decision on tonight's candidate, and the rules that it doesn't keep."""
    verdict, _ = judged(settings)
    kept = Findings.read(settings.reports / f"ds={DS}")
    assert (kept.decision, repr(kept.rules)) == (verdict.decision, repr(verdict.rules))  # NaN is not itself
    return verdict.decision, {rule.rule: rule for rule in verdict.rules if not rule.passed}


def champion(settings: Settings) -> str:
    with connect(settings) as connection:
        found = registry.champion(connection)
    assert found is not None
    return found.model_version


def live(settings: Settings) -> tuple[date, str]:
    with connect(settings) as connection:
        found = connection.execute("select ds, model_version from reco.publications where status = 'live'").fetchall()
    return found[0]


def test_a_damaged_artifact_is_rejected_and_the_champion_is_published(board: Settings) -> None:
    version = register(board, DS)
    weights = next((board.artifacts / version).glob("*.safetensors"))
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    decision, rules = broken(board)
    assert decision == "reject"
    assert list(rules) == ["artifact_is_whole"]
    assert weights.name in rules["artifact_is_whole"].detail
    pipeline.publish(board, DS)
    assert live(board) == (DS, CHAMPION)


def test_an_onnx_file_that_cannot_be_read_is_rejected_by_name(board: Settings) -> None:
    def cut_off(folder: Path) -> None:
        file = folder / "item_tower.onnx"
        file.write_bytes(file.read_bytes()[:100])

    register(board, DS, spoil=cut_off)
    decision, rules = broken(board)
    assert decision == "reject"
    assert "item_tower.onnx gives no answer" in rules["onnx_agrees"].detail


def test_an_onnx_file_of_other_weights_is_rejected(board: Settings) -> None:
    def exchange(folder: Path) -> None:
        (folder / "user_tower.onnx").write_bytes((board.artifacts / CHAMPION / "user_tower.onnx").read_bytes())

    register(board, DS, epochs=3, spoil=exchange)
    decision, rules = broken(board)
    assert decision == "reject"
    value = rules["onnx_agrees"].value
    assert value is not None and value > 0.001


def test_weights_that_are_not_numbers_are_rejected(board: Settings) -> None:
    def spoil(folder: Path) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        weights = next(folder.glob("*.safetensors"))
        tensors = load_file(weights)
        name = next(name for name, tensor in tensors.items() if tensor.dtype == torch.float32)
        tensors[name].flatten()[0] = float("nan")
        save_file(tensors, weights)

    register(board, DS, spoil=spoil)
    decision, rules = broken(board)
    assert decision == "reject"
    assert "training_was_healthy" in rules


def test_a_feature_that_means_something_else_waits_for_a_person(board: Settings) -> None:
    lake = Lake(board.lake)
    lake.write("users", DS, lake.read("users", YESTERDAY).assign(country="grey"))
    snapshots(board, [DS])
    register(board, DS)
    _, rules = broken(board)
    told = rules["no_feature_drifted_far"]
    assert told.otherwise == "ask"
    assert "furthest of all user features: country" in told.detail


def test_the_same_candidate_again_is_no_better_and_stays_outside(board: Settings) -> None:
    version = register(board, DS)
    decision, rules = broken(board)
    assert decision == "reject"
    assert "is_better" in rules
    assert champion(board) == CHAMPION
    with connect(board) as connection:
        ruling = verdicts.known(connection, version)
    assert ruling.decided_by == "policy" and ruling.policy_version.startswith("default-")
    assert "a change must be a gain" in ruling.headline


def test_what_stopped_a_verdict_leaves_nothing_behind_and_the_next_run_ends_it(
    board: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register(board, DS)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(registry, "record_verdict", killed)
        judged(board)
    with connect(board) as connection:
        assert verdicts.of(connection, version) is None
    decision, _ = broken(board)
    again, _ = judged(board)
    assert (again.decision, again.repeated) == (decision, True)


def test_a_champion_that_got_worse_raises_an_alert(board: Settings) -> None:
    register(board, DS)
    with connect(board) as connection:
        connection.execute(
            "update reco.models set metrics = metrics || %s where model_version = %s",
            ['{"judged": {"challenger": {"recall@20": 2.0}}}', CHAMPION],
        )
    verdict, _ = judged(board)
    (alert,) = verdict.alerts
    assert alert.startswith(
        f"the champion {CHAMPION} fell from recall@20 2.0000 at its verdict to 1.0000 on fresh days"
    )
    assert alert in verdict.summary and "ALERT" in verdict.summary
    assert "fell from recall@20" in (board.reports / f"ds={DS}" / "report.md").read_text()


def test_the_popularity_that_serves_for_want_of_a_model_is_no_champion_to_beat(board: Settings) -> None:
    """It is a baseline already: as a champion it would make every healthy model look too good to be true."""
    register(board, DS)
    with connect(board) as connection:
        connection.execute("update reco.models set status = 'rejected' where status = 'champion'")
    pipeline.publish(board, DS)
    assert champion(board) == f"popularity-{DS}"
    verdict, _ = judged(board)
    assert set(verdict.figures) == {"challenger", "popularity"}
    rules = {rule.rule: rule.detail for rule in verdict.rules}
    assert rules["not_too_good_to_be_true"] == "no champion to compare recall@20 with"


def test_who_served_on_into_the_recent_nights_is_among_their_champions(board: Settings) -> None:
    """Ties are promoted after weeks alone: the champion before last would be forgotten by the night it was trained."""
    long_ago = DS - timedelta(days=70)
    with connect(board) as connection:
        connection.execute(
            """insert into reco.models (model_version, kind, ds, status, metrics, config, artifact, checksum)
               select name, kind, %s - days, 'retired', metrics || %s, config, artifact, checksum
               from reco.models, (values ('best', 0), ('older', 1)) as earlier (name, days)""",
            [long_ago, '{"judged": {"challenger": {"recall@20": 0.9}}}'],
        )
    register(board, DS)
    verdict, lines = judged(board)
    assert "best_recent" in verdict.figures
    assert sum("judging the best champion" in line for line in lines) == 1


def test_the_best_champion_of_recent_nights_is_judged_again(board: Settings) -> None:
    earlier = YESTERDAY - timedelta(days=3)
    with connect(board) as connection:
        connection.execute(
            """insert into reco.models (model_version, kind, ds, status, metrics, config, artifact, checksum)
               select 'best', kind, %s, 'retired', metrics || %s, config, artifact, checksum from reco.models""",
            [earlier, '{"judged": {"challenger": {"recall@20": 0.9}}}'],
        )
        connection.execute(
            "update reco.models set metrics = metrics || %s where model_version = %s",
            ['{"judged": {"challenger": {"recall@20": 0.8}}}', CHAMPION],
        )
    register(board, DS)
    verdict, lines = judged(board)
    assert any("best champion of the last 56 days" in line for line in lines)
    assert "best_recent" in verdict.figures
    slow = next(rule for rule in verdict.rules if rule.rule == "no_slow_decline")
    assert slow.passed and "of the best recent" in slow.detail
