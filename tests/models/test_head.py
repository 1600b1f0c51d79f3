import copy
import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

from recommender.config.head import Head as HeadConfig
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.config.yaml12 import load_yaml
from recommender.data.dataset import Dataset, TrainingRows
from recommender.errors import NotReadyError, TrainingError
from recommender.models.base import Model, Support
from recommender.models.head import figures
from recommender.models.head.model import Head
from recommender.models.head.objective import Pairs
from recommender.models.head.prediction import PredictionHead
from recommender.models.registry import MODELS, new_model
from recommender.models.two_tower import TwoTower
from tests.models.mixin import ModelContract
from tests.models.worlds import (
    ITEM_FEATURES,
    ITEMS,
    PROFILE,
    USER_FEATURES,
    USERS,
    checkerboard,
    rows_of,
    truth_of,
)

TOWERS = TwoTowerConfig(dimension=8, history_length=6, batch_size=64, max_epochs=12)
SMALL = HeadConfig(towers=TOWERS, layers=(16,), batch_size=64, learning_rate=0.02, averaging=0.9, depth=12)
EVERYBODY = np.arange(USERS)


def made(config: HeadConfig = SMALL, seed: int = 1) -> Head:
    training = Training(seed=seed, device="cpu")
    return Head(config, training, TwoTower(config.towers, training, USER_FEATURES, ITEM_FEATURES))


@cache
def fitted_once(config: HeadConfig) -> Head:
    model = made(config)
    model.fit(checkerboard(), rows_of(checkerboard()))
    return model


class TestHead(ModelContract):
    config = SMALL

    def make(self, seed: int = 1) -> Head:
        return made(self.config, seed)

    def fitted(self, seed: int = 1) -> Model:
        """Copies of one fit, but for the test that compares two."""
        return super().fitted(seed) if seed != 1 else copy.deepcopy(fitted_once(self.config))


def test_the_head_orders_the_towers_best_and_the_rest_follows_in_theirs() -> None:
    model = copy.deepcopy(fitted_once(SMALL))
    model.config = SMALL.model_copy(update={"depth": 5})
    by_towers, scores = model.towers.scores(EVERYBODY), model.scores(EVERYBODY)
    users, items = model.towers.user_vectors(), model.towers.item_vectors()
    seen = model.dataset.seen.toarray() > 0
    for user in EVERYBODY:
        unseen = np.flatnonzero(~seen[user])
        best = unseen[np.argsort(-by_towers[user, unseen])]
        head = model.prediction.logits(np.repeat(users[[user]], 5, 0), items[best[:5]])
        np.testing.assert_allclose(scores[user, best[:5]], head, rtol=1e-4, atol=1e-5)
        assert (np.diff(scores[user, best[5:]]) <= 0).all() and scores[user, best[5]] < head.min()
        assert list(model.recommend(np.array([user]), 5).items[0]) == list(best[:5][np.argsort(-head)])


def test_the_report_tells_towers_head_and_held_out_pairs_apart() -> None:
    lines: list[str] = []
    board = checkerboard(users=USERS)
    model = made()
    report = model.fit(board, rows_of(board), truth_of(board), progress=lines.append)
    last = report.history[-1]
    assert last["auc"] > 0.9 and last["accuracy"] > 0.7 and last["recall"] > 0.9
    assert [entry for entry in report.history if "recall" in entry] == [last]
    assert len([entry for entry in report.history if "towers_recall" in entry]) >= report.epochs
    assert any("auc" in line for line in lines)
    assert model.fit(board, rows_of(board), epochs=2).epochs == 2


def rated(dataset: Dataset) -> Dataset:
    """White items are worth 5 to everybody and black ones 1, and now everybody has met both."""
    user = np.repeat(np.arange(USERS, dtype=np.int32), met := 10)
    item = np.concatenate([np.random.default_rng(u).permutation(ITEMS)[:met] for u in range(USERS)]).astype(np.int32)
    ts = np.tile(dataset.until - np.arange(met, 0, -1) * 86_400, USERS)
    weight = np.where(item % 2 == 0, 5.0, 1.0).astype(np.float32)
    return dataclasses.replace(dataset, user=user, item=item, ts=ts, weight=weight)


def test_a_regression_predicts_the_weight_of_events() -> None:
    board = rated(checkerboard())
    model = made(SMALL.model_copy(update={"target": "regression", "depth": ITEMS, "max_epochs": 15}))
    report = model.fit(board, rows_of(board), epochs=12)
    assert report.history[-1]["rmse"] < 1 and report.history[-1]["mae"] <= report.history[-1]["rmse"]
    users, items = model.towers.user_vectors(), model.towers.item_vectors()
    white, black = (model.prediction.score(users, np.repeat(items[[item]], USERS, axis=0)).mean() for item in (0, 1))
    assert white == pytest.approx(5, abs=1) and black == pytest.approx(1, abs=1)


