"""Where a night's training begins, on a registry of literal versions."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from recommender.config.training import Training
from recommender.data.split import Split
from recommender.nightly.start import Start, find_start, load_start, refit_starts
from recommender.storage.registry import ModelVersion

TONIGHT = date(2026, 3, 20)
SPLIT = Split(trained_to=TONIGHT - timedelta(days=21), judged_at=TONIGHT - timedelta(days=14), ds=TONIGHT)
CONFIG = {"model": {"kind": "two_tower", "dimension": 8}, "features": {"user": []}, "preprocessing": {}}


def version(nights_ago: int, how: str = "warm", status: str = "retired", **metrics: Any) -> ModelVersion:
    ds = TONIGHT - timedelta(days=nights_ago)
    data = {"trained_to": str(ds - timedelta(days=21)), "judged_at": str(ds - timedelta(days=14))}
    return ModelVersion(
        model_version=f"two_tower-{nights_ago}-nights-ago",
        kind="two_tower",
        ds=ds,
        status=status,
        metrics={"start": {"how": how}, "data": data} | metrics,
        artifact=Path("nowhere"),
        checksum="unknown",
        serving_artifact=None,
        serving_checksum=None,
        config=CONFIG,
    )


CHAIN = [version(1, status="champion"), version(2), version(3, "full")]


def found(history: list[ModelVersion], **training: Any) -> Start:
    return find_start(history, "two_tower", CONFIG, Training(**training), SPLIT)


def test_the_newest_champion_of_the_same_configuration_is_gone_on_from() -> None:
    assert found(CHAIN).name == "two_tower-1-nights-ago"


def test_the_same_night_run_again_begins_where_it_began() -> None:
    tonight, later = version(0, status="champion"), version(-1, status="champion")
    dethroned = replace(CHAIN[0], status="retired")
    assert found([later, tonight, dethroned, *CHAIN[1:]]).name == found(CHAIN).name


@pytest.mark.parametrize(
    ("history", "training", "why"),
    [
        ([], {}, "nothing of this configuration was trained before"),
        (CHAIN, {"warm_start": False}, "training.warm_start is off"),
        (CHAIN, {"full_retrain_days": 3}, "the last training from nothing is of 2026-03-17, 3 days ago"),
        ([version(1, "full", status="rejected")], {}, "no champion is of this configuration"),
        ([replace(CHAIN[2], config=CONFIG | {"model": {"dimension": 16}})], {}, "nothing of this configuration"),
        ([replace(CHAIN[2], kind="ncf")], {}, "nothing of this configuration"),
        ([version(1, decay={"decayed": True}), *CHAIN[1:]], {}, "judging saw the champion decay on 2026-03-19"),
        ([replace(CHAIN[0], metrics={"start": {"how": "full"}})], {}, "knows events after 2026-02-27"),
    ],
)
def test_otherwise_training_begins_from_nothing(history: list[ModelVersion], training: dict, why: str) -> None:
    start = found(history, **training)
    assert start.version is None
    assert why in start.why


def refitted(nights_ago: int, how: str = "warm") -> ModelVersion:
    return replace(version(nights_ago, how), serving_artifact=Path("full"), serving_checksum="known")


def test_a_refit_begins_as_its_champion_did() -> None:
    earlier = [refitted(-1), version(1), refitted(2), refitted(3)]
    warm = refit_starts(earlier, version(0))
    own = ("two_tower-0-nights-ago", False)
    assert [(start.name, start.refitted) for start in warm] == [("two_tower-2-nights-ago", True), own]
    assert [start.version for start in refit_starts(earlier, version(0, "full"))] == [None]
    assert [(start.name, start.refitted) for start in refit_starts([version(1)], version(0))] == [own]


@pytest.mark.parametrize("cut", ["trained_to", "judged_at"])
def test_a_start_that_knows_later_events_is_refused(cut: str) -> None:
    """The profile's holdout became longer: yesterday's model was trained, or stopped, on days it has now."""
    day_after = getattr(SPLIT, cut) + timedelta(days=1)
    newest = version(1, status="champion")
    newest.metrics["data"][cut] = str(day_after)
    assert found([newest, *CHAIN[1:]]).name == "two_tower-2-nights-ago"
    newest.metrics["data"][cut] = str(getattr(SPLIT, cut))
    assert found([newest, *CHAIN[1:]]).name == "two_tower-1-nights-ago"


def test_decay_is_answered_once() -> None:
    decayed = version(3, "full", decay={"decayed": True})
    retrained = version(2, "full", status="rejected")
    older = version(4, status="champion")
    assert found([decayed, older]).version is not None  # that very night trained from nothing
    assert found([version(1, decay={"decayed": True}), retrained, older]).version is None
    assert found([retrained, version(3, decay={"decayed": True}), older]).name == "two_tower-3-nights-ago"


def test_an_artifact_that_does_not_verify_is_no_start(tmp_path: Path) -> None:
    lines: list[str] = []
    assert load_start(Start(replace(CHAIN[0], artifact=tmp_path), ""), lines.append) is None
    assert "training can't go on from two_tower-1-nights-ago: " in lines[0]
    assert load_start(Start(None, ""), lines.append) is None
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (["ease", "two_tower"], "nothing of this configuration was trained before"),
        (["ease", "ials"], "blend begins from nothing every night"),
    ],
)
def test_a_blend_goes_on_where_one_of_its_models_can(parts: list[str], why: str) -> None:
    config = CONFIG | {"model": {"kind": "blend", "models": {kind: {"kind": kind} for kind in parts}}}
    assert find_start([], "blend", config, Training(), SPLIT).why == why
