"""Features of pairs: by hand on five events, by brute force on any, and blind to what comes after the night."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp2, log, log1p

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.columns import CATEGORY, CREATOR
from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.models.ranking.pairs_table import PairsTable
from tests.models.ranking.small_world import CREATORS, DS, FIVE_EVENTS, all_pairs, world

MODELS = ("first", "second")


def features(dataset: Dataset, user: int, item: int) -> dict[str, float]:
    """Of one pair, by name."""
    table, pairs = PairsTable(dataset, MODELS), all_pairs(dataset)
    row = table.matrix(pairs)[user * len(dataset.item_ids) + item]
    return dict(zip(table.names, row.tolist(), strict=True))


def test_a_users_history_with_the_creator() -> None:
    found = features(world(), user=0, item=1)  # two of three events are of creator a, 60 and 30 days ago
    assert found["user_creator_events"] == pytest.approx(log1p(2))
    assert found["user_creator_share"] == pytest.approx(2 / 3)
    assert found["user_creator_recent"] == pytest.approx(log1p(0.25 + 0.5))
    assert found["user_creator_recency"] == pytest.approx(0.5)
    assert found["user_creator_met"] == pytest.approx(1.0)  # both of its items
    other = features(world(), user=1, item=1)
    assert other["user_creator_met"] == pytest.approx(0.5)
    assert other["user_creator_recency"] == pytest.approx(exp2(-5 / 30))


def test_no_history_with_the_creator_and_no_creator_are_zero() -> None:
    for user, item in ((0, 2), (2, 0), (0, 3)):
        found = features(world(), user, item)
        assert [found[name] for name in found if name.startswith("user_creator")] == [0] * 5
    found = features(world(), 0, 3)
    assert [found[name] for name in found if name.startswith("creator_")] == [0] * 8


def test_an_items_place_within_its_creator() -> None:
    first, second = features(world(), 2, 0), features(world(), 2, 1)
    of_first, of_second = exp2(-60 / 180) + exp2(-5 / 180), exp2(-30 / 180)
    assert (first["creator_rank"], second["creator_rank"]) == (0, pytest.approx(log1p(1)))
    assert first["creator_share"] == pytest.approx(of_first / (of_first + of_second))
    assert second["creator_events"] == pytest.approx(log1p(of_first + of_second))
    assert second["creator_recent"] == pytest.approx(log1p(0.25 + 0.5 + exp2(-5 / 30)))
    assert second["creator_items"] == pytest.approx(log(2))


def test_of_several_categories_the_first_counts() -> None:
    found = features(world(), user=1, item=2)  # category x: items 0 and 2
    assert found["user_category_events"] == pytest.approx(log1p(2))
    assert found["category_items"] == pytest.approx(log(2))


def test_popularity_and_age_of_items_and_users() -> None:
    found = features(world(), user=0, item=0)  # met 60 and 5 days ago
    counts = [found[f"item_events_{days}d"] for days in (14, 30, 60, 180)]
    assert counts == pytest.approx([log1p(1), log1p(1), log1p(2), log1p(2)])
    assert found["item_events"] == pytest.approx(log1p(2))
    assert (found["item_age_days"], found["item_idle_days"]) == pytest.approx((log1p(60), log1p(5)))
    assert (found["user_events_30d"], found["user_events"]) == pytest.approx((log1p(2), log1p(3)))
    assert found["user_idle_days"] == pytest.approx(log1p(10))


def test_who_has_no_events_has_no_age() -> None:
    found = features(world([(0, 0, 3.0)]), user=2, item=1)
    missing = [name for name, value in found.items() if np.isnan(value)]
    assert missing == ["item_age_days", "item_idle_days", "user_idle_days"]


def test_scores_are_standardised_and_ranked_among_the_users_candidates() -> None:
    pairs = all_pairs(world())
    scores = np.tile(np.array([1, 3, 3, 5], np.float32), 3)
    table = PairsTable(world(), MODELS)
    matrix = table.matrix(replace(pairs, scores={"first": scores, "second": -scores}))
    by_name = {name: matrix[:4, number].tolist() for number, name in enumerate(table.names)}
    assert by_name["first_score"] == pytest.approx([-(2**0.5), 0, 0, 2**0.5])
    assert by_name["first_rank"] == pytest.approx([log1p(3), log1p(1), log1p(2), 0])
    assert by_name["second_rank"] == pytest.approx([0, log1p(1), log1p(2), log1p(3)])
    assert by_name["mean_score"] == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert by_name["best_rank"] == pytest.approx([0, log1p(1), log1p(2), 0])


def test_a_pairs_place_among_the_users_candidates_of_the_creator() -> None:
    scores = np.tile(np.array([1, 3, 2, 6], np.float32), 3)
    table = PairsTable(world(), MODELS)
    matrix = table.matrix(replace(all_pairs(world()), scores={"first": scores, "second": scores}))
    by_name = {name: matrix[4:8, number].tolist() for number, name in enumerate(table.names)}
    best = (3 - 3) / np.std([1, 3, 2, 6])  # of items 0 and 1, both by creator a
    assert by_name["creator_candidates"] == pytest.approx([log(2), log(2), 0, 0])
    assert by_name["creator_place"] == pytest.approx([log1p(1), 0, 0, 0])
    assert by_name["creator_best"] == pytest.approx([best, best, -1 / np.std([1, 3, 2, 6]), 0])


def test_attributes_that_the_items_lack_have_no_columns() -> None:
    names = PairsTable(world(categories=None), MODELS).names
    assert any(CREATOR in name for name in names)
    assert not any(CATEGORY in name for name in names)


def test_declared_pair_features_are_columns_too() -> None:
    class Distance:
        names = ("distance",)

        def matrix(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
            return np.abs(users - items)[:, None].astype(np.float32)

    dataset = replace(world(), pairs=Distance())
    assert features(dataset, user=2, item=0)["pair_distance"] == 2


def test_events_after_the_night_change_nothing() -> None:
    late = [(0, 2, -0.5), (2, 1, 0.0), (1, 3, -40.0)]
    leaky, clean = world([*FIVE_EVENTS, *late]), world()
    np.testing.assert_array_equal(
        PairsTable(leaky, MODELS).matrix(all_pairs(leaky)), PairsTable(clean, MODELS).matrix(all_pairs(clean))
    )


def test_ids_are_no_features() -> None:
    """Two users with the same events, and two items met alike, have the same features."""
    twins = world([(0, 2, 4), (1, 2, 4), (2, 0, 7), (2, 1, 7)], creators=["a", "a", "b", "c"], categories=None)
    pairs = replace(all_pairs(twins), scores={name: np.zeros(12, np.float32) for name in MODELS})
    table = PairsTable(twins, MODELS)
    matrix = dict(zip(table.names, table.matrix(pairs).reshape(3, 4, -1).transpose(2, 0, 1), strict=True))
    for name, values in matrix.items():
        np.testing.assert_array_equal(values[0], values[1], err_msg=name)
        if not name.endswith(("_rank", "_place")):  # of two alike one comes first
            np.testing.assert_array_equal(values[:, 0], values[:, 1], err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.floats(0.01, 400).map(lambda days: round(days, 2))),
        min_size=1,
        max_size=25,
    ),
    creators=st.lists(st.sampled_from(["a", "b", None]), min_size=4, max_size=4),
    user=st.integers(0, 2),
    item=st.integers(0, 3),
)
def test_as_counted_one_by_one(
    events: list[tuple[int, int, float]], creators: list[str | None], user: int, item: int
) -> None:
    dataset = world(events, creators, categories=None)
    found = features(dataset, user, item)
    expected = counted(dataset, creators, user, item)
    expected |= beside(dataset, creators, user, item)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def counted(dataset: Dataset, creators: Sequence[str | None], user: int, item: int) -> dict[str, float]:
    age = [(dataset.until - ts) / SECONDS_A_DAY for ts in dataset.ts.tolist()]
    log_of = list(zip(dataset.user.tolist(), dataset.item.tolist(), age, strict=True))
    creator = creators[item]
    own = [days for who, what, days in log_of if who == user and creator is not None and creators[what] == creator]
    catalogue = {what for what, name in enumerate(creators) if name == creator and creator is not None}
    met = {what for who, what, _ in log_of if who == user} & catalogue
    all_own = [days for who, _, days in log_of if who == user]
    decayed = {n: sum(exp2(-days / 180) for _, what, days in log_of if what == n) for n in range(len(creators))}
    total = sum(decayed[n] for n in catalogue)
    better = [n for n in catalogue if (-decayed[n], n) < (-decayed[item], item)]
    return {
        "user_creator_events": log1p(len(own)),
        "user_creator_share": len(own) / len(all_own) if own else 0,
        "user_creator_recent": log1p(sum(exp2(-days / 30) for days in own)),
        "user_creator_recency": exp2(-min(own) / 30) if own else 0,
        "user_creator_met": len(met) / len(catalogue) if catalogue else 0,
        "creator_rank": log1p(len(better)) if catalogue else 0,
        "creator_share": decayed[item] / total if total else 0,
        "creator_events": log1p(total),
        "item_events_30d": log1p(sum(what == item and days <= 30 for _, what, days in log_of)),
    }


def beside(dataset: Dataset, creators: Sequence[str | None], user: int, item: int) -> dict[str, float]:
    """The companions of a pair, from the mean scores that the table has."""
    mean = [features(dataset, user, other)["mean_score"] for other in range(len(creators))]
    companions = [other for other, name in enumerate(creators) if name == creators[item] and name is not None]
    if not companions:
        return {"creator_candidates": 0, "creator_place": 0, "creator_best": 0}
    better = sum((-mean[other], other) < (-mean[item], item) for other in companions)
    return {
        "creator_candidates": log(len(companions)),
        "creator_place": log1p(better),
        "creator_best": max(mean[other] for other in companions),
    }


def test_the_world_is_the_one_described() -> None:
    assert world().ds == DS
    assert len(CREATORS) == len(world().item_ids)
