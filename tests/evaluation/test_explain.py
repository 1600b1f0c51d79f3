"""Explanations: attributions add up to what they explain, and what decides in a world made for it comes out on top."""

import numpy as np
import pytest
import torch

from recommender.config.blend import Blend as BlendConfig
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.config.yaml12 import load_yaml
from recommender.evaluation import exchanged, explain
from recommender.evaluation.explain import explain_model, integrated_gradients, most_important
from recommender.evaluation.findings import Explanation
from recommender.models.base import Model
from recommender.models.blend import Blend
from recommender.models.popularity import Popularity
from recommender.models.two_tower import TwoTower
from tests.models.test_explaining import TOWERS, fitted_ranking, fitted_towers
from tests.models.worlds import ITEM_FEATURES, PROFILE, USER_FEATURES, checkerboard, rows_of, truth_of

USERS, ITEMS = np.array([0, 1, 2, 3, 3]), np.array([2, 5, 7, 9, 4])
CONVERGES = [kind for kind in TOWERS if kind != "ids alone"]


@pytest.fixture(autouse=True)
def _short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanged, "K", 4)  # of 16 unseen items the first 20 are all


def explained(model: Model, seed: int = 1) -> Explanation | None:
    truth = truth_of(model.dataset)
    return explain_model(model, truth, model.recommend(truth.users, 4), seed)


def by_metadata_alone() -> TwoTower:
    """Towers that know nothing but a user's country and an item's category, which here are all there is to know."""
    config = TwoTowerConfig.model_validate(
        {
            "dimension": 8,
            "batch_size": 64,
            "max_epochs": 20,
            "history": "none",
            "user_ids": False,
            "item_ids": False,
        }
    )
    model, dataset = TwoTower(config, Training(seed=1, device="cpu"), USER_FEATURES, ITEM_FEATURES), checkerboard()
    model.fit(dataset, rows_of(dataset))
    return model


@pytest.mark.parametrize("kind", TOWERS)
def test_with_all_gates_open_towers_score_as_ever(kind: str) -> None:
    model = fitted_towers(**TOWERS[kind])
    gates = model.removals().gates(USERS, ITEMS)
    with torch.no_grad():
        scores = gates(torch.ones(len(USERS), len(gates.inputs)), torch.arange(len(USERS)))
    np.testing.assert_allclose(scores.numpy(), model.score(USERS, ITEMS), atol=1e-5)
    again = model.score(USERS, ITEMS)  # the gates are gone again
    np.testing.assert_allclose(scores.numpy(), again, atol=1e-5)


@pytest.mark.parametrize("name", ["history", "own_user", "own_item", "country", "category"])
def test_one_closed_gate_is_that_input_taken_away(name: str) -> None:
    model = fitted_towers()
    gates = model.removals().gates(USERS, ITEMS)
    open_ones = torch.ones(len(USERS), len(gates.inputs))
    closed = open_ones.clone()
    closed[:, [one.name for one in gates.inputs].index(name)] = 0
    with torch.no_grad():
        lost = gates(open_ones, torch.arange(len(USERS))) - gates(closed, torch.arange(len(USERS)))
    told = model.contributions(USERS, ITEMS[:, None])
    assert told is not None
    number = [one.name for one in told.inputs].index(name)
    np.testing.assert_allclose(lost.numpy(), told.values[:, 0, number], atol=1e-5)


@pytest.mark.parametrize("kind", CONVERGES)
def test_attributions_sum_to_the_difference_of_the_scores(kind: str) -> None:
    gates = fitted_towers(**TOWERS[kind]).removals().gates(USERS, ITEMS)
    found = integrated_gradients(gates, len(USERS))
    number = torch.arange(len(USERS))
    with torch.no_grad():
        whole, nothing = (gates(torch.full((len(USERS), len(gates.inputs)), value), number) for value in (1.0, 0.0))
    gap = np.abs(found.values.sum(axis=1) - (whole - nothing).numpy()).max() / float(whole.std())
    assert gap == pytest.approx(found.gap, abs=1e-4)
    assert gap <= explain.TOLERANCE


def test_where_they_do_not_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "STEPS", (1,))
    monkeypatch.setattr(explain, "TOLERANCE", 1e-9)
    found = explained(fitted_towers())
    assert found is not None
    assert "did not converge" in found.method
    assert found.convergence > explain.TOLERANCE


def test_what_decides_comes_first_by_both_measures() -> None:
    found = explained(by_metadata_alone())
    assert found is not None
    shares = {(one.side, one.name): one for one in found.importances}
    assert sum(one.attribution for one in found.importances) == pytest.approx(1)
    assert set(shares) == {(side, name) for side, name in (
        *(("user", name) for name in ("events_total", "country")),
        *(("item", name) for name in ("events_total", "category")),
    )}  # fmt: skip
    first, second = found.importances[:2]
    assert {(one.side, one.name) for one in (first, second)} == {("user", "country"), ("item", "category")}
    assert first.attribution + second.attribution > 0.8
    for one in found.importances:
        assert one.permutation is not None
        if one in (first, second):  # half of the others are of the same colour
            assert 0.3 < one.permutation < 0.9
        else:
            assert abs(one.permutation) < 0.1
    assert most_important(found) == first


def test_the_learners_and_each_part_are_explained() -> None:
    found = explained(fitted_ranking())
    assert found is not None
    assert [one.side for one in found.importances] == ["pair"] * 4
    assert found.importances[0].name == "taste"
    assert found.importances[0].attribution > 0.3
    most = most_important(found)
    assert most is not None
    assert most.name != "taste"
    profile = Profile.model_validate(load_yaml(PROFILE))
    towers = {"kind": "two_tower", "dimension": 4, "history_length": 4, "batch_size": 64, "max_epochs": 2}
    config = BlendConfig.model_validate({"models": {"towers": towers, "alike": {"kind": "item_knn"}}})
    blend, dataset = Blend.build(config, profile), checkerboard()
    blend.fit(dataset, rows_of(dataset))
    of_blend = explained(blend)
    assert of_blend is not None
    assert {one.side for one in of_blend.importances} == {"towers.user", "towers.item"}
    assert of_blend.method.startswith("towers: integrated gradients")


def test_the_same_seed_explains_the_same() -> None:
    assert explained(fitted_towers(), seed=5) == explained(fitted_towers(), seed=5)


def test_a_model_without_named_inputs_is_not_explained() -> None:
    model = Popularity()
    model.attach(checkerboard())
    assert explained(model) is None
