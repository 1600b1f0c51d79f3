"""A user whom training never met, with a few events since: lists by those events, not what is popular."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from recommender.columns import COUNTRY
from recommender.config.profile import Profile
from recommender.config.yaml12 import load_yaml
from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.models.base import Support
from recommender.models.registry import new_model
from tests.models.ranking.small_world import Nights
from tests.models.worlds import DS, ITEMS, MET, PROFILE, USERS, checkerboard, rows_of

TOWER = {"kind": "two_tower", "dimension": 16, "batch_size": 64, "max_epochs": 25}
NCF = {"kind": "ncf", "dimension": 8, "layers": [16, 8], "batch_size": 64, "learning_rate": 0.02, "max_epochs": 12}
NO_HISTORY = TOWER | {"history": "none", "max_epochs": 60}
KINDS: dict[str, dict[str, object]] = {
    "two_tower": TOWER,
    "two_tower without history": NO_HISTORY,
    "two_tower of ids alone": NO_HISTORY | {"fusion": "identity"},
    "two_tower by dot products": NO_HISTORY | {"similarity": "dot", "temperature": 1.0},
    "head": {"kind": "head", "towers": TOWER, "depth": 6},
    "factors": {"kind": "factors", "dimension": 16, "batch_size": 8},
    "ials": {"kind": "ials", "dimension": 8, "regularisation": 1.0},
    "ease": {"kind": "ease"},
    "item_knn": {"kind": "item_knn"},
    "spectral": {"kind": "spectral", "dimension": 4},
    "gmf": NCF | {"architecture": "gmf"},
    "mlp": NCF | {"architecture": "mlp"},
    "neumf": NCF,
    "neumf with metadata": NCF | {"metadata": True},
    "blend": {"kind": "blend", "models": {"alike": {"kind": "item_knn"}, "ials": {"kind": "ials", "dimension": 8}}},
    "ranking": {
        "kind": "ranking",
        "candidates": {"alike": {"kind": "item_knn"}, "popular": {"kind": "popularity"}},
        "depth": 6,
        "mlp": {"max_epochs": 3, "learning_rate": 0.01},
        "boosting": {"trees": 10, "least_pairs": 5},
    },
}
NEWCOMERS = np.array([USERS, USERS + 1])
FEW = 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_few_events_make_a_list(kind: str) -> None:
    profile = Profile.model_validate({**load_yaml(PROFILE), "model": KINDS[kind]})
    model, dataset = new_model(profile.model, profile), checkerboard()
    model.fit(dataset, rows_of(dataset), support=Support(past=Nights(dataset)))
    model.attach(the_next_night())
    lists = model.recommend(NEWCOMERS, 4).items
    told = np.concatenate([explained.top.items for explained in model.explained(NEWCOMERS, 4)])
    for found in (lists, told):
        assert (found % 2 == [[0], [1]]).mean() >= 7 / 8, "each gets their own taste: what is popular is one list"
        assert not model.dataset.seen[NEWCOMERS].toarray()[np.arange(2)[:, None], found].any()


def test_somebody_without_an_event_still_gets_a_list() -> None:
    profile = Profile.model_validate({**load_yaml(PROFILE), "model": KINDS["neumf"]})
    model, dataset = new_model(profile.model, profile), checkerboard()
    model.fit(dataset, rows_of(dataset))
    model.attach(checkerboard(users=USERS + 2, ds=DS + timedelta(days=1)))
    assert (model.recommend(NEWCOMERS, 4).items >= 0).all()


def the_next_night() -> Dataset:
    """A night later with two new users of whom nothing is known but three events each, of one colour each."""
    known = checkerboard(users=USERS + 2, ds=DS + timedelta(days=1))
    items = np.array([[0, 6, 12], [1, 7, 13]])
    seconds = known.until - SECONDS_A_DAY // 2 + np.arange(FEW)
    country = known.user_features[COUNTRY].to_numpy(object, copy=True)
    country[NEWCOMERS] = None
    assert items.max() < ITEMS and len(known.user) == USERS * MET
    return replace(
        known,
        user=np.append(known.user, np.repeat(NEWCOMERS, FEW)).astype(np.int32),
        item=np.append(known.item, items.ravel()).astype(np.int32),
        ts=np.append(known.ts, np.tile(seconds, 2)).astype(np.int64),
        weight=np.ones(len(known.user) + 2 * FEW, np.float32),
        user_features=known.user_features.assign(**{COUNTRY: pd.Series(country, dtype=object)}),
    )
