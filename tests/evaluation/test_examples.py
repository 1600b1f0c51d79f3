"""Examples and the shares of what is familiar, on worlds small enough to count in."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.evaluation import examples as module
from recommender.evaluation.examples import examples, familiarity
from recommender.evaluation.findings import Shown
from recommender.evaluation.groups import Groups
from tests.evaluation.literal import lists, truth, world

ITEMS = 8
CATALOGUE = pd.DataFrame(
    {
        "title": ["A", "B", None, "D", "E", "F", "G", "H"],
        "creator": ["x", "x", "y", "y", "z", "z", None, None],
        "category": [["rock"], ["rock", "jazz"], ["jazz"], None, ["folk"], ["folk"], ["rock"], ["pop"]],
    },
    index=[f"row {n}" for n in range(ITEMS)],  # by position, whatever the index
)
DATASET = world([[0, 2, 0], [4], [7, 6, 5]], ITEMS)
TRUTH = truth({0: [1, 5], 1: [0], 2: [3]}, ITEMS)
CHALLENGER = lists([1, 4, 3], [2, 3], [4, 1, 0])
"""The first user has a hit, the item 1."""
CHAMPION = lists([5, 6], [0], [3])


def test_an_example_shows_history_and_lists() -> None:
    found, ids = examples(CHALLENGER, CHAMPION, DATASET, TRUTH, CATALOGUE, seed=0)
    assert sorted(ids) == ["u0", "u1", "u2"] and ids[0] == "u0"
    first = found[0]
    assert first.history == [Shown("A", "x", "rock"), Shown("i2", "y", "jazz")]  # newest first, each once
    assert first.challenger == [
        Shown("B", "x", "rock, jazz", chosen=True),
        Shown("E", "z", "folk"),
        Shown("D", "y", None),
    ]
    assert first.champion == [Shown("F", "z", "folk", chosen=True), Shown("G", None, "rock")]
    assert first.creator_share == pytest.approx(2 / 3)
    assert first.category_share == pytest.approx(1 / 3)
    second = found[ids.index("u1")]
    assert [shown.title for shown in second.challenger] == ["i2", "D"]  # padding is no item
    assert (second.creator_share, second.category_share) == (0, 0)
    assert [one.champion for one in examples(CHALLENGER, None, DATASET, TRUTH, CATALOGUE, 0)[0]] == [[]] * 3


def test_nothing_in_an_example_says_who_it_is() -> None:
    found, ids = examples(CHALLENGER, CHAMPION, DATASET, TRUTH, CATALOGUE, seed=0)
    told = json.dumps([asdict(one) for one in found])
    assert not any(user_id in told for user_id in ids)


def test_half_of_the_examples_have_a_hit_where_there_are_enough() -> None:
    count = 40
    dataset = world([[0]] * count, ITEMS)
    relevant = truth({user: [1] for user in range(count)}, ITEMS)
    top = lists(*[[1, 2] if user in (3, 17, 25, 38) else [2, 3] for user in range(count)])
    drawn = [examples(top, None, dataset, relevant, CATALOGUE, seed) for seed in range(20)]
    hits = [sum(any(shown.chosen for shown in one.challenger) for one in found) for found, _ in drawn]
    assert min(hits) == 3 and all(len(set(ids)) == 6 for _, ids in drawn)
    assert len({tuple(ids) for _, ids in drawn}) > 15
    assert drawn[4] == examples(top, None, dataset, relevant, CATALOGUE, 4)
    few = lists(*[[1, 2] if user == 5 else [2, 3] for user in range(count)])
    found, ids = examples(few, None, dataset, relevant, CATALOGUE, seed=0)
    assert len(found) == 6 and ids[0] == "u5"


def test_histories_and_lists_end_after_ten() -> None:
    long = [n % 30 for n in range(45)]
    dataset = world([long], 60)
    catalogue = pd.DataFrame(index=range(60))
    top = lists(list(range(30, 60)))
    (found,), _ = examples(top, top, dataset, truth({0: [45]}, 60), catalogue, seed=0)
    assert [shown.title for shown in found.history] == [f"i{n}" for n in range(14, 4, -1)]
    assert [shown.title for shown in found.challenger] == [f"i{n}" for n in range(30, 40)]
    assert len(found.champion) == 10
    assert not any(shown.chosen for shown in found.challenger)
    assert (found.creator_share, found.category_share) == (0, 0)


def test_familiarity_of_lists_and_of_hits() -> None:
    # creators: 2 of 3 | 1 of 2 | user 2 met z: 1 of 3; categories: 1 of 3 | 1 of 2 | met pop, rock, folk: 3 of 3
    top = lists([1, 4, 3], [5, 3], [4, 1, 0])
    chosen = truth({0: [1, 5], 1: [0], 2: [4, 0]}, ITEMS)  # hits: 1 by x, met | 4 by z, met | 0 by x, not met
    assert familiarity(top, DATASET, chosen, CATALOGUE) == pytest.approx(
        {
            "known_creator_share@20": (2 / 3 + 1 / 2 + 1 / 3) / 3,
            "known_category_share@20": (1 / 3 + 1 / 2 + 1) / 3,
            "known_creator_share_of_hits@20": 2 / 3,
            "known_category_share_of_hits@20": 1,
        }
    )


def test_familiarity_says_nothing_of_what_is_not_there() -> None:
    none_hit = truth({0: [7], 1: [7], 2: [2]}, ITEMS)
    assert familiarity(CHALLENGER, DATASET, none_hit, CATALOGUE).keys() == {
        "known_creator_share@20",
        "known_category_share@20",
    }
    assert familiarity(CHALLENGER, DATASET, TRUTH, CATALOGUE[["title"]]) == {}
    assert familiarity(lists([-1], [-1], [-1]), DATASET, TRUTH, CATALOGUE) == {}
    assert familiarity(CHALLENGER, DATASET, TRUTH, CATALOGUE.assign(creator=None, category=None)) == {}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 4))
def test_what_is_met_by_a_plain_second_way(seed: int, users: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    labels = [rng.choice(list("abcde"), rng.integers(0, 3)).tolist() for _ in range(ITEMS)]
    histories = [rng.integers(0, ITEMS, rng.integers(0, 4)).tolist() for _ in range(users)]
    group = Groups.of(pd.DataFrame({"creator": pd.Series(labels, dtype=object)}), "creator")
    if group is None or not any(histories):
        return
    ranked = rng.integers(-1, ITEMS, (users, width)).astype(np.int32)
    expected = [
        [item >= 0 and any({*labels[item]} & {*labels[other]} for other in history) for item in row]
        for row, history in zip(ranked.tolist(), histories, strict=True)
    ]
    np.testing.assert_array_equal(group.met(ranked, world(histories, ITEMS).seen), expected)


def test_familiarity_is_the_same_by_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = familiarity(CHALLENGER, DATASET, TRUTH, CATALOGUE)
    monkeypatch.setattr(module, "USER_BLOCK", 2)
    assert familiarity(CHALLENGER, DATASET, TRUTH, CATALOGUE) == whole
