import dataclasses
import warnings

import numpy as np
import pytest

from recommender.config.classic import Ials as IalsConfig
from recommender.config.training import Training
from recommender.errors import TrainingError
from recommender.models.ials import Ials
from recommender.models.registry import MODELS
from tests.models.mixin import ModelContract
from tests.models.worlds import ITEM_FEATURES, ITEMS, USERS, checkerboard, rows_of, tomorrow_with_newcomers

SMALL = IalsConfig(dimension=4, regularisation=2, alpha=5, half_life_days=20, floor=0.5)


class TestIals(ModelContract):
    def make(self, seed: int = 1, config: IalsConfig = SMALL, threads: int = 1) -> Ials:
        return Ials(config, Training(seed=seed, threads=threads), ITEM_FEATURES[1:])

    def test_another_seed_gives_other_vectors(self) -> None:
        assert not np.array_equal(self.fitted(seed=1).item_vectors(), self.fitted(seed=2).item_vectors())

    def test_two_threads_give_the_same_bits(self) -> None:
        dataset, two = checkerboard(), self.make(threads=2)
        two.fit(dataset, rows_of(dataset))
        np.testing.assert_array_equal(two.item_vectors(), self.fitted().item_vectors())
        np.testing.assert_array_equal(two.user_vectors(), self.fitted().user_vectors())

    def test_a_users_vector_solves_the_least_squares_of_their_history(self) -> None:
        model, dataset = self.fitted(), checkerboard()
        items = model.item_vectors().astype(np.float64)
        given = model._histories[[7]].toarray()[0].astype(np.float64)
        assert given.max() <= 1 and (given[given > 0] >= 0.5).all()
        # minimises sum of confidence (preference - x y)^2 + 2 |x|^2, confidence 5 w where met and 1 elsewhere
        confidence = np.where(given > 0, 5 * given, 1)
        matrix = items.T @ (confidence[:, None] * items) + 2 * np.eye(4)
        expected = np.linalg.solve(matrix, items.T @ (confidence * (given > 0)))
        np.testing.assert_allclose(model.user_vectors(np.array([7]))[0], expected, rtol=1e-3, atol=1e-5)
        assert dataset.seen[7].nnz == (given > 0).sum()

    def test_a_new_user_with_a_history_is_like_others_with_it(self) -> None:
        model, dataset = self.fitted(), checkerboard()
        before = model.user_vectors(np.array([3]))
        renamed = dataset.user_ids.copy()
        renamed[3] = "somebody new"
        model.attach(dataclasses.replace(dataset, user_ids=renamed))
        np.testing.assert_array_equal(model.user_vectors(np.array([3])), before)

    def test_newcomers_get_the_best_fit_to_everybody_and_to_their_category(self) -> None:
        model = self.fitted()
        known = model.item_vectors().copy()
        model.attach(tomorrow_with_newcomers())
        items = model.item_vectors()
        np.testing.assert_array_equal(items[:ITEMS], known)
        np.testing.assert_allclose(items[ITEMS], known[0::2].mean(axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(items[ITEMS + 1], known[1::2].mean(axis=0), rtol=1e-4, atol=1e-6)
        newcomer = model.scores(np.array([USERS]))[0]
        share = model.dataset.seen.toarray()[:USERS].mean(axis=0)
        nearest = np.linalg.solve(items.T @ items + 2 * np.eye(4), items.T @ share)
        np.testing.assert_allclose(newcomer, items @ nearest, rtol=1e-3, atol=1e-5)

    def test_no_warnings_about_threads(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.fitted().recommend(np.arange(2), 3)

    def test_vectors_that_are_no_numbers_are_an_error(self) -> None:
        dataset = checkerboard()
        model = self.make(config=SMALL.model_copy(update={"alpha": 1e38}))
        with pytest.raises(TrainingError, match=r"NaN .* lower model\.alpha"):
            model.fit(dataset, rows_of(dataset))

    def test_registered(self) -> None:
        assert MODELS["ials"] is Ials
