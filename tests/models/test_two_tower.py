import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommender.columns import CATEGORY
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import TrainingRows
from recommender.errors import TrainingError
from recommender.models.registry import MODELS
from recommender.models.two_tower import TwoTower
from tests.models.mixin import ModelContract
from tests.models.worlds import (
    ITEM_FEATURES,
    ITEMS,
    USER_FEATURES,
    USERS,
    checkerboard,
    rows_of,
    tomorrow_with_newcomers,
    truth_of,
)

SMALL = TwoTowerConfig(dimension=16, history_length=6, batch_size=64, max_epochs=25)


class TestTwoTower(ModelContract):
    def make(self, seed: int = 1, config: TwoTowerConfig = SMALL) -> TwoTower:
        return TwoTower(config, Training(seed=seed, device="cpu"), USER_FEATURES, ITEM_FEATURES)

    def test_another_seed_gives_other_weights(self) -> None:
        assert not np.array_equal(self.fitted(seed=1).item_vectors(), self.fitted(seed=2).item_vectors())

    def test_new_items_follow_their_category(self) -> None:
        model = self.fitted()
        model.attach(tomorrow_with_newcomers())
        scores = model.user_vectors() @ model.item_vectors().T
        newcomers = np.arange(ITEMS, ITEMS + 4)
        same = scores[:USERS][:, newcomers][np.arange(USERS)[:, None] % 2 == newcomers % 2]
        other = scores[:USERS][:, newcomers][np.arange(USERS)[:, None] % 2 != newcomers % 2]
        assert same.min() > other.max()

    def test_new_users_follow_their_country(self) -> None:
        model = self.fitted()
        model.attach(tomorrow_with_newcomers())
        scores = model.user_vectors(np.array([USERS, USERS + 1])) @ model.item_vectors().T
        assert scores[0, 0::2].mean() > scores[0, 1::2].mean()
        assert scores[1, 1::2].mean() > scores[1, 0::2].mean()

    def test_early_stop_restores_the_best_epoch(self) -> None:
        model, dataset = self.make(), checkerboard()
        lines: list[str] = []
        report = model.fit(dataset, rows_of(dataset), truth_of(dataset), progress=lines.append)
        recalls = [entry["recall"] for entry in report.history]
        assert report.epochs == int(np.argmax(recalls)) + 1
        assert len(recalls) <= report.epochs + SMALL.patience
        top = model.recommend(truth_of(dataset).users, 20).items
        relevant = truth_of(dataset).relevant.toarray()
        hits = (relevant[np.arange(len(top))[:, None], top] * (top >= 0)).sum(1)
        assert (hits / relevant.sum(1)).mean() == pytest.approx(max(recalls))
        assert all(word in lines[0] for word in ("epoch 1/25", "loss", "recall@20", " s,", "examples/s"))

    def test_epochs_are_exact(self) -> None:
        model, dataset = self.make(), checkerboard()
        assert model.fit(dataset, rows_of(dataset), epochs=3).epochs == 3
        assert model.report is not None and len(model.report.history) == 3

    def test_a_loss_that_is_no_number_is_an_error(self) -> None:
        model = self.make(config=SMALL.model_copy(update={"temperature": 1e-45}))
        dataset = checkerboard()
        with pytest.raises(TrainingError, match="loss became"):
            model.fit(dataset, rows_of(dataset))

    def test_missing_feature_is_named(self) -> None:
        dataset = checkerboard()
        rows = rows_of(dataset)
        rows.item_features.drop(columns=CATEGORY, inplace=True)
        with pytest.raises(TrainingError, match=CATEGORY):
            self.make().fit(dataset, rows)

    def test_works_without_any_feature(self) -> None:
        dataset = checkerboard()
        rows = rows_of(dataset)
        model = TwoTower(SMALL, Training(device="cpu"), [], [])
        model.fit(dataset, rows)
        assert model.recommend(np.arange(USERS), 4).items.shape == (USERS, 4)

    def test_onnx_agrees_with_torch(self, tmp_path: Path) -> None:
        result = self.fitted().export_onnx(tmp_path)
        assert result["onnx_max_abs_diff"] < 1e-5
        assert sorted(result["files"]) == sorted(path.name for path in tmp_path.iterdir())

    def test_artifact_has_nothing_pickled(self, tmp_path: Path) -> None:
        self.fitted().save(tmp_path)
        assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".parquet", ".safetensors"}
        assert list(pd.read_parquet(tmp_path / "item_ids.parquet")["item_id"]) == list(checkerboard().item_ids)

    def test_every_statistic_is_from_training_rows_and_travels_with_the_model(self, tmp_path: Path) -> None:
        dataset = checkerboard()
        poisoned = dataclasses.replace(
            dataset,
            user_features=dataset.user_features.assign(events_total=1e9, country="nowhere"),
            item_features=dataset.item_features.assign(events_total=np.nan, category=None),
        )
        saved = []
        for name, seen in (("clean", dataset), ("poisoned", poisoned)):
            (tmp_path / name).mkdir()
            model = self.make()
            model.fit(seen, rows_of(dataset), truth_of(dataset) if name == "clean" else None, epochs=1)
            model.save(tmp_path / name)
            saved.append([(tmp_path / name / f"{entity}_encoder.json").read_text() for entity in ("user", "item")])
            assert TwoTower.load(tmp_path / name).preprocessing == model.preprocessing
        assert saved[0] == saved[1]

    def test_what_the_k_core_leaves_out_is_treated_as_new(self) -> None:
        dataset = checkerboard()
        everything = rows_of(dataset)
        left_out = (dataset.user == 3) | (dataset.item == 5)
        rows = TrainingRows(
            event=everything.event[~left_out],
            user_features=everything.user_features[~left_out].reset_index(drop=True),
            item_features=everything.item_features[~left_out].reset_index(drop=True),
            outside=everything.event[left_out],
        )
        model = self.make()
        model.fit(dataset, rows, epochs=2)
        newcomer = checkerboard()
        newcomer.user_ids[3], newcomer.item_ids[5] = "someone", "something"
        before = model.user_vectors(), model.item_vectors()
        model.attach(newcomer)
        np.testing.assert_array_equal(model.item_vectors(), before[1])
        np.testing.assert_array_equal(model.user_vectors(), before[0])

    def test_registered(self) -> None:
        assert MODELS["two_tower"] is TwoTower
