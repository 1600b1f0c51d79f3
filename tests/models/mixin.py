"""What every model must do; inherit it and say how the model is made."""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from recommender.errors import NotReadyError
from recommender.models.base import Model
from tests.models.worlds import ITEMS, USERS, checkerboard, rows_of, tomorrow_with_newcomers

K = 10
EVERYBODY = np.arange(USERS)


class ModelContract:
    personal = True
    """False where the model knows no taste."""
    similar_colours = True
    """False where similar items need not be of one colour."""

    def make(self, seed: int = 1) -> Model:
        raise NotImplementedError

    def fitted(self, seed: int = 1) -> Model:
        model, dataset = self.make(seed), checkerboard()
        model.fit(dataset, rows_of(dataset))
        return model

    def read_only(self) -> Model:
        """Fitted once for all tests that leave the model as it is."""
        return _fitted(type(self))

    def test_needs_data_first(self) -> None:
        with pytest.raises(NotReadyError, match="fit"):
            self.make().recommend(np.arange(2), K)

    def test_scores_have_a_row_a_user_and_a_column_an_item(self) -> None:
        model = self.read_only()
        scores = model.scores(EVERYBODY)
        assert scores.shape == (USERS, ITEMS)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(model.scores(np.array([5, 2])), scores[[5, 2]], rtol=1e-5, atol=1e-6)
        scores[:] = 0  # a new array: the model's own are as they were
        assert model.scores(EVERYBODY).any()

    def test_vectors_give_the_scores(self) -> None:
        model = self.read_only()
        if not model.factorises:
            with pytest.raises(NotReadyError, match="no vectors"):
                model.user_vectors()
            with pytest.raises(NotReadyError, match="no vectors"):
                model.item_vectors()
            return
        users, items = model.user_vectors(), model.item_vectors()
        assert (len(users), len(items)) == (USERS, ITEMS)
        assert users.dtype == items.dtype == np.float32
        np.testing.assert_allclose(model.scores(EVERYBODY), users @ items.T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.user_vectors(np.array([5, 2])), users[[5, 2]], atol=1e-6)

    def test_score_of_pairs_is_their_entry_of_the_scores(self) -> None:
        model = self.read_only()
        users, items = np.array([7, 0, 7, 39]), np.array([1, 3, 0, 23])
        expected = model.scores(EVERYBODY)[users, items]
        np.testing.assert_allclose(model.score(users, items), expected, rtol=1e-5, atol=1e-6)
        assert len(model.score(users[:0], items[:0])) == 0

    def test_recommends_the_best_unseen_items(self) -> None:
        model = self.read_only()
        top = model.recommend(EVERYBODY, K)
        scores = np.where(model.dataset.seen.toarray() > 0, -np.inf, model.scores(EVERYBODY))
        expected = np.take_along_axis(scores, np.argsort(-scores, axis=1)[:, :K], axis=1)
        np.testing.assert_allclose(top.scores, expected, rtol=1e-5, atol=1e-6)
        chosen = np.take_along_axis(scores, top.items.astype(np.int64), axis=1)  # of equal scores any order will do
        np.testing.assert_allclose(chosen, expected, rtol=1e-5, atol=1e-6)
        assert all(len(set(items)) == K for items in top.items.tolist())

    def test_recommends_to_nobody(self) -> None:
        assert self.read_only().recommend(np.arange(0), K).items.shape == (0, K)

    def test_seen_items_come_back_on_request(self) -> None:
        model = self.read_only()
        top = model.recommend(EVERYBODY, ITEMS, exclude_seen=False)
        np.testing.assert_array_equal(np.sort(top.items, axis=1), np.tile(np.arange(ITEMS), (USERS, 1)))

    def test_only_allowed_items(self) -> None:
        model = self.read_only()
        allowed = np.arange(ITEMS) < 3
        top = model.recommend(EVERYBODY, 3, exclude_seen=False, allowed=allowed)
        np.testing.assert_array_equal(np.sort(top.items, axis=1), np.tile([0, 1, 2], (USERS, 1)))

    def test_finds_the_right_colour(self) -> None:
        if not self.personal:
            pytest.skip("the model knows no taste")
        top = self.read_only().recommend(EVERYBODY, 4)
        assert (top.items % 2 == EVERYBODY[:, None] % 2).all()

    def test_similar_items_leave_out_the_item_itself(self) -> None:
        model = self.read_only()
        similar = model.similar_items(4)
        assert similar.items.shape == (ITEMS, 4)
        assert similar.items.min() >= 0
        assert not (similar.items == np.arange(ITEMS)[:, None]).any()
        assert (np.diff(similar.scores, axis=1) <= 0).all()
        if self.personal and self.similar_colours:
            assert (similar.items % 2 == np.arange(ITEMS)[:, None] % 2).mean() > 0.9

    def test_save_and_load_give_the_same_scores(self, tmp_path: Path) -> None:
        model = self.read_only()
        model.save(tmp_path)
        loaded = type(model).load(tmp_path)
        with pytest.raises(NotReadyError):
            _ = loaded.dataset
        loaded.attach(checkerboard())
        for before, after in zip(everything(model), everything(loaded), strict=True):
            np.testing.assert_array_equal(before, after)

    def test_attach_takes_in_new_users_and_items(self) -> None:
        model = self.fitted()
        model.attach(tomorrow_with_newcomers())
        users = np.arange(USERS + 2)
        assert model.scores(users).shape == (USERS + 2, ITEMS + 4)
        top = model.recommend(users, K)
        assert np.isfinite(top.scores).all()
        assert top.items.min() >= 0
        assert model.similar_items(K).items.shape == (ITEMS + 4, K)

    def test_same_seed_same_scores(self) -> None:
        first, second = self.fitted(seed=3), self.fitted(seed=3)
        for before, after in zip(everything(first), everything(second), strict=True):
            np.testing.assert_array_equal(before, after)


@cache
def _fitted(contract: type[ModelContract]) -> Model:
    return contract().fitted()


def everything(model: Model) -> list[npt.NDArray[np.float32]]:
    """All that a model says of the attached data set, to compare."""
    vectors = [model.user_vectors(), model.item_vectors()] if model.factorises else []
    return [*vectors, model.scores(np.arange(len(model.dataset.user_ids)))]
