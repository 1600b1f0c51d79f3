"""A whole search, on the checkerboard instead of a lake and in memory instead of PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError, TrainingError
from recommender.nightly.past import Material
from recommender.tuning import search
from tests.models.worlds import DS, PROFILE, checkerboard, rows_of, truth_of

RANKING = """
model: {kind: ranking, candidates: {popular: {kind: popularity}}, label_days: 20, label_windows: 2}
rivals: [{kind: ranking, candidates: {popular: {kind: popularity}}, label_days: 33}]
search: {model.depth: {low: 5, high: 20}}
"""


class NoPast:
    """Data that begins too late for any earlier night."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def before(self, days: int) -> tuple[Dataset, TrainingRows, Truth]:
        self.asked.append(days)
        raise NotReadyError("no events yet")


@contextmanager
def in_memory(*_: Any, **__: Any) -> Iterator[optuna.Study]:
    yield optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(search, "open_study", in_memory)
    profile = Profile.model_validate(yaml.safe_load(PROFILE + RANKING))
    return Settings(profile, tmp_path / "board.yaml", tmp_path, tmp_path, None)


def given(monkeypatch: pytest.MonkeyPatch, truth: Truth | None) -> NoPast:
    dataset, past = checkerboard(), NoPast()
    material = Material(dataset, rows_of(dataset), truth, past)
    monkeypatch.setattr(search, "validation_material", lambda *_: material)
    return past


def test_a_search_does_without_labels_of_earlier_nights(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    past = given(monkeypatch, truth_of(checkerboard()))
    lines: list[str] = []
    found = search.tune(settings, DS, object(), trials=2, progress=lines.append)
    assert found.trials == 2 and found.recall > 0
    assert any("no labels of 20 days ago: no events yet" in line for line in lines)
    assert 33 not in past.asked, "a rival's cut"


def test_folds_that_nobody_chose_in_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = truth_of(checkerboard())
    given(monkeypatch, Truth(everybody.users[:1], everybody.relevant[:1]))
    with pytest.raises(TrainingError, match="1 of 2 folds have no user .*: use fewer --folds"):
        search.tune(settings, DS, object(), trials=1, folds=2)
    given(monkeypatch, None)
    with pytest.raises(TrainingError, match="nobody chose anything on the validation days"):
        search.tune(settings, DS, object(), trials=1)
