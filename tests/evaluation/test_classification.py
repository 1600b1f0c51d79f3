"""Scores as a classifier: hand-worked, and beside scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import metrics

from recommender.data.dataset import Dataset, Truth
from recommender.evaluation import classification
from recommender.evaluation.classification import classification_metrics
from recommender.evaluation.evaluate import evaluate, measure
from tests.evaluation.literal import OfScores
from tests.models.worlds import DS, checkerboard, truth_of


class Given(OfScores):
    """Scores that a test gives."""

    def __init__(self, dataset: Dataset, scores: np.ndarray) -> None:
        super().__init__(scores, np.eye(scores.shape[1]), dataset)


def world(met: np.ndarray) -> Dataset:
    """Users who have met the items marked."""
    user, item = np.nonzero(met)
    return Dataset(
        DS,
        np.array([f"u{n}" for n in range(met.shape[0])], object),
        np.array([f"i{n}" for n in range(met.shape[1])], object),
        user.astype(np.int32),
        item.astype(np.int32),
        np.zeros(len(user), np.int64),
        np.ones(len(user), np.float32),
        pd.DataFrame(index=range(met.shape[0])),
        pd.DataFrame(index=range(met.shape[1])),
    )


def random_world(seed: int, users: int = 12, items: int = 30) -> tuple[Dataset, Truth, np.ndarray]:
    rng = np.random.default_rng(seed)
    met = rng.random((users, items)) < 0.3
    met[0, :-2] |= ~met.any(axis=0)[:-2]  # all but the last two are met by somebody
    met[:, -2:] = False
    wanted = (rng.random((users, items)) < 0.2) & ~met
    rows = np.flatnonzero(wanted.any(axis=1))
    scores = rng.integers(0, 12, (users, items)) + 3.0 * wanted  # with ties
    return world(met), Truth(rows, sparse.csr_matrix(wanted[rows])), scores


def test_auc_hand_worked() -> None:
    met = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0]], bool)  # nobody knows item 5
    wanted = sparse.csr_matrix(np.array([[0, 1, 0, 0, 0, 1]]))
    # of user 0's unseen known items 1 is wanted: above 2, level with 3, below 4
    scores = np.array([[9, 5, 1, 5, 7, 9], [0, 0, 0, 0, 0, 0]])
    found = classification_metrics(Given(world(met), scores), Truth(np.array([0]), wanted))
    assert found.per_user["auc"] == pytest.approx([(1 + 1 / 2 + 0) / 3])
    np.testing.assert_array_equal(found.rows, [0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_as_scikit_learn_computes_auc(seed: int) -> None:
    dataset, truth, scores = random_world(seed)
    found = classification_metrics(Given(dataset, scores), truth)
    expected = []
    rows = []
    for row, user in enumerate(truth.users):
        candidates = dataset.known_items & (dataset.seen[user].toarray()[0] == 0)
        wanted = truth.relevant[row].toarray()[0][candidates] > 0
        if wanted.any() and not wanted.all():
            rows.append(row)
            expected.append(metrics.roc_auc_score(wanted, scores[user][candidates]))
    np.testing.assert_array_equal(found.rows, rows)
    assert found.per_user["auc"] == pytest.approx(expected)


def test_pairs_hand_worked() -> None:
    """Wanted items score 2 and 0, others 1: the best threshold is 2 on either half."""
    users, items = 4, 8
    met = np.zeros((users + 1, items), bool)
    met[users] = True  # somebody who is not judged knows all
    wanted = np.zeros((users, items), bool)
    wanted[:, :2] = True
    scores = np.ones((users + 1, items))
    scores[:, 0], scores[:, 1] = 2, 0
    found = classification_metrics(Given(world(met), scores), Truth(np.arange(users), sparse.csr_matrix(wanted)))
    assert found.per_user["pair_accuracy"] == pytest.approx([3 / 4] * users)
    assert found.per_user["pair_precision"] == pytest.approx([1] * users)
    assert found.per_user["pair_recall"] == pytest.approx([1 / 2] * users)
    assert found.per_user["pair_f1"] == pytest.approx([2 / 3] * users)
    assert found.per_user["auc"] == pytest.approx([1 / 2] * users)


def test_a_model_that_knows_and_one_that_knows_nothing() -> None:
    dataset = checkerboard()
    truth = truth_of(dataset)
    colours = np.arange(len(dataset.user_ids))[:, None] % 2 == np.arange(len(dataset.item_ids)) % 2
    best = classification_metrics(Given(dataset, colours.astype(float)), truth).per_user
    assert {name: float(values.mean()) for name, values in best.items()} == dict.fromkeys(best, 1.0)
    nothing = classification_metrics(Given(dataset, np.zeros(colours.shape)), truth).per_user
    assert nothing["auc"].mean() == 0.5
    assert nothing["pair_accuracy"].mean() == 0.5
    wrong = classification_metrics(Given(dataset, -colours.astype(float)), truth).per_user
    assert wrong["auc"].mean() == 0 and wrong["pair_precision"].mean() <= 0.5


def test_the_threshold_is_learnt_on_other_users_than_it_is_used_on() -> None:
    """Each user's own scores would tell all apart; the other's threshold calls both of one relevant, none of other."""
    met = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 1]], bool)
    truth = Truth(np.array([0, 1]), sparse.csr_matrix(np.array([[1, 0, 0], [1, 0, 0]])))
    scores = np.array([[10, 9, 0], [2, 1, 0], [0, 0, 0]])
    found = classification_metrics(Given(world(met), scores), truth).per_user
    assert found["auc"] == pytest.approx([1, 1])
    assert found["pair_accuracy"] == pytest.approx([1 / 2, 1 / 2])
    assert found["pair_recall"] == pytest.approx([1, 0])
    assert found["pair_precision"] == pytest.approx([1 / 2, 0])
    assert found["pair_f1"] == pytest.approx([2 / 3, 0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_as_scikit_learn_computes_the_figures_of_pairs(seed: int) -> None:
    """Two users, each with as many unseen items as relevant ones: whatever is drawn, all take part."""
    rng = np.random.default_rng(seed)
    met = np.zeros((3, 8), bool)
    met[2] = True
    wanted = rng.permuted(np.tile(np.arange(8) < 4, (2, 1)), axis=1)
    scores = rng.integers(0, 9, (3, 8)) + 2.0 * np.append(wanted, met[2:], axis=0)
    truth = Truth(np.array([0, 1]), sparse.csr_matrix(wanted))
    found = classification_metrics(Given(world(met), scores), truth).per_user
    for user in (0, 1):
        other = 1 - user
        right = {at: metrics.accuracy_score(wanted[other], scores[other] >= at) for at in sorted(set(scores[other]))}
        best = max(at for at, share in right.items() if share == max(right.values()))
        called = scores[user] >= (best if right[best] > 0.5 else np.inf)
        assert found["pair_accuracy"][user] == pytest.approx(metrics.accuracy_score(wanted[user], called))
        precision = metrics.precision_score(wanted[user], called, zero_division=0)
        assert found["pair_precision"][user] == pytest.approx(precision)
        assert found["pair_recall"][user] == pytest.approx(metrics.recall_score(wanted[user], called))
        assert found["pair_f1"][user] == pytest.approx(metrics.f1_score(wanted[user], called, zero_division=0))


def test_as_many_others_as_relevant_items_are_drawn() -> None:
    """Where every item is called relevant, half of the calls are right."""
    dataset, truth, scores = random_world(3)
    found = classification_metrics(Given(dataset, np.sign(scores + 1)), truth).per_user
    assert set(found["pair_accuracy"]) == {0.5}


def test_a_sample_is_the_same_for_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = checkerboard()
    truth = truth_of(dataset)
    one, other = (
        classification_metrics(Given(dataset, np.random.default_rng(seed).random(dataset.seen.shape)), truth, 5, 15)
        for seed in (1, 2)
    )
    assert len(one.rows) == 15 and (np.diff(one.rows) > 0).all()
    np.testing.assert_array_equal(one.rows, other.rows)
    monkeypatch.setattr(classification, "SCORED_PAIRS", 2 * len(dataset.item_ids))  # two users at a time
    again = classification_metrics(Given(dataset, np.random.default_rng(1).random(dataset.seen.shape)), truth, 5, 15)
    for name, values in one.per_user.items():
        np.testing.assert_array_equal(values, again.per_user[name])


def test_nobody_to_judge_has_no_figures() -> None:
    dataset = checkerboard()
    nobody = Truth(np.zeros(0, np.int64), sparse.csr_matrix((0, len(dataset.item_ids))))
    found = classification_metrics(Given(dataset, np.zeros(dataset.seen.shape)), nobody)
    assert (len(found.rows), found.per_user) == (0, {})


def test_measuring_has_all_metrics_and_choosing_the_accurate_ones() -> None:
    dataset = checkerboard()
    truth = truth_of(dataset)
    model = Given(dataset, np.random.default_rng(0).random(dataset.seen.shape))
    cheap = evaluate(model, truth, [2, 4])
    full = measure(model, truth, [2, 4], classification=True)
    assert {name.split("@")[0] for name in cheap} == {
        *("recall", "precision", "f1", "hit", "ndcg", "mrr", "map", "coverage", "users")
    }
    lists = ("novelty", "popularity", "popularity_bias", "diversity", "serendipity", "new_item_share")
    for name in lists:
        assert full.per_user[f"{name}@4"].shape == truth.users.shape
        assert full.figures[f"{name}@4"] == pytest.approx(full.per_user[f"{name}@4"].mean())
    assert {"gini@2", "top_item_share@4", "auc", "pair_f1", "coverage@2"} <= full.figures.keys()
    assert {name: full.figures[name] for name in cheap} == cheap
    assert full.classified is not None and "auc" not in full.per_user
    assert full.figures["auc"] == pytest.approx(full.classified.per_user["auc"].mean())
    assert measure(model, truth, [2]).classified is None
