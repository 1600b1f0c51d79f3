import dataclasses

import numpy as np
import pandas as pd

from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows
from recommender.models.interactions import histories, learnt_from
from tests.models.worlds import DS, checkerboard

UNTIL = checkerboard().until


def small() -> Dataset:
    """User 0 met item 1 twice, 20 and 10 days ago, and item 0 just now; user 1 item 2, which counts double."""
    days = np.array([20, 10, 0, 10])
    return Dataset(
        ds=DS,
        user_ids=np.array(["a", "b", "new"], dtype=object),
        item_ids=np.array(["i", "j", "k", "never"], dtype=object),
        user=np.array([0, 0, 0, 1], np.int32),
        item=np.array([1, 1, 0, 2], np.int32),
        ts=(UNTIL - days * SECONDS_A_DAY).astype(np.int64),
        weight=np.array([1, 1, 1, 2], np.float32),
        user_features=pd.DataFrame(index=range(3)),
        item_features=pd.DataFrame(index=range(4)),
    )


def rows(outside: list[int]) -> TrainingRows:
    nothing = pd.DataFrame()
    return TrainingRows(np.zeros(0, np.int64), nothing, nothing, outside=np.array(outside, np.int64))


def test_an_event_halves_towards_the_floor_and_a_pair_counts_once() -> None:
    np.testing.assert_allclose(histories(small(), 10, 0).toarray(), [[1, 0.5, 0, 0], [0, 0, 1, 0], [0] * 4])
    np.testing.assert_allclose(histories(small(), 10, 0.2).toarray(), [[1, 0.6, 0, 0], [0, 0, 1.2, 0], [0] * 4])
    np.testing.assert_allclose(histories(small(), None, 0).toarray(), [[1, 1, 0, 0], [0, 0, 2, 0], [0] * 4])


def test_an_older_event_that_weighs_more_is_the_one_that_counts() -> None:
    dataset = dataclasses.replace(small(), weight=np.array([4, 1, 1, 2], np.float32))
    assert histories(dataset, 10, 0)[0, 1] == 1


def test_nobody_met_anything() -> None:
    nobody = dataclasses.replace(
        small(), **{name: getattr(small(), name)[:0] for name in ("user", "item", "ts", "weight")}
    )
    assert histories(nobody, 10, 0).nnz == 0


def test_learnt_from_all_but_what_the_k_core_leaves_out() -> None:
    met, items = learnt_from(small(), rows([]))
    np.testing.assert_array_equal(items, [0, 1, 2])
    np.testing.assert_array_equal(met.toarray(), [[1, 1, 0], [0, 0, 1], [0, 0, 0]])
    met, items = learnt_from(small(), rows([0, 3]))
    np.testing.assert_array_equal(items, [0, 1])
    np.testing.assert_array_equal(met.toarray(), [[1, 1], [0, 0], [0, 0]])
