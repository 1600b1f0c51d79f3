import dataclasses

import numpy as np
import pytest
from scipy import sparse

from recommender.config.classic import ItemKnn as ItemKnnConfig
from recommender.config.training import Training
from recommender.models import item_knn as room
from recommender.models.item_knn import ItemKnn
from recommender.models.registry import MODELS
from tests.models.mixin import ModelContract
from tests.models.worlds import ITEM_FEATURES, ITEMS, USERS, checkerboard, rows_of, tomorrow_with_newcomers

PLAIN = ItemKnnConfig(half_life_days=None, shrinkage=2, neighbours=ITEMS)


class TestItemKnn(ModelContract):
    def make(self, seed: int = 1, config: ItemKnnConfig = PLAIN) -> ItemKnn:
        return ItemKnn(config, Training(seed=seed), ITEM_FEATURES[1:])

    def trained(self, config: ItemKnnConfig) -> ItemKnn:
        model, dataset = self.make(config=config), checkerboard()
        model.fit(dataset, rows_of(dataset))
        return model

    def test_scores_are_sums_of_shrunk_cosines(self) -> None:
        seen = checkerboard().seen.toarray()
        both, met = seen.T @ seen, seen.sum(axis=0)
        alike = both / (np.sqrt(np.outer(met, met)) + 2)
        np.fill_diagonal(alike, 0)
        scores = self.trained(PLAIN).scores(np.arange(USERS))
        np.testing.assert_allclose(scores, seen @ alike, rtol=1e-4, atol=1e-5)

    def test_recent_events_count_more(self) -> None:
        model = self.trained(PLAIN.model_copy(update={"half_life_days": 10.0, "floor": 0.0}))
        dataset = checkerboard()
        age = (dataset.until - dataset.ts[:1]) / 86_400
        first = dataclasses.replace(dataset, **{n: getattr(dataset, n)[:1] for n in ("user", "item", "ts", "weight")})
        model.attach(first)
        plain = self.trained(PLAIN)
        plain.attach(first)
        one = np.array([0])
        np.testing.assert_allclose(model.scores(one), plain.scores(one) * 0.5 ** (age / 10), rtol=1e-4, atol=1e-7)

    @pytest.mark.parametrize("products", [1, 300, 1 << 24])
    def test_each_item_keeps_its_nearest_neighbours(self, products: int, monkeypatch: pytest.MonkeyPatch) -> None:
        full = self.trained(PLAIN)._neighbours.toarray()
        monkeypatch.setattr(room, "BLOCK_PRODUCTS", products)
        kept = self.trained(PLAIN.model_copy(update={"neighbours": 3}))._neighbours
        assert (np.diff(kept.indptr) == 3).all()
        np.testing.assert_array_equal(np.sort(kept.data.reshape(-1, 3))[:, ::-1], -np.sort(-full, axis=1)[:, :3])
        np.testing.assert_array_equal(kept.toarray()[kept.nonzero()], full[kept.nonzero()])
        assert kept.dtype == np.float32

    def test_of_equal_neighbours_the_first_are_kept(self) -> None:
        alike = sparse.csr_matrix(np.array([[1, 2, 1, 1], [0, 0, 3, 0], [0, 0, 0, 0]], np.float32))
        np.testing.assert_array_equal(room._largest(alike, 2).toarray(), [[1, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]])

    def test_what_a_history_says_nothing_about_is_ordered_by_everybody(self) -> None:
        model = self.trained(PLAIN.model_copy(update={"neighbours": 1}))
        model.attach(tomorrow_with_newcomers())
        everybody = model._weigh(sparse.csr_matrix(model.dataset.seen[:USERS, :ITEMS].mean(axis=0)))[0]
        newcomer = model.scores(np.array([USERS]))[0, :ITEMS]
        assert newcomer.any()
        np.testing.assert_array_equal(np.argsort(-newcomer, kind="stable"), np.argsort(-everybody, kind="stable"))
        assert newcomer.max() < 1e-4 * model.scores(np.arange(USERS)).max()

    def test_new_items_are_scored_as_those_of_their_category(self) -> None:
        model = self.trained(PLAIN)
        model.attach(tomorrow_with_newcomers())
        scores = model.scores(np.arange(USERS))
        for colour in (0, 1):
            same = scores[:, colour:ITEMS:2].mean(axis=1)
            np.testing.assert_allclose(scores[:, ITEMS + colour], same, rtol=1e-4, atol=1e-6)
        assert (model.similar_items(4).items[ITEMS] % 2 == 0).all()

    def test_registered(self) -> None:
        assert MODELS["item_knn"] is ItemKnn
