"""Each learner finds a planted signal, repeats itself bit for bit, and is the same after a trip to disk."""

from pathlib import Path

import lightgbm
import numpy as np
import pytest

from recommender.config.ranking import BoostingLearner, LinearLearner, MlpLearner, Ranking
from recommender.config.training import Training
from recommender.errors import NotReadyError, TrainingError
from recommender.models.ranking.learners.base import Learner, Standardiser
from recommender.models.ranking.learners.boosting import FILE, Boosting
from recommender.models.ranking.learners.linear import Linear
from recommender.models.ranking.learners.mlp import Mlp
from recommender.models.ranking.reranker import LabelledPairs, Reranker

USERS, PAIRS, FEATURES = 150, 12, 4
SIGNAL = 2
"""The feature that tells; the others are noise, the last one missing half the time."""


def planted(seed: int) -> LabelledPairs:
    """One choice a user: the candidate with the largest signal; what it is added to differs by user."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(USERS, PAIRS, FEATURES)).astype(np.float32)
    labels = np.eye(PAIRS, dtype=np.float32)[features[:, :, SIGNAL].argmax(1)].ravel()
    features[:, :, 0] += rng.normal(size=(USERS, 1)) * 3
    features[:, :, -1][rng.random((USERS, PAIRS)) < 0.5] = np.nan
    return LabelledPairs(features.reshape(-1, FEATURES), labels, np.full(USERS, PAIRS))


def learner(kind: str) -> Learner:
    if kind == "linear":
        return Linear(LinearLearner())
    if kind == "mlp":
        return Mlp(MlpLearner(max_epochs=6, learning_rate=1e-2, averaging=0.9), Training())
    return Boosting(BoostingLearner(trees=40, least_pairs=20, feature_share=1.0), Training())


@pytest.fixture(params=["linear", "mlp", "boosting"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def hits(scores: np.ndarray, pairs: LabelledPairs) -> float:
    """Share of users whose best pair is the one they chose."""
    best = scores.reshape(USERS, PAIRS).argmax(1)
    return float((best == pairs.labels.reshape(USERS, PAIRS).argmax(1)).mean())


def test_finds_the_signal(kind: str) -> None:
    found, train, test = learner(kind), planted(1), planted(2)
    found.fit(train.features, train.labels, train.groups, seed=3)
    scores = found.score(test.features)
    assert scores.dtype == np.float32
    assert hits(scores, test) > 0.85


def test_boosting_scores_as_lightgbm_does(tmp_path: Path) -> None:
    found, train, test = Boosting(BoostingLearner(trees=40, least_pairs=20)), planted(1), planted(2)
    found.fit(train.features, train.labels, train.groups, seed=3)
    found.save(tmp_path)
    booster = lightgbm.Booster(model_file=tmp_path / FILE)
    expected = booster.predict(test.features, raw_score=True).astype(np.float32)
    np.testing.assert_array_equal(found.score(test.features), expected)


def test_same_seed_same_bits(kind: str) -> None:
    train, scores = planted(1), []
    for _ in range(2):
        found = learner(kind)
        found.fit(train.features, train.labels, train.groups, seed=3)
        scores.append(found.score(train.features))
    np.testing.assert_array_equal(*scores)


def test_saved_and_loaded_it_scores_the_same(kind: str, tmp_path: Path) -> None:
    first, second, train = learner(kind), learner(kind), planted(1)
    first.fit(train.features, train.labels, train.groups, seed=3)
    first.save(tmp_path)
    second.load(tmp_path)
    np.testing.assert_array_equal(first.score(train.features), second.score(train.features))


def test_needs_a_fit(kind: str, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=f"the {kind} learner isn't fitted"):
        learner(kind).score(planted(1).features)
    with pytest.raises(NotReadyError, match="isn't fitted"):
        learner(kind).save(tmp_path)


@pytest.mark.parametrize("label", [0, 1])
def test_refuses_pairs_that_teach_no_order(kind: str, label: int) -> None:
    train = planted(1)
    with pytest.raises(TrainingError, match="chosen and others"):
        learner(kind).fit(train.features, np.full_like(train.labels, label), train.groups, seed=3)


def test_means_and_scales_are_the_training_pairs() -> None:
    features = np.array([[1, np.nan, 7], [3, 4, 7], [5, 4, 7]], np.float32)
    fitted = Standardiser.fit(features)
    np.testing.assert_allclose(fitted.mean, [3, 4, 7])
    np.testing.assert_allclose(fitted.apply(features)[:, 0], [-1.2247449, 0, 1.2247449], rtol=1e-6)
    others = fitted.apply(np.array([[np.nan, 9, 8], [1e9, -9, 6]], np.float32))
    np.testing.assert_array_equal(others, [[0, 0, 0], [8, 0, 0]])  # missing is the mean, what never varied says nothing


def test_users_without_a_choice_are_left_out() -> None:
    pairs = LabelledPairs.of(
        np.arange(6, dtype=np.float32)[:, None], np.array([0, 0, 1, 0, 0, 0], np.float32), np.array([2, 3, 0, 1])
    )
    assert pairs.groups.tolist() == [3]
    assert pairs.features.ravel().tolist() == [2, 3, 4]
    assert pairs.labels.tolist() == [1, 0, 0]


def test_together_they_learn_from_two_windows_and_tell_what_mattered(tmp_path: Path) -> None:
    config = Ranking(
        candidates={"popular": {"kind": "popularity"}},
        mlp=MlpLearner(max_epochs=4, learning_rate=1e-2, averaging=0.9),
        boosting=BoostingLearner(trees=30, least_pairs=20),
    )
    reranker, test = Reranker.build(config, Training()), planted(3)
    reranker.fit([planted(1), planted(2)], seed=3)
    assert hits(reranker.score(test.features, test.groups), test) > 0.85
    lost = reranker.importance(test, ["shift", "noise", "signal", "patchy"])
    assert next(iter(lost)) == "signal"
    assert lost["signal"] > 0.2 > 10 * abs(lost["noise"])
    reranker.save(tmp_path)
    loaded = Reranker.build(config, Training())
    loaded.load(tmp_path)
    np.testing.assert_array_equal(loaded.score(test.features, test.groups), reranker.score(test.features, test.groups))
