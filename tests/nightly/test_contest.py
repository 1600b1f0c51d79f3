"""Rivals on the checkerboard: whoever knows the colours wins."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from recommender.config.models import AnyModel
from recommender.config.profile import Profile
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError, TrainingError
from recommender.models.base import Support
from recommender.nightly.contest import Contest, Entrant, compete, fit, labels
from recommender.nightly.past import Material
from recommender.nightly.start import FULL, WARM, Start
from recommender.storage.artifacts import checksum, writing
from tests.models.worlds import PROFILE, checkerboard, rows_of, truth_of
from tests.nightly.test_start import version

TOWER = "{kind: two_tower, dimension: 8, history_length: 4, batch_size: 64, max_epochs: 12}"
POPULAR = "{kind: popularity}"
BROKEN = TOWER.replace("12", "1, temperature: 1.0e-45")


class NoPast:
    def before(self, days: int) -> tuple[Dataset, TrainingRows, Truth]:
        raise NotReadyError(f"nothing is known of {days} days before")


def profile_of(model: str, *rivals: str) -> Profile:
    text = f"{PROFILE}\ntraining: {{device: cpu}}\nmodel: {model}\nrivals: [{', '.join(rivals)}]\n"
    return Profile.model_validate(yaml.safe_load(text))


def material() -> Material:
    dataset = checkerboard()
    return Material(dataset, rows_of(dataset), truth_of(dataset), NoPast())


def contest(folder: Path, profile: Profile, lines: list[str] | None = None) -> Contest:
    configs = (profile.model, *profile.rivals)
    entrants = [
        Entrant(label, config, Start(None, "new")) for label, config in zip(labels(configs), configs, strict=True)
    ]
    logs = {entrant.label: folder / entrant.label for entrant in entrants}
    said: list[str] = [] if lines is None else lines
    return compete(profile, entrants, material(), folder / "checkpoints", logs, said.append)


@pytest.mark.parametrize("order", [(TOWER, POPULAR), (POPULAR, TOWER)])
def test_the_best_on_the_validation_days_wins_wherever_it_stands(tmp_path: Path, order: tuple[str, str]) -> None:
    found = contest(tmp_path, profile_of(*order))
    assert found.winner.entrant.label == "two_tower"
    assert found.winner.how == FULL
    (label,) = found.others
    assert label == "popularity"
    assert found.winner.figures["recall@20"] == found.others[label]["recall@20"] == 1  # of 24 items: a tie
    assert found.winner.figures["ndcg@20"] > found.others[label]["ndcg@20"] > 0
    assert {"seconds", "ndcg@20", "users"} <= set(found.others[label])
    assert found.summary.startswith("popularity 1.0000 in ")


def test_a_tie_goes_to_whoever_is_named_first(tmp_path: Path) -> None:
    halved = "{kind: popularity, half_life_days: 60}"
    found = contest(tmp_path, profile_of(POPULAR, halved))
    assert (found.winner.entrant.label, list(found.others)) == ("popularity", ["popularity-2"])


def test_a_rival_that_fails_is_reported_and_left_out(tmp_path: Path) -> None:
    lines: list[str] = []
    found = contest(tmp_path, profile_of(BROKEN, POPULAR), lines)
    assert found.winner.entrant.label == "popularity"
    assert "loss" in found.others["two_tower"]["error"]
    assert any(line.startswith("two_tower is left out") for line in lines)
    assert found.summary == "two_tower failed"


def test_when_all_fail_the_night_has_no_candidate(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"two_tower failed: .*; two_tower-2 failed: "):
        contest(tmp_path, profile_of(BROKEN, BROKEN))
    with pytest.raises(TrainingError, match="^the loss"):
        contest(tmp_path, profile_of(BROKEN))


def test_a_second_model_of_a_kind_has_a_number() -> None:
    profile = profile_of(TOWER, POPULAR, TOWER, TOWER)
    configs: tuple[AnyModel, ...] = (profile.model, *profile.rivals)
    assert labels(configs) == ["two_tower", "popularity", "two_tower-2", "two_tower-3"]


def test_a_start_that_does_not_fit_is_reported_and_left() -> None:
    profile, lines = profile_of(TOWER), []
    wider = profile_of(TOWER.replace("dimension: 8", "dimension: 16"))
    start, *_ = fit(wider, wider.model, material(), Support(), lines.append)
    _, report, how = fit(profile, profile.model, material(), Support(start=start), lines.append)
    assert (how, len(report.history) > 1) == (FULL, True)
    assert any(line.startswith("training from nothing: ") for line in lines)
    _, report, how = fit(wider, wider.model, material(), Support(start=start), lines.append)
    assert (how, len(report.history)) == (WARM, 1)


def test_a_part_that_went_on_is_no_part_of_what_begins_from_nothing(tmp_path: Path) -> None:
    profile, lines = profile_of(f"{{kind: head, towers: {TOWER}, max_epochs: 1}}", TOWER), list[str]()
    earlier, *_ = fit(profile, profile.rivals[0], material(), Support(), lines.append)
    with writing(tmp_path / "earlier") as folder:
        earlier.save(folder)
    known = replace(version(1), artifact=tmp_path / "earlier", checksum=checksum(tmp_path / "earlier"))
    entrants = [
        Entrant("head", profile.model, Start(None, "new")),
        Entrant("two_tower", profile.rivals[0], Start(known, "goes on")),
    ]
    logs = {entrant.label: tmp_path / entrant.label for entrant in entrants}
    lines.clear()
    compete(profile, entrants, material(), tmp_path / "checkpoints", logs, lines.append)
    assert sum(line.startswith("epoch 1/1:") for line in lines) == 2  # the rival's towers and the head
    assert any(line.startswith("epoch 2/12:") for line in lines)  # the head's own towers


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        ("head", f"towers: {TOWER}, max_epochs: 1"),
        ("ranking", f"candidates: {{one: {TOWER}}}"),
        ("blend", f"models: {{one: {TOWER}, other: {POPULAR}}}"),
    ],
)
def test_what_a_composite_is_made_of_is_fitted_first_and_once(tmp_path: Path, kind: str, rest: str) -> None:
    lines: list[str] = []
    found = contest(tmp_path, profile_of(f"{{kind: {kind}, {rest}}}", TOWER), lines)
    told = [line for line in lines if line in (f"{kind}: new", "two_tower: new")]
    assert told == ["two_tower: new", f"{kind}: new"]
    assert sum("epoch 1/12" in line for line in lines) == 1
    assert {found.winner.entrant.label, *found.others} == {kind, "two_tower"}
