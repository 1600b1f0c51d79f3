"""What is told of a score is what happens to it when the named input is taken away, by really taking it away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from recommender.columns import CATEGORY, COUNTRY
from recommender.config.classic import Ease as EaseConfig
from recommender.config.classic import ItemKnn as ItemKnnConfig
from recommender.config.classic import Spectral as SpectralConfig
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset
from recommender.models.base import Model
from recommender.models.ease import Ease
from recommender.models.explaining.contributions import MET, Contributions
from recommender.models.explaining.dots import PairDots
from recommender.models.explaining.inputs import named_inputs
from recommender.models.item_knn import ItemKnn
from recommender.models.popularity import Popularity
from recommender.models.ranking.learners.bit_trees import BitTrees
from recommender.models.ranking.removal import pair_inputs
from recommender.models.spectral import Spectral
from recommender.models.two_tower import TwoTower
from tests.models.ranking.test_model import fitted as fitted_ranking
from tests.models.ranking.test_model import make as make_ranking
from tests.models.worlds import ITEM_FEATURES, ITEMS, USER_FEATURES, checkerboard, rows_of, tomorrow_with_newcomers

SMALL = {"dimension": 8, "history_length": 6, "batch_size": 64, "max_epochs": 3}
TOWERS = {
    "sum": {},
    "dot product": {"similarity": "dot", "item_bias": False},
    "attention": {"history": "attention"},
    "gated, dense": {"fusion": "gated", "hidden": [8], "normalisation": "batch"},
    "mimic": {"fusion": "adaptive_mimic", "id_dimension": 4, "history": "mean"},
    "ids alone": {"fusion": "identity"},
}
USER, ITEM = 3, 5
"""Of one colour, so that the item may be in the user's history: another is taken where it is."""


def world() -> Dataset:
    """The checkerboard with a few values missing, so that the model learns what missing means."""
    dataset = checkerboard()
    users, items = dataset.user_features.copy(), dataset.item_features.copy()
    users.loc[::7, "events_total"], items.loc[::7, "events_total"] = np.nan, np.nan
    users.loc[::9, COUNTRY], items.loc[::9, CATEGORY] = None, None
    return replace(dataset, user_features=users, item_features=items)


def fitted_towers(**keys: object) -> TwoTower:
    model = TwoTower(
        TwoTowerConfig.model_validate({**SMALL, **keys}),
        Training(seed=1, device="cpu"),
        USER_FEATURES,
        ITEM_FEATURES,
    )
    dataset = world()
    model.fit(dataset, rows_of(dataset))
    return model


def pair_of(dataset: Dataset) -> tuple[int, int]:
    """A user, and an item that is in nothing they met."""
    unmet = np.flatnonzero(dataset.seen[USER].toarray()[0] == 0)
    return USER, int(unmet[unmet >= ITEM][0])


def told(found: Contributions | None) -> dict[str, float]:
    assert found is not None
    return {one.name: float(value) for one, value in zip(found.inputs, found.values[0, 0], strict=True)}


def blank(frame_of: str, name: str) -> Callable[[Dataset, int, int], Dataset]:
    def changed(dataset: Dataset, user: int, item: int) -> Dataset:
        frame = getattr(dataset, frame_of).copy()
        row = user if frame_of == "user_features" else item
        frame.loc[row, name] = None if frame[name].dtype == object else np.nan
        return replace(dataset, **{frame_of: frame})

    return changed


def without_history(dataset: Dataset, user: int, item: int) -> Dataset:
    kept = dataset.user != user
    return replace(dataset, **{name: getattr(dataset, name)[kept] for name in ("user", "item", "ts", "weight")})


def unknown_id(ids: str) -> Callable[[Dataset, int, int], Dataset]:
    def changed(dataset: Dataset, user: int, item: int) -> Dataset:
        others = getattr(dataset, ids).copy()
        others[user if ids == "user_ids" else item] = "somebody or something else"
        return replace(dataset, **{ids: others})

    return changed


REMOVED = {
    "history": without_history,
    "own_user": unknown_id("user_ids"),
    "own_item": unknown_id("item_ids"),
    "activity": blank("user_features", "events_total"),
    "country": blank("user_features", COUNTRY),
    "popularity": blank("item_features", "events_total"),
    "category": blank("item_features", CATEGORY),
}


@pytest.mark.parametrize("kind", TOWERS)
def test_towers_without_an_input_score_as_much_less_as_was_told(kind: str) -> None:
    model = fitted_towers(**TOWERS[kind])
    dataset = model.dataset
    user, item = pair_of(dataset)
    pair = np.array([user]), np.array([item])
    before, contributions = model.score(*pair)[0], told(model.contributions(np.array([user]), np.array([[item]])))
    assert set(contributions) == ({"history", "own_user", "own_item"} if kind == "ids alone" else set(REMOVED))
    for name, value in contributions.items():
        model.attach(REMOVED[name](dataset, user, item))
        assert before - model.score(*pair)[0] == pytest.approx(value, abs=1e-5), name


