"""What is proposed, and what users chose of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recommender.data.dataset import Truth
from recommender.models.ranking.candidates import Candidates, proposed
from recommender.models.ranking.groups import Floats, Ints, padded, ranks, standardised
from recommender.models.ranking.labels import choices
from tests.models.ranking.small_world import knows_only, world


class Known:
    """Proposes by a table of two users, 7 and 9."""

    def __init__(self, scores: list[list[float]], factorises: bool) -> None:
        self._scores, self.factorises = np.array(scores, np.float32), factorises

    def scores(self, users: Ints) -> Floats:
        return self._scores.copy()

    def user_vectors(self, users: Ints | None = None) -> Floats:
        return self._scores

    def item_vectors(self) -> Floats:
        return np.eye(self._scores.shape[1], dtype=np.float32)


MODELS = {"first": Known([[4, 3, 2, 1], [1, 2, 3, 4]], False), "second": Known([[1, 2, 3, 4], [1, 2, 3, 4]], True)}


def test_every_models_best_unseen_items_with_all_models_scores() -> None:
    seen = sparse.csr_matrix(np.array([[1, 0, 0, 0], [0, 0, 0, 0]], np.float32))
    found = proposed(MODELS, np.array([7, 9]), 1, seen)
    assert found.groups.tolist() == [2, 1]
    assert found.items.tolist() == [1, 3, 3]
    assert found.pair_users.tolist() == [7, 7, 9]
    assert found.scores["first"].tolist() == [3, 1, 4]
    assert found.scores["second"].tolist() == [2, 4, 4]


def test_an_item_that_is_not_allowed_gives_its_place_to_the_next() -> None:
    allowed = np.array([True, True, True, False])
    found = proposed(MODELS, np.array([7, 9]), 1, sparse.csr_matrix(np.zeros((2, 4), np.float32)), allowed)
    assert found.items.tolist() == [0, 2, 2]
    assert found.scores["second"].tolist() == [1, 3, 3]


def test_who_has_met_everything_gets_no_candidates() -> None:
    found = proposed(MODELS, np.array([7, 9]), 3, sparse.csr_matrix(np.array([[1, 1, 1, 1], [1, 1, 1, 0]], np.float32)))
    assert found.groups.tolist() == [0, 1]
    assert found.items.tolist() == [3]


def test_labels_are_what_the_user_chose() -> None:
    pairs = Candidates(np.array([5, 2]), np.array([2, 2]), np.array([0, 1, 0, 1], np.int32), {})
    truth = Truth(np.array([2, 3]), sparse.csr_matrix(np.array([[0, 1], [1, 1]], np.float32)))
    assert pairs.labels(truth).tolist() == [0, 0, 0, 1]


def test_ranked_lists_are_padded_where_there_is_less() -> None:
    pairs = Candidates(np.array([0, 1]), np.array([3, 1]), np.array([0, 1, 2, 2], np.int32), {})
    top = pairs.ranked(np.array([1, 3, 2, 5], np.float32), 2)
    assert top.items.tolist() == [[1, 2], [2, -1]]
    assert top.scores.tolist() == [[3, 2], [5, -np.inf]]


def test_choices_are_new_pairs_of_the_known_between_two_nights() -> None:
    dataset = world([(0, 0, 60), (1, 1, 50), (0, 1, 10), (0, 0, 8), (1, 2, 5), (2, 0, 3), (1, 0, 40)])
    truth = choices(knows_only(dataset, 30), dataset)
    # user 1 meets an item nobody knew, user 2 was unknown, user 0 meets item 0 again
    assert truth.users.tolist() == [0]
    assert truth.relevant.toarray().tolist() == [[0, 1, 0, 0]]


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=5).flatmap(
        lambda groups: st.tuples(
            st.just(groups), st.lists(st.integers(-3, 3), min_size=sum(groups), max_size=sum(groups))
        )
    )
)
def test_ranks_and_standardised_scores_user_by_user(case: tuple[list[int], list[int]]) -> None:
    groups, scores = np.array(case[0]), np.array(case[1], np.float32)
    found, scaled, start = ranks(scores, groups), standardised(scores, groups), 0
    assert len(found) == len(scaled) == len(scores)
    for size in groups.tolist():
        own = scores[start : start + size]
        np.testing.assert_array_equal(np.argsort(-own, kind="stable"), np.argsort(found[start : start + size]))
        if size:
            expected = (own - own.mean()) / max(own.std(), 1e-6)
            np.testing.assert_allclose(scaled[start : start + size], expected, atol=1e-4)
        start += size
    table = padded(scores, groups, np.nan)
    assert np.isfinite(table).sum() == len(scores)
