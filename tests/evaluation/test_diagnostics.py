"""Vectors whose cohesion, alignment and correlations can be worked out by hand, and by a plain second way."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from recommender.data.dataset import Dataset
from recommender.evaluation import vectors
from recommender.evaluation.diagnostics import correlated, diagnose
from recommender.evaluation.findings import Diagnostics
from recommender.evaluation.groups import Groups, chance_of_sharing
from recommender.evaluation.vectors import mean_cosine, spectrum
from tests.evaluation.literal import OfScores, OfVectors, lists, world

HALF = 11
"""Items of a kind: each has as many nearest neighbours of its own kind as are looked at."""
TWO_KINDS = [[1, n / 100] for n in range(HALF)] + [[n / 100, 1] for n in range(HALF)]
CATEGORY = ["rock"] * HALF + ["jazz"] * HALF


def everything(count: int) -> Dataset:
    """One user who has met every item."""
    return world([range(count)], count)


def seen(
    users: Any, items: Any, dataset: Dataset, catalogue: dict[str, Any] | None = None, seed: int = 0
) -> Diagnostics:
    model, count = OfVectors(users, items, dataset), len(dataset.user_ids)
    described = pd.DataFrame(catalogue or {}, index=range(len(dataset.item_ids)))
    return diagnose(model, dataset, np.arange(count), model.recommend(np.arange(count), 3), described, seed)


def test_neighbours_of_one_category_hang_together() -> None:
    catalogue = {"category": CATEGORY, "creator": [f"c{n}" for n in range(2 * HALF)]}
    figures = seen([[1, 0.5]], TWO_KINDS, everything(2 * HALF), catalogue).figures
    assert figures["category_cohesion@10"] == 1
    assert figures["category_cohesion_by_chance"] == pytest.approx(10 / 21)
    assert figures["creator_cohesion@10"] == figures["creator_cohesion_by_chance"] == 0


def test_a_stranger_among_neighbours_costs_its_part() -> None:
    catalogue = {"category": ["jazz", *CATEGORY[1:]]}
    figures = seen([[1, 0.5]], TWO_KINDS, everything(2 * HALF), catalogue).figures
    assert figures["category_cohesion@10"] == pytest.approx((10 * 0.9 + 0 + 11) / 22)
    assert figures["category_cohesion_by_chance"] == pytest.approx((10 * 9 + 12 * 11) / (22 * 21))


def test_items_of_several_categories_share_one_with_either() -> None:
    several: list[Any] = [[name] for name in CATEGORY]
    several[0] = np.array(["jazz", "rock"], object)
    several[1] = None  # neither asked for nor alike
    figures = seen([[1, 0.5]], TWO_KINDS, everything(2 * HALF), {"category": several}).figures
    assert figures["category_cohesion@10"] == pytest.approx((10 * 0.9 + 11 * 1) / 21)
    # the first shares with all 20 others, 9 of rock with 9 others, 11 of jazz with 11
    assert figures["category_cohesion_by_chance"] == pytest.approx((20 + 9 * 9 + 11 * 11) / (21 * 21))


def test_users_are_near_to_what_they_choose() -> None:
    items, category = [[1, 0], [2, 0], [0, 1], [0, 3]], ["rock", "rock", "jazz", "jazz"]
    dataset = world([[0, 0, 2], [2, 3, 1], [1]], 4)
    aligned = seen([[5, 0], [0, 1], [2, 0]], items, dataset, {"category": category}).figures
    assert aligned["taste_alignment"] == pytest.approx(1)
    opposite = seen([[0, 1], [3, 0], [0, 1]], items, dataset, {"category": category}).figures
    assert opposite["taste_alignment"] == pytest.approx(-1)
    mixed = seen([[1, 1], [2, 2], [1, 0]], items, dataset, {"category": category}).figures
    assert mixed["taste_alignment"] == pytest.approx(1 / 3)


def test_what_is_popular_is_no_direction_of_taste() -> None:
    """A column in which all users are alike holds the items' biases."""
    biased = [[*vector, 100.0 * (n % 2)] for n, vector in enumerate(TWO_KINDS)]
    dataset = world([range(2 * HALF), range(HALF)], 2 * HALF)
    users = [[1, 0.5, 1], [0.5, 0, 1]]
    figures = seen(users, biased, dataset, {"category": CATEGORY}).figures
    assert figures["category_cohesion@10"] == 1
    alike = seen([[1, 0.5, 1], [1, 0.5, 1]], biased, dataset, {"category": CATEGORY}).figures
    assert np.isfinite(list(alike.values())).all()


@pytest.mark.parametrize(
    ("rows", "collapse", "rank"),
    [
        ([[n, 2 * n, 0] for n in range(5)], 1, 1),
        ([[3, 4, 5]] * 5, 1, 0),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], 0.5, 2),
        # singular values 2:1, so variances 4:1
        ([[2, 0], [-2, 0], [0, 1], [0, -1]], 0.8, np.exp(np.log(3) - 2 / 3 * np.log(2))),
    ],
)
def test_spectrum(rows: list[list[float]], collapse: float, rank: float) -> None:
    assert spectrum(np.array(rows, np.float32)) == pytest.approx((collapse, rank), abs=1e-6)


