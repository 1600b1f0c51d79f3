"""What is wrong with lists is told before anybody is shown them, each fault in words."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recommender.publishing.checks import Wanted, check_content, entries, is_whole
from recommender.publishing.content import Content, UserLists
from recommender.retrieval.exact import TopK
from tests.publishing.contents import made

NAN = np.float32(np.nan)


def ids(*numbers: int) -> np.ndarray:
    return np.array([f"user-{number}" for number in numbers], object)


def lists(rows: list[list[int]], source: str = "personal", users: list[int] | None = None) -> UserLists:
    items = np.array(rows, np.int32)
    scores = np.where(items >= 0, np.linspace(1, 0.5, items.shape[1]), -np.inf).astype(np.float32)
    return UserLists(source, ids(*(users or range(len(rows)))), TopK(items, scores))


def content(*parts: UserLists, **changes: object) -> Content:
    """Of ten items; lists of three."""
    return replace(made("a"), lists=parts, top_k=3, **changes)


def wanted(seen: list[list[int]], **more: object) -> Wanted:
    rows = np.repeat(np.arange(len(seen)), [len(own) for own in seen])
    met = sparse.csr_matrix((np.ones(len(rows)), (rows, [item for own in seen for item in own])), (len(seen), 10))
    return Wanted(ids(*range(len(seen))), met, **more)  # type: ignore[arg-type]


GOOD = [[0, 1, 2], [3, 4, 5]]
SEEN = [[9, 8], [0]]


def test_nothing_is_wrong_with_good_lists() -> None:
    found = check_content(content(lists(GOOD)), wanted(SEEN), min_coverage=0.6)
    assert found.faults == []
    assert found.measured == {"coverage": 0.6}


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([[0, 1, 2], [3, 4, 3]], "1 users have an item twice"),
        ([[0, 1, 2], [-1, -1, -1]], "1 users have a list that is empty"),
        ([[0, 1, 2], [3, -1, 4]], "1 users have a gap in their list"),
        ([[0, 1, 2], [3, 4, -1]], "1 users have fewer items than are left to them"),
        ([[8, 1, 2], [3, 4, 0]], "2 users have an item that they have met before"),
        ([[0, 1, 2]], "1 users are missing: they are to have a list"),
    ],
)
def test_a_fault_of_some_lists_is_told(rows: list[list[int]], fault: str) -> None:
    assert fault in check_content(content(lists(rows)), wanted(SEEN)).faults


def test_scores_that_are_no_numbers_are_told_and_those_of_no_item_are_not() -> None:
    short = lists([[0, 1, -1], [3, 4, 5]])
    assert not [fault for fault in check_content(content(short)).faults if "number" in fault]
    short.top.scores[1, 2] = NAN
    assert check_content(content(short)).faults == ["1 users have a score that is not a number"]


def test_a_list_may_be_as_short_as_what_is_left() -> None:
    seen = [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6], list(range(10))]
    assert check_content(content(lists([[9, 8, -1], [7, 8, 9]])), wanted(seen)).faults == []
    assert check_content(content(lists([[9, -1, -1], [7, 8, 9]])), wanted(seen)).faults == [
        "1 users have fewer items than are left to them"
    ]


def test_groups_may_be_shown_different_items() -> None:
    masks = np.ones((2, 10), bool)
    masks[1, 3:] = False
    own = {"groups": np.array([0, 1], np.int32), "allowed": np.packbits(masks, axis=1)}
    faults = check_content(content(lists([[3, 4, 5], [0, 1, 3]])), wanted([[], [2]], **own)).faults
    assert faults == ["1 users have an item that the filters keep from them"]
    # of three items one was met: two are a full list
    assert check_content(content(lists([[3, 4, 5], [0, 1, -1]])), wanted([[], [2]], **own)).faults == []


def test_hidden_items_are_nowhere() -> None:
    hidden = np.arange(10) == 2
    faults = check_content(content(lists(GOOD), hidden=hidden)).faults
    assert "1 users have an item that is hidden" in faults
    assert "unknown users have an item that is hidden" in faults
    assert "9 items have an item that is hidden" in faults


def test_fallbacks_must_be_good_too() -> None:
    nothing = TopK(np.full((1, 3), -1, np.int32), np.full((1, 3), -np.inf, np.float32))
    itself = TopK(np.arange(10, dtype=np.int32)[:, None], np.ones((10, 1), np.float32))
    faults = check_content(content(lists(GOOD), popular=nothing, similar=itself)).faults
    assert faults == [
        "unknown users have a list that is empty",
        "10 items are said to be similar to themselves",
    ]


def test_everybody_has_one_list() -> None:
    twice = content(lists(GOOD), lists([[5, 6, 7]], "segment", [1]))
    assert check_content(twice, wanted(SEEN)).faults == ["1 users have a second list"]
    stranger = content(lists(GOOD), lists([[5, 6, 7]], users=[7]))
    assert check_content(stranger, wanted(SEEN)).faults == ["1 users have a personal list and are not known"]
    newcomer = content(lists(GOOD), lists([[5, 6, 7]], "segment", [7]))
    assert check_content(newcomer, wanted(SEEN)).faults == []


def test_only_the_active_must_have_a_list() -> None:
    some = wanted([*SEEN, []], active=np.array([True, True, False]))
    assert check_content(content(lists(GOOD)), some).faults == []


def test_lists_of_an_experiment_are_checked_and_stand_beside_the_champions() -> None:
    faults = check_content(content(lists(GOOD), challenger=[lists([[1, 1, 2], [3, 4, 5]], users=[1, 5])])).faults
    assert faults == [
        "1 users of the experiment have an item twice",
        "1 users of the experiment have no list of the champion",
    ]


def test_codes_of_reasons_have_texts() -> None:
    part = replace(lists(GOOD), reasons=np.array([[0, 1, 2], [0, 0, 0]], np.int32))
    assert check_content(content(part, reason_texts=["a", "b"])).faults == []
    assert check_content(content(part, reason_texts=["a"])).faults == ["1 users have a reason without a text"]


def test_too_little_of_the_catalogue_is_told_with_both_figures() -> None:
    (fault,) = check_content(content(lists(GOOD)), min_coverage=0.7).faults
    assert fault == "60.00% of the catalogue are in some list, publish.min_coverage asks for 70.00%"
    hidden = np.arange(10) >= 6  # what is hidden can't be shown: 6 of 6 are
    found = check_content(content(lists(GOOD), hidden=hidden), min_coverage=0.7)
    assert found.measured == {"coverage": 1.0}


@pytest.mark.parametrize(
    "broken",
    [
        content(lists([[0, 1, 10]])),
        content(replace(lists(GOOD), user_ids=ids(1))),
        content(replace(lists(GOOD), reasons=np.zeros((2, 2), np.int32))),
        content(lists(GOOD), titles=np.array(["a"], object)),
    ],
)
def test_what_no_rows_can_be_made_of(broken: Content) -> None:
    assert is_whole(content(lists(GOOD)))
    assert not is_whole(broken)


def test_nothing_at_all() -> None:
    assert "it has no users" in check_content(content()).faults


@given(st.data(), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_faults_are_those_that_a_loop_over_users_finds(data: st.DataObject, width: int) -> None:
    item = st.integers(-1, 9)
    rows = data.draw(st.lists(st.lists(item, min_size=width, max_size=width), min_size=1, max_size=6))
    seen = [data.draw(st.sets(st.integers(0, 9))) for _ in rows]
    masks = np.array([data.draw(st.lists(st.booleans(), min_size=10, max_size=10)) for _ in range(2)])
    groups = np.array([data.draw(st.integers(0, 1)) for _ in rows], np.int32)
    given_lists = lists(rows)
    expected = {"twice": 0, "met before": 0, "filters": 0, "fewer": 0, "empty": 0, "gap": 0}
    for row, own, group in zip(rows, seen, groups, strict=True):
        shown = [one for one in row if one >= 0]
        left = [one for one in range(10) if masks[group, one] and one not in own]
        expected["twice"] += len(set(shown)) < len(shown)
        expected["met before"] += bool(left) and bool(own & set(shown))
        expected["filters"] += any(not masks[group, one] for one in shown)
        expected["fewer"] += len(shown) < min(3, len(left))
        expected["empty"] += not shown and bool(masks[group].any())
        expected["gap"] += row[: len(shown)] != shown
    asked = wanted([sorted(own) for own in seen], groups=groups, allowed=np.packbits(masks, axis=1))
    faults = " ".join(check_content(content(given_lists), asked).faults)
    for what, count in expected.items():
        assert (what in faults) == (count > 0), (what, faults)
    assert entries(given_lists) == sum(one >= 0 for row in rows for one in row)
