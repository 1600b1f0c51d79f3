"""What a profile may ask a search to try."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from recommender.config.profile import Profile
from recommender.config.search import with_values
from tests.models.worlds import PROFILE

TOWER = "model: {history_length: 7}\n"


def profile(search: str, model: str = TOWER) -> Profile:
    parsed: Profile = Profile.model_validate(yaml.safe_load(f"{PROFILE}\n{model}search: {search}"))
    return parsed


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{model.width: {low: 1, high: 2}}", "search.model.width: a model of kind two_tower has no such key"),
        ("{model.kind.x: {low: 1, high: 2}}", "search.model.kind.x: a model of kind two_tower has no such key"),
        ("{dropout: {low: 0.1, high: 0.2}}", "a search tries keys of the model: write model.dropout"),
        ("{training.seed: {low: 1, high: 2}}", "a search tries keys of the model: write model.seed"),
        ("{model.dropout: {low: 0.1, high: 1.0}}", "search.model.dropout: dropout: Input should be less than 1"),
        ("{model.hide: {choices: [latest, best]}}", "search.model.hide"),
        ("{model.dropout: {low: 0.3, high: 0.2}}", "low 0.3 must be below high 0.2"),
        ("{model.dropout: {low: 0, high: 0.2, log: true}}", "log needs a low above 0"),
        ("{model.dropout: {low: 0.1}}", "give either choices, or low and high"),
        ("{model.dropout: {}}", "give either choices, or low and high"),
        ("{model.dropout: {low: 0.1, high: 0.2, choices: [0.1, 0.2]}}", "give either choices, or low and high"),
        ("{model.dropout: {choices: [0.1]}}", "two or more"),
        ("{model.dropout: {choices: [0.1, 0.2], log: true}}", "two or more, without log"),
        ("{model.dropout: {lwo: 0.1, high: 0.2}}", "did you mean 'low'"),
    ],
)
def test_a_search_that_cannot_be_is_refused(search: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        profile(search)


def test_values_are_put_into_the_configuration() -> None:
    before = profile("{}").model
    after = with_values(before, {"model.dropout": 0.25, "model.dimension": 8})
    changed: dict[str, Any] = after.model_dump(mode="json")
    assert changed == {**before.model_dump(mode="json"), "dropout": 0.25, "dimension": 8}


def test_values_of_a_part_are_too() -> None:
    ranking = "model: {kind: ranking, candidates: {tower: {kind: two_tower}, ease: {kind: ease}}}\n"
    parsed = profile("{model.candidates.ease.regularisation: {low: 1.0, high: 10.0}}", ranking)
    after = with_values(parsed.model, {"model.candidates.ease.regularisation": 3.0})
    assert after.model_dump()["candidates"]["ease"]["regularisation"] == 3.0
    assert after.model_dump()["candidates"]["tower"] == parsed.model.model_dump()["candidates"]["tower"]


def test_what_is_forbidden_only_together_is_left_to_the_trial() -> None:
    parsed = profile("{model.sparse_ids: {choices: [true, false]}, model.clip_norm: {low: 0.5, high: 2.0}}")
    with pytest.raises(ValidationError, match="sparse_ids and clip_norm"):
        with_values(parsed.model, {"model.sparse_ids": True, "model.clip_norm": 1.0})
