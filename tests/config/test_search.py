"""What a profile may ask a search to try."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from recommender.config.profile import Profile
from recommender.config.search import with_values
from tests.models.worlds import PROFILE

TOWER = "model: {history_length: 7}\n"
KNN = "model: {kind: item_knn}\n"
RANKING = "model: {kind: ranking, candidates: {tower: {kind: two_tower}, ease: {kind: ease}}, boosting: null}\n"
HEAD = "model: {kind: head}\n"


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


@pytest.mark.parametrize(
    ("model", "search", "message"),
    [
        (TOWER, "{model.dimensoin: {low: 8, high: 64}}", "search.model.dimensoin: no key is called 'dimensoin'; did"),
        (RANKING, "{model.candidates.towr.dropout: {low: 0.1, high: 0.2}}", "did you mean 'tower'?"),
        (RANKING, "{model.candidates.tower.drop_out: {low: 0.1, high: 0.2}}", "did you mean 'dropout'?"),
        (TOWER, "{model.teacher.regularisation: {low: 1, high: 9}}", "model.teacher is null: give it its section in"),
        (RANKING, "{model.boosting.trees: {low: 1, high: 9}}", "search.model.boosting.trees: model.boosting is null"),
        (RANKING, "{model.candidates.tower.teacher.floor: {low: 0.1, high: 0.9}}", "model.candidates.tower.teacher is"),
        (TOWER, "{model.hidden.first: {low: 1, high: 9}}", "a model of kind two_tower has no such key"),
        (TOWER, "{model.kind: {choices: [two_tower, ease]}}", "search.model.kind: one search is of one kind"),
        (RANKING, "{model.candidates.ease.kind: {choices: [ease, ials]}}", "one search is of one kind"),
        (KNN, "{model.neighbours: {low: 20.0, high: 200.0}}", "it takes whole numbers: write low 20.0 and high 200.0"),
        (KNN, "{model.neighbours: {low: 20, high: 200.5}}", "it takes whole numbers: write low 20 and high 200.5 as"),
        (KNN, "{model.floor: {low: .nan, high: 0.5}}", "Input should be a finite number"),
        (KNN, "{model.shrinkage: {choices: [1.0, .inf]}}", "shrinkage: Input should be a finite number"),
        (RANKING, "{model.candidates.tower.hidden: {choices: [[], [0]]}}", "hidden.0: Input should be greater than or"),
        (RANKING, "{model.candidates.ease.side_features: {choices: [[a], [a, a]]}}", "a is listed twice"),
        (
            TOWER,
            "{model.teacher: {choices: [null, {kind: ease, floor: 2}]}}",
            "teacher.floor: Input should be less than",
        ),
        (TOWER, "{model.teacher: {choices: [null, {kind: ease, flor: 2}]}}", "did you mean 'floor'?"),
        (
            RANKING,
            "{model.mlp: {choices: [null, {}]}, model.mlp.dropout: {low: 0.1, high: 0.2}}",
            "search.model.mlp.dropout: model.mlp is searched as a whole: search one of the two",
        ),
    ],
)
def test_the_refusal_names_what_to_write(model: str, search: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        profile(search, model)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("model", "section"), [(TOWER, "model"), (RANKING, "model.candidates.tower"), (HEAD, "model.towers")]
)
def test_what_only_needs_another_value_is_searched_in_a_part_too(model: str, section: str) -> None:
    choices = f"{{{section}.normalisation: {{choices: [none, layer]}}, {section}.hidden: {{choices: [[], [64]]}}}}"
    assert len(profile(choices, model).search) == 2


@pytest.mark.parametrize(
    "search", ["{model.neighbours: {low: 20, high: 200}}", "{model.shrinkage: {low: 0, high: 10.0}}"]
)
def test_bounds_of_the_key_s_own_numbers_are_searched(search: str) -> None:
    assert len(profile(search, KNN).search) == 1


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
