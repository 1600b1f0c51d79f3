from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from recommender.config.profile import Profile
from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.errors import ArtifactError, ConfigError, TrainingError
from recommender.features.definitions import Feature
from recommender.models.popularity import Popularity
from recommender.models.registry import MODELS, new_model
from tests.models.mixin import ModelContract
from tests.models.worlds import DS, PROFILE, USER_FEATURES, checkerboard, rows_of

COUNTRY, BAND = (Feature(n, "user", "categorical", False, "attribute", None, n) for n in ("country", "age_band"))


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
        assert not model.personal

    def test_without_a_half_life_all_events_count_alike(self) -> None:
        model, dataset = of_profile("{kind: popularity, half_life_days: null}"), checkerboard()
        model.attach(dataset)
        np.testing.assert_array_equal(model.item_vectors()[:, 0], np.bincount(dataset.item))

    def test_registered(self) -> None:
        assert MODELS["popularity"] is Popularity


class TestPopularityBySegment(ModelContract):
    def make(self, seed: int = 1) -> Popularity:
        return Popularity(segments=USER_FEATURES[1:], segment_prior=1)

    def test_new_users_get_the_list_of_their_segment(self) -> None:
        model = self.fitted()
        dataset = checkerboard(users=42)
        model.attach(dataset)
        np.testing.assert_array_equal(model.scores(np.array([40, 41])), model.scores(np.array([0, 1])))

    def test_what_the_data_set_lacks_is_named(self) -> None:
        dataset = checkerboard()
        model = Popularity(segments=[COUNTRY, BAND])
        with pytest.raises(TrainingError, match="popularity reads age_band, which the data set lacks"):
            model.fit(dataset, rows_of(dataset))
        with pytest.raises(ArtifactError, match="age_band"):
            model.attach(dataset)


def people(countries: list[str | None], bands: list[str | None]) -> Dataset:
    """Items 0, 1, 2: user n met item n % 3 as long as there are enough of them to; the last two met nothing."""
    users = len(countries)
    return Dataset(
        ds=DS,
        user_ids=np.array([f"u{n}" for n in range(users)], dtype=object),
        item_ids=np.array(["i", "j", "k"], dtype=object),
        user=np.arange(users - 2, dtype=np.int32),
        item=(np.arange(users - 2) % 3).astype(np.int32),
        ts=np.full(users - 2, checkerboard().until - 1, np.int64),
        weight=np.ones(users - 2, np.float32),
        user_features=pd.DataFrame({"country": countries, "age_band": bands}, dtype=object),
        item_features=pd.DataFrame(index=range(3)),
    )


def test_small_segments_give_up_their_last_category_and_lean_on_their_parents() -> None:
    countries = ["x", "x", "x", "y", None, "x", "x", "x"]
    bands = ["old", "old", None, "old", "old", "new", "old", "new"]
    model = Popularity(half_life_days=None, segments=[COUNTRY, BAND], min_segment_users=2, segment_prior=3)
    model.attach(people(countries, bands))
    everybody = np.array([2, 2, 2]) / 6
    x = (np.array([1, 1, 2]) + 3 * everybody) / (4 + 3)
    old_x = (np.array([1, 1, 0]) + 3 * x) / (2 + 3)
    # alone in `y`; of no country; alone in `new x`, as is the last one, who met nothing
    expected = [old_x, old_x, x, everybody, everybody, x, old_x, x]
    np.testing.assert_allclose(model.scores(np.arange(8)), expected, rtol=1e-6)
    assert model.item_vectors().shape == (3, 3)
    assert model.user_vectors(np.array([0, 3])).sum() == 2
    assert model.personal


def test_no_segment_is_large_enough() -> None:
    model = Popularity(half_life_days=None, segments=[COUNTRY], min_segment_users=9)
    model.attach(people(["x"] * 8, [None] * 8))
    np.testing.assert_allclose(model.scores(np.arange(8)), np.full((8, 3), 1 / 3), rtol=1e-6)


def test_made_of_a_profile_and_kept(tmp_path: Path) -> None:
    model = of_profile("{kind: popularity, segments: [country], min_segment_users: 3, segment_prior: 7}")
    model.save(tmp_path)
    loaded = Popularity.load(tmp_path)
    for one in (model, loaded):
        assert [feature.name for feature in one.segments] == ["country"]
        assert (one.half_life_days, one.min_segment_users, one.segment_prior) == (60, 3, 7)
    with pytest.raises(ConfigError, match="segments names 'age_band', .*: there are country; list it in features.user"):
        of_profile("{kind: popularity, segments: [age_band]}")
    with pytest.raises(ValueError, match="country is listed twice"):
        of_profile("{kind: popularity, segments: [country, country]}")


def test_an_artifact_of_before_there_were_segments_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"kind": "popularity", "half_life_days": 60.0}')
    assert Popularity.load(tmp_path).segments == ()


def of_profile(section: str) -> Popularity:
    profile = Profile.model_validate(yaml.safe_load(f"{PROFILE}\nmodel: {section}"))
    model = new_model(profile.model, profile)
    assert isinstance(model, Popularity)
    return model
