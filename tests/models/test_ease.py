import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from recommender.config.classic import Ease as EaseConfig
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.data.dataset import TrainingRows
from recommender.errors import ArtifactError, ConfigError, TrainingError
from recommender.features.definitions import Feature
from recommender.models.ease import Ease
from recommender.models.registry import MODELS, new_model
from tests.models.mixin import ModelContract
from tests.models.worlds import (
    ITEM_FEATURES,
    ITEMS,
    PROFILE,
    USERS,
    checkerboard,
    rows_of,
    tomorrow_with_newcomers,
)

PLAIN = EaseConfig(regularisation=5, side_weight=1, half_life_days=None)
CREATOR = Feature("creator", "item", "categorical", False, "attribute", None, "who made it")


class TestEase(ModelContract):
    def make(self, seed: int = 1, config: EaseConfig = PLAIN) -> Ease:
        return Ease(config, Training(seed=seed), ITEM_FEATURES[1:])

    def trained(self, config: EaseConfig, side: list[Feature]) -> Ease:
        model, dataset = Ease(config, Training(), side), checkerboard()
        model.fit(dataset, rows_of(dataset))
        return model

    @pytest.mark.parametrize("weight", [0.0, 3.0])
    def test_each_item_is_predicted_from_all_others_by_least_squares(self, weight: float) -> None:
        model = self.trained(PLAIN.model_copy(update={"side_weight": weight}), ITEM_FEATURES[1:])
        seen = checkerboard().seen.toarray().astype(np.float64)
        colours = np.arange(2)[:, None] == np.arange(ITEMS) % 2
        rows = np.concatenate([seen, np.sqrt(weight) * colours])
        expected = np.zeros((USERS, ITEMS))
        for item in range(ITEMS):  # a ridge regression of its own for each column, none of them the closed form
            others = np.arange(ITEMS) != item
            gram = rows[:, others].T @ rows[:, others] + 5 * np.eye(ITEMS - 1)
            expected[:, item] = seen[:, others] @ np.linalg.solve(gram, rows[:, others].T @ rows[:, item])
        np.testing.assert_allclose(model.scores(np.arange(USERS)), expected, atol=2e-5)

    def test_recent_events_count_more_but_none_less_than_the_floor(self) -> None:
        decayed = self.trained(PLAIN.model_copy(update={"half_life_days": 10.0, "floor": 0.25}), [])
        plain = self.trained(PLAIN, [])
        dataset = checkerboard()
        first = dataclasses.replace(dataset, **{n: getattr(dataset, n)[:1] for n in ("user", "item", "ts", "weight")})
        age = (dataset.until - dataset.ts[0]) / 86_400
        decayed.attach(first)
        plain.attach(first)
        weight = 0.25 + 0.75 * 0.5 ** (age / 10)
        one = np.array([0])
        np.testing.assert_allclose(decayed.scores(one), plain.scores(one) * weight, rtol=1e-4, atol=1e-7)

    def test_similar_items_are_by_partial_correlation(self) -> None:
        model = self.trained(PLAIN, [])
        seen = checkerboard().seen.toarray().astype(np.float64)
        inverse = np.linalg.inv(seen.T @ seen + 5 * np.eye(ITEMS))
        alike = -inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
        np.fill_diagonal(alike, -np.inf)
        np.testing.assert_allclose(model.similar_items(5).scores, -np.sort(-alike, axis=1)[:, :5], atol=1e-5)

    def test_new_items_follow_their_creator(self) -> None:
        dataset = checkerboard()
        frame = dataset.item_features.assign(creator=[f"c{item % 2}" for item in range(ITEMS)])
        model = Ease(PLAIN, Training(), [CREATOR])
        model.fit(dataclasses.replace(dataset, item_features=frame), rows_of(dataset))
        tonight = checkerboard(items=ITEMS + 3)
        creators = [*frame["creator"], "c0", "c1", "nobody knows"]
        model.attach(dataclasses.replace(tonight, item_features=tonight.item_features.assign(creator=creators)))
        scores = model.scores(np.arange(USERS))
        even = np.arange(USERS) % 2 == 0
        assert scores[even, ITEMS].min() > scores[even, ITEMS + 1].max()
        assert scores[~even, ITEMS + 1].min() > scores[~even, ITEMS].max()
        np.testing.assert_allclose(scores[:, ITEMS], scores[:, 0:ITEMS:2].mean(axis=1) / 2, rtol=1e-4, atol=1e-7)
        assert not scores[:, ITEMS + 2].any()

    def test_too_many_items_are_refused_with_the_memory_and_the_cure(self) -> None:
        with pytest.raises(
            TrainingError, match=r"0\.0 GiB for 24 items with .*max_items is 23: raise it, .* kind: ials"
        ):
            self.trained(PLAIN.model_copy(update={"max_items": ITEMS - 1}), [])

    def test_without_events_there_is_nothing_to_learn(self) -> None:
        dataset = checkerboard()
        rows = rows_of(dataset)
        nobody = TrainingRows(rows.event[:0], rows.user_features[:0], rows.item_features[:0], outside=rows.event)
        with pytest.raises(TrainingError, match="ease has no events"):
            self.make().fit(dataset, nobody)

    def test_what_the_k_core_leaves_out_is_treated_as_new(self) -> None:
        dataset = checkerboard()
        rows = rows_of(dataset)
        outside = np.flatnonzero(dataset.item == 5)
        model = self.make()
        model.fit(
            dataset, TrainingRows(rows.event[:0], rows.user_features[:0], rows.item_features[:0], outside=outside)
        )
        assert "i005" not in model._fitted()
        assert model.scores(np.arange(USERS)).shape == (USERS, ITEMS)

    def test_artifact_holds_half_the_matrix_and_nothing_pickled(self, tmp_path: Path) -> None:
        self.fitted().save(tmp_path)
        assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".parquet", ".safetensors"}
        assert list(pd.read_parquet(tmp_path / "item_ids.parquet")["item_id"]) == list(checkerboard().item_ids)
        assert (tmp_path / "weights.safetensors").stat().st_size < 4 * ITEMS * (ITEMS + 1) / 2 + 4 * ITEMS + 400

    def test_a_feature_that_means_something_else_is_refused(self) -> None:
        model = self.fitted()
        with pytest.raises(ArtifactError, match="other definitions of category"):
            model.attach(dataclasses.replace(checkerboard(), feature_versions={"item": {"category": "another"}}))
        tonight = tomorrow_with_newcomers()
        tonight.item_features.drop(columns="category", inplace=True)
        with pytest.raises(ArtifactError, match="category, which the snapshots"):
            model.attach(tonight)

    def test_made_of_a_profile(self) -> None:
        assert [feature.name for feature in self.of_profile("{kind: ease}").side] == ["category"]
        assert self.of_profile("{kind: ease, side_features: []}").side == ()
        with pytest.raises(ConfigError, match="side_features names 'creator'"):
            self.of_profile("{kind: ease, side_features: [creator]}")
        with pytest.raises(ValueError, match="category is listed twice"):
            EaseConfig(side_features=("category", "category"))

    def of_profile(self, section: str) -> Ease:
        profile = Profile.model_validate(yaml.safe_load(f"{PROFILE}\nmodel: {section}"))
        model = new_model(profile.model, profile)
        assert isinstance(model, MODELS["ease"])
        assert isinstance(model, Ease)
        return model
