import dataclasses

import numpy as np
import pytest

from recommender.config.classic import Spectral as SpectralConfig
from recommender.config.training import Training
from recommender.errors import TrainingError
from recommender.models.registry import MODELS
from recommender.models.spectral import Spectral
from tests.models.mixin import EVERYBODY, ModelContract
from tests.models.worlds import ITEM_FEATURES, ITEMS, USERS, checkerboard, rows_of, tomorrow_with_newcomers

SMALL = SpectralConfig(dimension=2, half_life_days=20, floor=0.5)


class TestSpectral(ModelContract):
    def make(self, seed: int = 1, config: SpectralConfig = SMALL, threads: int = 1) -> Spectral:
        return Spectral(config, Training(seed=seed, threads=threads), ITEM_FEATURES[1:])

    def test_scores_are_the_history_along_the_leading_singular_vectors(self) -> None:
        dataset = checkerboard()
        model = self.make(config=SMALL.model_copy(update={"half_life_days": None}))
        model.fit(dataset, rows_of(dataset))
        met = dataset.seen.toarray().astype(np.float64) > 0
        users, items = met.sum(1), np.maximum(met.sum(0), 1)
        _, _, directions = np.linalg.svd(met / np.sqrt(users[:, None] * items[None, :]))
        filtered = directions[:2].T @ directions[:2]
        expected = (met / np.sqrt(items)) @ filtered * np.sqrt(items)
        np.testing.assert_allclose(model.scores(EVERYBODY), expected, rtol=1e-3, atol=1e-4)

    def test_what_is_recent_weighs_more(self) -> None:
        model, dataset = self.fitted(), checkerboard()
        user = 7
        weights = model._histories[[user]].toarray()[0]
        assert len(set(weights[weights > 0])) > 1
        np.testing.assert_allclose(model.user_vectors()[user], weights @ model._met_vectors, rtol=1e-4, atol=1e-6)
        assert dataset.seen[[user]].nnz == (weights > 0).sum()

    def test_a_new_user_with_a_history_is_like_others_with_it(self) -> None:
        model, dataset = self.fitted(), checkerboard()
        before = model.user_vectors(np.array([3]))
        renamed = dataset.user_ids.copy()
        renamed[3] = "somebody new"
        model.attach(dataclasses.replace(dataset, user_ids=renamed))
        np.testing.assert_array_equal(model.user_vectors(np.array([3])), before)

    def test_newcomers_get_the_mean_history_and_the_mean_of_their_category(self) -> None:
        model = self.fitted()
        known = model.item_vectors().copy()
        model.attach(tomorrow_with_newcomers())
        items = model.item_vectors()
        np.testing.assert_array_equal(items[:ITEMS], known)
        np.testing.assert_allclose(items[ITEMS], known[0::2].mean(axis=0), rtol=1e-4, atol=1e-6)
        everybody = model.user_vectors(np.arange(USERS)).mean(axis=0)
        np.testing.assert_allclose(model.user_vectors(np.array([USERS]))[0], everybody, rtol=1e-4, atol=1e-6)

    def test_no_more_directions_than_there_are(self) -> None:
        dataset = checkerboard()
        model = self.make(config=SMALL.model_copy(update={"dimension": 500}))
        model.fit(dataset, rows_of(dataset))
        assert model.item_vectors().shape == (ITEMS, ITEMS)

    def test_nothing_to_learn_from_is_an_error(self) -> None:
        dataset = checkerboard()
        nothing = dataclasses.replace(
            dataset, **{name: getattr(dataset, name)[:0] for name in ("user", "item", "ts", "weight")}
        )
        with pytest.raises(TrainingError, match="spectral has no events to learn from"):
            self.make().fit(nothing, rows_of(nothing))

    def test_registered(self) -> None:
        assert MODELS["spectral"] is Spectral
