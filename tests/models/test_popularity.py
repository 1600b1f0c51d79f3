import numpy as np
import pandas as pd

from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.models.popularity import Popularity
from recommender.models.registry import MODELS
from tests.models.mixin import ModelContract
from tests.models.worlds import DS, checkerboard


class TestPopularity(ModelContract):
    personal = False

    def make(self, seed: int = 1) -> Popularity:
        return Popularity(half_life_days=10)

    def test_events_halve_with_every_half_life(self) -> None:
        until = checkerboard().until
        dataset = Dataset(
            ds=DS,
            user_ids=np.array(["a", "b"], dtype=object),
            item_ids=np.array(["new", "old", "never"], dtype=object),
            user=np.array([0, 0, 1], np.int32),
            item=np.array([1, 0, 1], np.int32),
            ts=np.array([until - 20 * SECONDS_A_DAY, until - 10 * SECONDS_A_DAY, until - 20 * SECONDS_A_DAY], np.int64),
            weight=np.array([1, 1, 2], np.float32),
            user_features=pd.DataFrame(index=range(2)),
            item_features=pd.DataFrame(index=range(3)),
        )
        model = self.make()
        model.attach(dataset)
        np.testing.assert_allclose(model.item_vectors()[:, 0], [0.5, 0.75, 0])

    def test_registered(self) -> None:
        assert MODELS["popularity"] is Popularity
