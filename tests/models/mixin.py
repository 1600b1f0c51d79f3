"""What every model must do; inherit it and say how the model is made."""

from pathlib import Path

import numpy as np
import pytest

from recommender.errors import NotReadyError
from recommender.models.base import Model
from tests.models.worlds import ITEMS, USERS, checkerboard, rows_of, tomorrow_with_newcomers

K = 10


class ModelContract:
    personal = True
    """False where the model knows no taste."""

    def make(self, seed: int = 1) -> Model:
        raise NotImplementedError

    def fitted(self, seed: int = 1) -> Model:
        model, dataset = self.make(seed), checkerboard()
        model.fit(dataset, rows_of(dataset))
        return model

    def test_needs_data_first(self) -> None:
        with pytest.raises(NotReadyError, match="fit"):
            self.make().recommend(np.arange(2), K)

    def test_vectors_have_one_row_each(self) -> None:
        model = self.fitted()
        users, items = model.user_vectors(), model.item_vectors()
        assert (len(users), len(items)) == (USERS, ITEMS)
        assert users.shape[1] == items.shape[1]
        assert users.dtype == items.dtype == np.float32
        np.testing.assert_allclose(model.user_vectors(np.array([5, 2])), users[[5, 2]], atol=1e-6)

    def test_score_is_the_dot_product(self) -> None:
        model = self.fitted()
        users, items = np.array([0, 7, 7]), np.array([1, 3, 0])
        expected = (model.user_vectors() @ model.item_vectors().T)[users, items]
        np.testing.assert_allclose(model.score(users, items), expected, rtol=1e-5, atol=1e-6)

    def test_recommends_unseen_items_best_first(self) -> None:
        model = self.fitted()
        top = model.recommend(np.arange(USERS), K)
        seen = model.dataset.seen.toarray() > 0
        assert not seen[np.arange(USERS)[:, None], top.items].any()
        assert (np.diff(top.scores, axis=1) <= 0).all()
        assert top.items.min() >= 0

    def test_seen_items_come_back_on_request(self) -> None:
        model = self.fitted()
        top = model.recommend(np.arange(USERS), ITEMS, exclude_seen=False)
        np.testing.assert_array_equal(np.sort(top.items, axis=1), np.tile(np.arange(ITEMS), (USERS, 1)))

    def test_only_allowed_items(self) -> None:
        model = self.fitted()
        allowed = np.arange(ITEMS) < 3
        top = model.recommend(np.arange(USERS), 3, exclude_seen=False, allowed=allowed)
        np.testing.assert_array_equal(np.sort(top.items, axis=1), np.tile([0, 1, 2], (USERS, 1)))

    def test_finds_the_right_colour(self) -> None:
        if not self.personal:
            pytest.skip("the model knows no taste")
        top = self.fitted().recommend(np.arange(USERS), 4)
        assert (top.items % 2 == np.arange(USERS)[:, None] % 2).all()

    def test_save_and_load_give_the_same_scores(self, tmp_path: Path) -> None:
        model = self.fitted()
        model.save(tmp_path)
        loaded = type(model).load(tmp_path)
        with pytest.raises(NotReadyError):
            _ = loaded.dataset
        loaded.attach(checkerboard())
        np.testing.assert_array_equal(loaded.user_vectors(), model.user_vectors())
        np.testing.assert_array_equal(loaded.item_vectors(), model.item_vectors())

    def test_attach_takes_in_new_users_and_items(self) -> None:
        model = self.fitted()
        model.attach(tomorrow_with_newcomers())
        assert (len(model.user_vectors()), len(model.item_vectors())) == (USERS + 2, ITEMS + 4)
        top = model.recommend(np.arange(USERS + 2), K)
        assert np.isfinite(top.scores).all()
        assert top.items.min() >= 0

    def test_same_seed_same_scores(self) -> None:
        first, second = self.fitted(seed=3), self.fitted(seed=3)
        np.testing.assert_array_equal(first.user_vectors(), second.user_vectors())
        np.testing.assert_array_equal(first.item_vectors(), second.item_vectors())