def test_a_planted_collapse_shows() -> None:
    rng = np.random.default_rng(0)
    healthy, dataset = rng.normal(size=(40, 8)), world([range(40)] * 20, 40)
    users = rng.normal(size=(20, 8))
    fine = seen(users, healthy, dataset).figures
    assert fine["vector_collapse"] < 0.4 and fine["effective_rank"] > 6 and abs(fine["user_mean_cosine"]) < 0.2
    line = np.outer(rng.normal(size=40), np.ones(8)) + 1e-4 * healthy
    ill = seen(np.ones((20, 8)) + 1e-4 * users, line, dataset).figures
    assert ill["vector_collapse"] > 0.99 and ill["effective_rank"] < 1.1 and ill["user_mean_cosine"] > 0.99


def test_dead_items_are_zero_no_numbers_or_twins() -> None:
    items = [[0, 0], [1, 2], [1, 2], [np.nan, 1], [3, 1], [1, 3], [2, 2], [5, 1]]
    found = seen([[1, 0]], items, everything(8), {"category": ["a"] * 8})
    assert found.figures["dead_items"] == pytest.approx(4 / 8)
    assert np.isfinite(list(found.figures.values())).all()


def test_items_nobody_has_met_are_left_out() -> None:
    found = seen([[1, 0]], [[1, 2], [3, 1], [0, 0], [0, 0]], world([[0, 1]], 4))
    assert found.figures["dead_items"] == 0
    assert len(found.map) == 2


def test_norms_have_quantiles() -> None:
    norms = seen([[3, 4], [0, 1]], [[n + 1, 0] for n in range(21)], world([[0], range(21)], 21)).norms
    assert norms["item"] == pytest.approx(np.arange(1, 22))
    assert norms["user"][0] == 1 and norms["user"][-1] == 5


def test_mean_cosine_is_that_of_all_pairs() -> None:
    drawn = vectors.unit(np.random.default_rng(1).normal(size=(7, 3)))
    table = drawn @ drawn.T
    assert mean_cosine(drawn) == pytest.approx(table[np.triu_indices(7, 1)].mean(), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.integers(1, 4))
def test_cohesion_by_a_plain_second_way(seed: int, count: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(count, dimension)).round(3) + 0.001
    labels = [rng.choice(list("abc"), rng.integers(0, 3)).tolist() for _ in range(count)]
    users = rng.normal(size=(3, dimension))
    figures = seen(users, items, world([range(count)] * 3, count), {"category": labels}).figures
    lengths = np.linalg.norm(items, axis=1)
    cosine = items @ items.T / np.outer(lengths, lengths)
    np.fill_diagonal(cosine, -np.inf)
    if dimension > 1 and np.diff(np.sort(cosine, axis=1)[:, 1:]).min(initial=1) < 1e-6:
        return  # of equally near ones any will do
    shares, chances = [], []
    for item in range(count):
        alike = np.array([bool({*labels[item]} & {*labels[other]}) for other in range(count)])
        near = np.argsort(-cosine[item], kind="stable")[: min(10, count - 1)]
        if labels[item]:
            shares.append(alike[near].mean())
            chances.append(np.delete(alike, item).mean())
    if not shares:
        assert "category_cohesion@10" not in figures
        return
    assert figures["category_cohesion_by_chance"] == pytest.approx(np.mean(chances))
    if dimension > 1:
        assert figures["category_cohesion@10"] == pytest.approx(np.mean(shares))


def test_chance_is_the_same_by_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Groups.of(pd.DataFrame({"category": list("aabbbc")}), "category")
    assert group is not None
    whole = chance_of_sharing(group.matrix, np.arange(6))
    np.testing.assert_allclose(whole, np.array([1, 1, 2, 2, 2, 0]) / 5)
    monkeypatch.setattr("recommender.evaluation.groups.PAIR_BLOCK", 4)
    np.testing.assert_array_equal(chance_of_sharing(group.matrix, np.arange(6)), whole)


def scored(count: int = 40, items: int = 60, unseen: int = 50) -> tuple[OfVectors, Dataset]:
    """Score = the item's appeal + the user's ease."""
    rng = np.random.default_rng(2)
    appeal, ease = rng.normal(size=items), rng.normal(size=count)
    noise: npt.NDArray[np.float64] = rng.normal(size=items)
    noise[:5] = np.nan
    dataset = world(
        [[(user + n) % items for n in range(items - unseen)] for user in range(count)],
        items,
        {"ease": ease, "country": ["x"] * count},
        {"appeal": -appeal, "noise": noise, "constant": np.ones(items)},
    )
    return OfVectors(
        np.column_stack([np.ones(count), ease]), np.column_stack([appeal, np.ones(items)]), dataset
    ), dataset


def of_all(model: OfVectors, dataset: Dataset, seed: int = 0) -> dict[str, Any]:
    users = np.arange(len(dataset.user_ids))
    found = correlated(model, dataset, users, model.recommend(users, 20), seed)
    assert [one.r for one in found] == sorted((one.r for one in found), key=abs, reverse=True)
    return {one.feature: one for one in found}