def test_explained_lists_are_the_recommended_ones() -> None:
    model = fitted_towers()
    users = model.dataset.active_users
    top = model.recommend(users, 5)
    (explained,) = model.explained(users, 5)
    np.testing.assert_array_equal(explained.top.items, top.items)
    np.testing.assert_allclose(explained.top.scores, top.scores, rtol=1e-6)
    again = model.contributions(users, top.items)
    assert explained.contributions is not None
    np.testing.assert_allclose(explained.contributions.values, again.values, atol=1e-6)


def test_an_item_below_what_is_usual_shows_the_opposite() -> None:
    model = fitted_towers()
    events = model.dataset.item_features["events_total"]
    found = model.contributions(np.zeros(1, np.int64), np.arange(ITEMS)[None])
    usual = model._fitted.encoders[1].numeric[0].fill.value  # type: ignore[union-attr]
    np.testing.assert_array_equal(found.turned["popularity"][0], np.log1p(events.fillna(np.inf)) < usual)


HISTORY_MODELS = {
    "ease": lambda: Ease(EaseConfig(regularisation=5.0), Training(seed=1), ITEM_FEATURES[1:]),
    "item_knn": lambda: ItemKnn(ItemKnnConfig(), Training(seed=1), ITEM_FEATURES[1:]),
    "spectral": lambda: Spectral(SpectralConfig(dimension=4), Training(seed=1), ITEM_FEATURES[1:]),
}


@pytest.mark.parametrize("kind", HISTORY_MODELS)
@pytest.mark.parametrize("item_is_new", [False, True])
def test_a_history_without_the_strongest_item_scores_as_much_less_as_was_told(kind: str, item_is_new: bool) -> None:
    model, dataset = HISTORY_MODELS[kind](), checkerboard()
    model.fit(dataset, rows_of(dataset))
    if item_is_new:
        dataset = tomorrow_with_newcomers()
        model.attach(dataset)
    user, item = pair_of(dataset)
    item = ITEMS + 1 if item_is_new else item
    found = model.contributions(np.array([user]), np.array([[item]]))
    assert found is not None
    assert found.met is not None
    assert [one.name for one in found.inputs] == [MET]
    losses = {met: loss_without(model, dataset, user, item, met) for met in dataset.seen[user].indices.tolist()}
    assert found.values[0, 0, 0] == pytest.approx(max(losses.values()), abs=1e-5)
    assert losses[int(found.met[0, 0])] == pytest.approx(max(losses.values()), abs=1e-5)


@pytest.mark.parametrize("learners", [{}, {"mlp": None, "boosting": None}, {"boosting": {"leaves": 20, "trees": 5}}])
def test_pairs_with_a_usual_input_score_as_much_less_as_was_told(learners: dict[str, object]) -> None:
    model = fitted_ranking(**learners)
    users = np.array([3, 8, 11])
    (explained,) = model.explained(users, 4)
    found = explained.contributions
    assert found is not None
    np.testing.assert_array_equal(explained.top.items, model.recommend(users, 4).items)
    assert [one.name for one in found.inputs] == ["taste", "known_category", "popularity", "newness"]
    ordered = model.ordered(users)
    assert ordered.candidates is not None
    assert ordered.features is not None
    whose = np.repeat(np.arange(3), ordered.candidates.groups)
    for row, item in ((0, 0), (1, 3), (2, 1)):
        place = int(np.flatnonzero((whose == row) & (ordered.candidates.items == explained.top.items[row, item]))[0])
        for number, one in enumerate(found.inputs):
            changed = ordered.features.copy()
            for column in (model.features.index(name) for name in one.features):
                changed[place, column] = ordered.features[whose == row, column].mean(dtype=np.float64)
            losses = [
                (learner.score(ordered.features)[place] - learner.score(changed)[place])
                / learner.score(ordered.features)[whose == row].std()
                for learner in model.reranker.learners
            ]
            assert found.values[row, item, number] == pytest.approx(np.mean(losses), abs=1e-4), one.name


def test_only_candidates_are_explained_and_new_categories_are_called_new() -> None:
    model = fitted_ranking(depth=4)
    users, items = np.array([0, 1]), np.tile(np.arange(ITEMS), (2, 1))
    found = model.contributions(users, items)
    assert found is not None
    ordered = model.ordered(users)
    assert ordered.candidates is not None
    there = np.zeros(items.shape, bool)
    there[np.repeat([0, 1], ordered.candidates.groups), ordered.candidates.items] = True
    assert not found.values[~there].any()
    assert found.values[there].any()
    of_own_colour = items % 2 == users[:, None] % 2
    np.testing.assert_array_equal(found.turned["known_category"], there & ~of_own_colour)


