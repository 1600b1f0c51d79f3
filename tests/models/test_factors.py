from dataclasses import replace

import numpy as np

from recommender.config.factors import Factors as FactorsConfig
from recommender.config.training import Training
from recommender.models.factors import Factors
from tests.models.mixin import ModelContract
from tests.models.worlds import ITEM_FEATURES, ITEMS, USERS, checkerboard, rows_of, tomorrow_with_newcomers, truth_of

SMALL = FactorsConfig(dimension=4, temperature=1, max_epochs=30, batch_size=8, learning_rate=0.05, half_life_days=None)


class TestFactors(ModelContract):
    def make(self, seed: int = 1, config: FactorsConfig = SMALL) -> Factors:
        return Factors(config, Training(seed=seed), ITEM_FEATURES[1:])

    def test_another_seed_gives_other_vectors(self) -> None:
        assert not np.array_equal(self.fitted(seed=1).item_vectors(), self.fitted(seed=2).item_vectors())

    def test_vectors_have_length_one(self) -> None:
        model = self.fitted()
        for vectors in (model.user_vectors(), model.item_vectors()):
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)

    def test_a_user_who_is_new_points_where_their_items_do(self) -> None:
        learnt = checkerboard()
        model = self.make()
        model.fit(learnt, rows_of(learnt))
        renamed = learnt.user_ids.copy()
        renamed[7] = "somebody else"
        model.attach(replace(learnt, user_ids=renamed))
        mean = model.item_vectors()[learnt.seen[[7]].indices].mean(0)
        np.testing.assert_allclose(model.user_vectors(np.array([7]))[0], mean / np.linalg.norm(mean), rtol=1e-4)

    def test_a_new_item_is_the_mean_of_its_kin(self) -> None:
        model = self.fitted()
        model.attach(tomorrow_with_newcomers())
        vectors = model.item_vectors()
        np.testing.assert_allclose(vectors[ITEMS], vectors[:ITEMS:2].mean(0), atol=1e-5)

    def test_with_a_truth_the_best_epoch_is_kept(self) -> None:
        dataset, model = checkerboard(), self.make()
        report = model.fit(dataset, rows_of(dataset), truth_of(dataset))
        assert report.history[report.epochs - 1]["recall"] == max(entry["recall"] for entry in report.history)
        assert len(model.user_vectors()) == USERS
