"""Which events are trained on."""

import dataclasses

import numpy as np
import pytest

from recommender.config.profile import Profile
from recommender.data.dataset import SECONDS_A_DAY
from recommender.errors import TrainingError
from recommender.features.loading import training_events
from tests.models.worlds import checkerboard


def profile(window_days: int = 1000, **k_core: int) -> Profile:
    return Profile.model_validate(
        {
            "name": "board",
            "events": {"path": "events.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
            "items": {"path": "items.csv", "columns": {"item_id": "i"}},
            "training": {"window_days": window_days},
            "preprocessing": {"k_core": k_core},
        }
    )


def test_without_a_k_core_the_whole_window_is_trained_on() -> None:
    dataset = checkerboard()
    event, outside = training_events(profile(window_days=30), dataset)
    np.testing.assert_array_equal(event, np.flatnonzero(dataset.ts >= dataset.until - 30 * SECONDS_A_DAY))
    assert len(outside) == 0


def test_the_k_core_is_that_of_the_window_alone() -> None:
    dataset = checkerboard()
    event, outside = training_events(profile(window_days=30, users=3, items=3), dataset)
    window, _ = training_events(profile(window_days=30), dataset)
    assert 0 < len(event) < len(window)
    np.testing.assert_array_equal(np.sort(np.append(event, outside)), window)
    assert np.bincount(dataset.user[event])[dataset.user[event]].min() >= 3
    assert np.bincount(dataset.item[event])[dataset.item[event]].min() >= 3
    # older events give nobody the partners that the window doesn't
    older = np.setdiff1d(np.arange(len(dataset.user)), window)
    recent = {name: np.delete(getattr(dataset, name), older) for name in ("user", "item", "ts", "weight")}
    alone, _ = training_events(profile(users=3, items=3), dataclasses.replace(dataset, **recent))
    assert len(alone) == len(event)


def test_an_empty_core_is_an_error_that_says_what_to_lower() -> None:
    with pytest.raises(TrainingError, match=r"k_core leaves none of 320 events: no users with 50 items .* lower it"):
        training_events(profile(users=50), checkerboard())