def test_a_ranking_without_learners_cannot_tell() -> None:
    model, dataset = make_ranking(), checkerboard()
    model.fit(dataset, rows_of(dataset))
    assert model.contributions(np.array([1, 2]), np.array([[1], [2]])) is None


def test_columns_of_pairs_by_what_they_mean() -> None:
    names = (
        *("ease_score", "ease_rank", "mean_score", "user_creator_met", "creator_rank", "creator_place"),
        *("item_events_14d", "item_age_days", "item_idle_days", "user_events", "pair_taste_gap_energy_90d"),
        *("pair_country_category_affinity_365d", "pair_hour_of_day", "pair_daypart_affinity_90d"),
    )
    assert {one.name: one.features for one in pair_inputs(names)} == {
        "taste": ("ease_score", "ease_rank", "mean_score"),
        "known_creator": ("user_creator_met", "creator_place"),
        "popularity": ("creator_rank", "item_events_14d", "item_idle_days"),
        "newness": ("item_age_days",),
        "taste_gap_energy": ("pair_taste_gap_energy_90d",),
        "country": ("pair_country_category_affinity_365d",),
        "habits": ("pair_daypart_affinity_90d",),
    }


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_trees_by_bits_score_as_the_library(missing: float) -> None:
    import lightgbm

    rng = np.random.default_rng(2)
    features, usual = (rng.normal(size=(300, 6)).astype(np.float32).round(1) for _ in range(2))
    for table in (features, usual):
        table[rng.random(table.shape) < missing] = np.nan
    labels = np.nan_to_num(features[:, 0] * features[:, 1]) + np.isnan(features[:, 2]) > 0.2
    parameters = {"objective": "binary", "num_leaves": 9, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(features, labels.astype(int)), 20)
    trees = BitTrees.of(booster)
    assert trees is not None
    groups = [[0], [1, 2], [], [3, 4, 5]]
    for columns, scores in zip(groups, trees.without(features, usual, groups), strict=True):
        changed = features.copy()
        changed[:, columns] = usual[:, columns]
        np.testing.assert_allclose(scores, booster.predict(changed, raw_score=True), atol=1e-6)


def loss_without(model: Model, dataset: Dataset, user: int, item: int, met: int) -> float:
    pair = np.array([user]), np.array([item])
    before = model.score(*pair)[0]
    kept = (dataset.user != user) | (dataset.item != met)
    model.attach(replace(dataset, **{name: getattr(dataset, name)[kept] for name in ("user", "item", "ts", "weight")}))
    after = model.score(*pair)[0]
    model.attach(dataset)
    return float(before - after)


def test_nothing_is_told_of_places_without_an_item() -> None:
    nobody = np.array([[-1, 2]])
    for model in (fitted_towers(), fitted(HISTORY_MODELS["ease"]())):
        found = model.contributions(np.array([USER]), nobody)
        assert found is not None
        assert not found.values[0, 0].any()
    assert found.met is not None
    assert found.met[0, 0] == -1


def test_a_model_that_cannot_tell_says_so() -> None:
    model = fitted(Popularity())
    assert model.contributions(np.array([USER]), np.array([[1]])) is None
    assert [explained.contributions for explained in model.explained(np.array([0, 1]), 3)] == [None]


def fitted(model: Model) -> Model:
    dataset = checkerboard()
    model.fit(dataset, rows_of(dataset))
    return model


def test_features_that_mean_alike_are_one_input() -> None:
    def named(**names: str) -> list[str]:
        features = [replace(USER_FEATURES[0], name=name, measure=measure) for name, measure in names.items()]
        return [one.name for one in named_inputs(features, "user")]

    assert named(events_7d="events_{w}d", tenure_days="tenure_days", night_share_9d="night_share_{w}d") == [
        "activity",
        "habits",
    ]
    tastes = [
        replace(USER_FEATURES[0], name=f"taste_energy{window}", measure="taste_{a}" + window, of="energy")
        for window in ("", "_{w}d")
    ]
    (taste,) = named_inputs(tastes, "user")
    assert (taste.name, len(taste.features)) == ("taste_energy", 2)


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (3, 0)])
def test_dots_of_pairs_are_the_products_of_their_vectors(shape: tuple[int, int]) -> None:
    import torch

    rng = np.random.default_rng(1)
    users, items = (rng.normal(size=(count, 5)).astype(np.float32) for count in (shape[0], 7))
    chosen = rng.integers(-1, 7, shape)
    expected: npt.NDArray[np.float64] = np.where(chosen < 0, 0, np.einsum("ud,ukd->uk", users, items[chosen]))
    dots = PairDots(chosen, 7)(torch.from_numpy(users), torch.from_numpy(items))
    np.testing.assert_allclose(dots, expected, rtol=1e-5)