@pytest.mark.parametrize("train_towers", [False, True])
def test_towers_learn_on_only_where_asked(train_towers: bool) -> None:
    config = SMALL.model_copy(update={"train_towers": train_towers})
    board = checkerboard()
    alone = made(config).towers
    alone.fit(board, rows_of(board), epochs=3)
    model = made(config)
    model.fit(board, rows_of(board), epochs=3)
    assert np.array_equal(model.towers.item_vectors(), alone.item_vectors()) != train_towers


def test_towers_that_are_fitted_already_are_taken() -> None:
    board = checkerboard()
    towers = made().towers
    towers.fit(board, rows_of(board), epochs=3)
    model = made()
    model.fit(board, rows_of(board), support=Support(fitted={TOWERS.model_dump_json(): towers}))
    assert model.towers is towers and model.report is not None and model.report.epochs == 3


def test_onnx_agrees_with_torch(tmp_path: Path) -> None:
    model = copy.deepcopy(fitted_once(SMALL))
    result = model.export_onnx(tmp_path)
    assert result["onnx_max_abs_diff"] < 1e-5
    assert sorted(result["files"]) == sorted(path.name for path in tmp_path.iterdir())
    session = onnxruntime.InferenceSession(str(tmp_path / "head.onnx"))
    users, items = model.towers.user_vectors()[:24], model.towers.item_vectors()
    for rows in (1, 24):
        (found,) = session.run(["prediction"], {"user_vector": users[:rows], "item_vector": items[:rows]})
        np.testing.assert_allclose(found, model.prediction.score(users[:rows], items[:rows]), atol=1e-5)


def test_registered() -> None:
    yaml = PROFILE + "model: {kind: head, depth: 50, towers: {dimension: 32}}\n"
    profile = Profile.model_validate(load_yaml(yaml))
    model = new_model(profile.model, profile)
    assert isinstance(model, Head) and MODELS["head"] is Head
    assert model.towers.config.dimension == 32 and model.config.depth == 50


def test_meeting_an_item_again_makes_it_no_likelier_to_be_drawn() -> None:
    once = checkerboard()
    again = np.flatnonzero(np.append(np.diff(once.user) != 0, True))  # everybody's latest item twenty times
    event = np.sort(np.append(np.arange(len(once.user)), np.repeat(again, 20)))
    often = dataclasses.replace(
        once, user=once.user[event], item=once.item[event], ts=once.ts[event], weight=once.weight[event]
    )
    config = TOWERS.model_copy(update={"history": "none", "id_dropout": 0.0})
    towers = TwoTower(config, Training(device="cpu"), USER_FEATURES, ITEM_FEATURES)
    towers.fit(once, rows_of(once), epochs=1)
    network = PredictionHead(SMALL, Training(device="cpu")).fresh(towers.config.vector_width, 1.0)
    losses = []
    for board in (once, often):
        towers.attach(board)
        pairs = Pairs(towers.objective(rows_of(board)), SMALL)
        losses.append([loss.item() for loss, _ in pairs.losses(network.eval(), np.random.default_rng(0))])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_negatives_as_popular_as_targets_are_corrected_for() -> None:
    """Without any taste the best logit of an item, for any user, grows as the log of its popularity does."""
    rng = np.random.default_rng(0)
    users, often = 300, np.repeat(np.arange(40), np.repeat([1, 4, 16], [20, 12, 8]))
    user = np.repeat(np.arange(users), 6)
    item = rng.permuted(np.tile(often, (users, 1)), axis=1)[:, :6].ravel()
    board = dataclasses.replace(
        checkerboard(users=users, items=40),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        ts=rng.integers(0, 10**9, len(user)),
        weight=np.ones(len(user), np.float32),
    )
    rows = TrainingRows(np.arange(len(user)), pd.DataFrame(index=user), pd.DataFrame(index=user))
    config = TOWERS.model_copy(update={"dimension": 40, "fusion": "identity", "batch_size": 200, "item_bias": False})
    towers = TwoTower(config, Training(device="cpu"), [], [])
    towers.fit(board, rows, epochs=1)
    with torch.no_grad():  # each item's vector says which it is
        towers.modules["item"].ids.weight[1:] = torch.eye(40)[: towers.modules["item"].ids.num_embeddings - 1]
    config = SMALL.model_copy(update={"towers": config})
    pairs = Pairs(towers.objective(rows), config)
    chosen, others, offsets = np.zeros(40), np.zeros(40), np.zeros(40)
    for epoch in range(30):
        for _, items, targets, _, offset in pairs._pairs(np.random.default_rng(epoch)):
            place = items.argmax(1).numpy()
            known = items.max(1).values.numpy() > 0.9  # some ids are hidden
            np.add.at(chosen, place[known], targets.numpy()[known])
            np.add.at(others, place[known], 1 - targets.numpy()[known])
            offsets[place[known]] = offset.numpy()[known]
    best = np.log(chosen) - np.log(others) - offsets
    slope = np.polyfit(np.log(chosen), best, 1)[0]
    assert slope == pytest.approx(1, abs=0.25)