def test_features_that_make_the_score_correlate_with_it() -> None:
    found = of_all(*scored())
    assert found.keys() == {"item.appeal", "item.noise", "user.ease"}
    assert found["item.appeal"].r < -0.5 and found["item.appeal"].p_value < 1e-20
    assert found["user.ease"].r > 0.3
    assert abs(found["item.noise"].r) < 0.25
    assert found["item.noise"].pairs < found["item.appeal"].pairs <= 40 * 40


def test_a_feature_that_is_the_score_has_an_r_of_one_and_p_values_follow_from_r() -> None:
    model, dataset = scored()
    found = of_all(model, dataset)
    for one in found.values():
        statistic = abs(one.r) * np.sqrt((one.pairs - 2) / (1 - one.r**2))
        assert one.p_value == pytest.approx(2 * student.sf(statistic, one.pairs - 2), rel=1e-6)
    alone = of_all(OfVectors(model.user_vectors() * [1, 0], model.item_vectors(), dataset), dataset)
    assert alone["item.appeal"].r == pytest.approx(-1) and alone["item.appeal"].p_value == 0


def test_a_model_without_vectors_has_the_same_correlations_and_nothing_else() -> None:
    model, dataset = scored()
    plain = OfScores(model.user_vectors(), model.item_vectors(), dataset)
    users, catalogue = np.arange(40), pd.DataFrame(index=range(60))
    found = diagnose(plain, dataset, users, plain.recommend(users, 20), catalogue, 0)
    assert not found.figures and not found.norms and not found.map
    expected = of_all(model, dataset)
    assert [one.feature for one in found.correlations] == list(expected)
    for one in found.correlations:
        assert one.r == pytest.approx(expected[one.feature].r, abs=1e-5)


def test_few_users_are_not_told_of() -> None:
    model, dataset = scored(count=29)
    assert of_all(model, dataset).keys() == {"item.appeal", "item.noise"}


def test_only_unseen_items_are_scored() -> None:
    """Everybody has met all items but one, which is their whole list."""
    model, dataset = scored(count=40, items=6, unseen=1)
    users = np.arange(40)
    found = correlated(model, dataset, users, lists(*[[(user + 5) % 6] for user in range(40)]), 0)
    pairs = {one.feature: one.pairs for one in found}
    assert 40 <= pairs["item.appeal"] < 40 * (1 + 20) / 2  # the list's, and the few of the drawn that are unseen


def test_nobody_has_no_correlations() -> None:
    model, dataset = scored()
    assert correlated(model, dataset, np.arange(0), model.recommend(np.arange(0), 20), 0) == []


def test_the_map_names_the_most_frequent_groups_and_keeps_within_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "MAP_ITEMS", 20)
    monkeypatch.setattr(vectors, "MAP_GROUPS", 2)
    popular = 10
    dataset = world([range(30), range(popular), range(popular)], 30)
    labels = [["rare", "a"] if n == 0 else ["b"] if n < 4 else ["a", "b"] if n < popular else ["c"] for n in range(30)]
    labels[5] = ["rare"]
    places = np.random.default_rng(3).normal(size=(30, 4))
    titles = [None if n == 1 else f"title {n}" for n in range(30)]
    users = np.random.default_rng(4).normal(size=(3, 4))
    first = seen(users, places, dataset, {"category": labels, "title": titles}).map
    assert len(first) == 20
    assert {point.title for point in first[:popular]} == {None, *(titles[n] for n in range(popular) if n != 1)}
    assert all(point.title not in titles[:popular] for point in first[popular:])
    # c has ten, b eight, a six
    assert [point.group for point in first[:popular]] == ["other", "b", "b", "b", "b", "other", "b", "b", "b", "b"]
    assert {point.group for point in first[popular:]} == {"c"}
    xs, ys = np.array([[point.x, point.y] for point in first]).T
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (0, 1, 0, 1)
    assert seen(users, places, dataset, {"category": labels, "title": titles}).map == first
    assert seen(users, places, dataset, {"category": labels, "title": titles}, seed=1).map != first


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_map_of_few_items_and_columns(dimension: int) -> None:
    points = seen(np.ones((1, dimension)), np.ones((2, dimension)), everything(2)).map
    assert [(point.x, point.y, point.group) for point in points] == [(0, 0, "other")] * 2


def test_samples_bound_the_work_and_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"MOST_ITEMS": 50, "MOST_USERS": 5, "QUERIES": 7, "SPECTRUM_ROWS": 20}.items():
        monkeypatch.setattr(vectors, name, size)
    rng = np.random.default_rng(5)
    items, users = rng.normal(size=(300, 6)), rng.normal(size=(40, 6))
    dataset = world([range(300)] * 40, 300)
    catalogue = {"category": rng.choice(list("abcd"), 300), "creator": rng.choice(list("xyz"), 300)}
    first = seen(users, items, dataset, catalogue)
    assert first == seen(users, items, dataset, catalogue)
    assert first != seen(users, items, dataset, catalogue, seed=1)
    assert len(first.map) == 50
    assert 0 < first.figures["category_cohesion@10"] < 1
