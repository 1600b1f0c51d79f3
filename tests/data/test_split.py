"""The cuts of a night, and the nights whose snapshots they need."""

from dataclasses import dataclass
from datetime import date, timedelta

import pytest
import yaml

from recommender.config.profile import Profile
from recommender.data.split import Split, history_cuts, snapshot_nights
from tests.models.worlds import PROFILE

DS, BEGINNING = date(2026, 3, 30), date(2025, 1, 1)
TEXT = f"""{PROFILE}
training: {{window_days: 60, validation_days: 7}}
evaluation: {{holdout_days: 14}}
"""


@dataclass(frozen=True)
class Historian:
    """The configuration of a model that looks back."""

    history_cuts: tuple[int, ...]


@pytest.fixture
def profile() -> Profile:
    parsed: Profile = Profile.model_validate(yaml.safe_load(TEXT))
    return parsed


def looking_back(profile: Profile, *cuts: int) -> Profile:
    return profile.model_copy(update={"rivals": (Historian(cuts[:1]), Historian(cuts))})


def test_the_cuts_of_a_night(profile: Profile) -> None:
    split = Split.of(profile, DS)
    assert (split.trained_to, split.judged_at, split.ds) == (date(2026, 3, 9), date(2026, 3, 16), DS)


def test_models_that_look_back_get_their_nights_for_candidate_and_refit(profile: Profile) -> None:
    backwards = looking_back(profile, 30, 60)
    assert history_cuts(profile) == []
    assert history_cuts(backwards) == [30, 60]
    trained_to = Split.of(profile, DS).trained_to
    nights = snapshot_nights(backwards, DS, BEGINNING)
    for cut in (trained_to, DS):
        assert {cut, cut - timedelta(days=30), cut - timedelta(days=60)} <= set(nights)
    # training rows before the earliest cut have snapshots too
    assert min(nights) <= trained_to - timedelta(days=60 + 60)
    assert min(snapshot_nights(profile, DS, BEGINNING)) > trained_to - timedelta(days=60 + 60)


def test_no_night_before_the_data_begins(profile: Profile) -> None:
    beginning = DS - timedelta(days=40)
    assert min(snapshot_nights(looking_back(profile, 30, 60), DS, beginning)) >= beginning