class TestPredictionHead:
    """Users fit an item by the product of their first numbers, which no sum of the two tells."""

    def pairs(self) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
        rng = np.random.default_rng(0)
        users, items = (rng.normal(size=(50, 4)).astype(np.float32) for _ in range(2))
        pairs = (rng.integers(0, 50, 2000), rng.integers(0, 50, 2000))
        return users, items, pairs, users[pairs[0], 0] * items[pairs[1], 0]

    def make(self, target: str, epochs: int = 15) -> PredictionHead:
        config = HeadConfig(layers=(16,), target=target, max_epochs=epochs, learning_rate=0.02, averaging=0.9)  # type: ignore[arg-type]
        return PredictionHead(config.model_copy(update={"batch_size": 128}), Training(device="cpu"))

    def test_classifies(self) -> None:
        users, items, pairs, product = self.pairs()
        head = self.make("classification")
        report = head.fit(users, items, pairs, (product > 0).astype(np.float32))
        assert report.history[-1]["auc"] > 0.95 and report.history[-1]["accuracy"] > 0.9
        found = head.score(users[pairs[0]], items[pairs[1]])
        assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
        order = np.argsort(head.logits(users[pairs[0]], items[pairs[1]]))
        assert (np.diff(found[order]) >= 0).all()

    def test_regresses_in_the_targets_unit(self) -> None:
        users, items, pairs, product = self.pairs()
        report = self.make("regression").fit(users, items, pairs, 100 + 20 * product)
        assert report.history[-1]["rmse"] < 0.4 * 20 * product.std()
        assert 0 < report.history[-1]["mae"] < report.history[-1]["rmse"]

    def test_weights_say_what_counts(self) -> None:
        users, items, pairs, product = self.pairs()
        targets = np.where(np.arange(2000) % 2 == 0, product > 0, product <= 0).astype(np.float32)
        head = self.make("classification")
        head.fit(users, items, pairs, targets, weights=(np.arange(2000) % 2 == 0).astype(np.float32))
        found = head.score(users[pairs[0]], items[pairs[1]])
        assert figures.classification(found, (product > 0).astype(np.float32))["auc"] > 0.95

    def test_is_kept_in_files_and_the_same_each_time(self, tmp_path: Path) -> None:
        users, items, pairs, product = self.pairs()
        heads = [self.make("regression", 2), self.make("regression", 2)]
        for head in heads:
            head.fit(users, items, pairs, product)
        heads[0].save(tmp_path)
        assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
        heads.append(PredictionHead.load(tmp_path))
        for head in heads[1:]:
            np.testing.assert_array_equal(head.score(users, items), heads[0].score(users, items))
        assert heads[2].export_onnx(tmp_path)["onnx_max_abs_diff"] < 1e-5

    def test_needs_pairs(self) -> None:
        users, items, pairs, product = self.pairs()
        with pytest.raises(NotReadyError, match="fit"):
            self.make("regression").score(users, items)
        with pytest.raises(TrainingError, match="two pairs"):
            self.make("regression").fit(users, items, (pairs[0][:1], pairs[1][:1]), product[:1])


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(3)
    scores, labels = rng.integers(0, 6, 40).astype(np.float32), rng.integers(0, 2, 40).astype(np.float32)
    wins = [0.5 if a == b else float(a > b) for a in scores[labels == 1] for b in scores[labels == 0]]
    assert figures.classification(scores, labels)["auc"] == pytest.approx(np.mean(wins))
    assert figures.classification(scores, np.ones(40)) == {}
    assert figures.regression(np.array([1.0, 3.0]), np.array([1.0, 6.0])) == pytest.approx(
        {"rmse": np.sqrt(4.5), "mae": 1.5}
    )
    assert pd.isna(list(figures.regression(scores, labels).values())).sum() == 0
