import copy
import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from pydantic import ValidationError

from recommender.config.ncf import Ncf as NcfConfig
from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.config.yaml12 import load_yaml
from recommender.data.dataset import Dataset
from recommender.errors import ArtifactError, TrainingError
from recommender.models.base import Model, Support
from recommender.models.ncf.model import Ncf
from recommender.models.ncf.network import NcfNetwork, Part
from recommender.models.popularity import Popularity
from recommender.models.registry import MODELS, new_model
from tests.models.mixin import ModelContract
from tests.models.worlds import (
    ITEM_FEATURES,
    ITEMS,
    PROFILE,
    USER_FEATURES,
    USERS,
    checkerboard,
    rows_of,
    tomorrow_with_newcomers,
    truth_of,
)

SMALL = NcfConfig(dimension=8, layers=(16, 8), batch_size=64, learning_rate=0.02, max_epochs=12, averaging=0.9)
WITH_METADATA = SMALL.model_copy(update={"metadata": True, "id_dropout": 0.3})
NEW_USERS, NEW_ITEMS = np.array([USERS, USERS + 1]), np.arange(ITEMS, ITEMS + 4)


def made(config: NcfConfig = SMALL, seed: int = 1) -> Ncf:
    return Ncf(config, Training(seed=seed, device="cpu"), USER_FEATURES, ITEM_FEATURES)


class NcfContract(ModelContract):
    config = SMALL

    def make(self, seed: int = 1) -> Ncf:
        return made(self.config, seed)

    def fitted(self, seed: int = 1) -> Model:
        """Copies of one fit, but for the test that compares two."""
        return super().fitted(seed) if seed != 1 else copy.deepcopy(fitted_once(self.config))


@cache
def fitted_once(config: NcfConfig) -> Ncf:
    model = made(config)
    model.fit(checkerboard(), rows_of(checkerboard()))
    return model


class TestGmf(NcfContract):
    config = SMALL.model_copy(update={"architecture": "gmf"})


class TestMlp(NcfContract):
    config = SMALL.model_copy(update={"architecture": "mlp", "max_epochs": 20})
    similar_colours = False  # dense layers need not put likes side by side


class TestNeuMf(NcfContract):
    config = WITH_METADATA

    def test_new_items_follow_their_category_and_new_users_their_country(self) -> None:
        model = self.fitted()
        model.attach(tomorrow_with_newcomers())
        scores = model.scores(np.arange(USERS + 2))
        same = np.arange(USERS + 2)[:, None] % 2 == np.arange(ITEMS + 4) % 2
        for part in (np.ix_(np.arange(USERS), NEW_ITEMS), np.ix_(NEW_USERS, np.arange(ITEMS))):
            assert scores[part][same[part]].mean() > scores[part][~same[part]].mean() + 1


@pytest.mark.parametrize("architecture", ["gmf", "mlp", "neumf"])
def test_a_block_of_pairs_is_each_pair_by_itself(architecture: str) -> None:
    """The network's first layer, split in two, is the layer over both embeddings side by side."""
    config = SMALL.model_copy(update={"architecture": architecture})
    network = NcfNetwork(5, 7, [], [], config).eval()
    users, items = torch.arange(6), torch.arange(8)
    none = torch.zeros(48, 0, dtype=torch.long)
    pairs = network(users.repeat_interleave(8), items.repeat(6), none, none).view(6, 8)
    block = network.block(network.user(users, none[:6]), network.item(items, none[:8]))
    torch.testing.assert_close(block, pairs)
    assert isinstance(network.user(users, none[:6]), Part)
    expected = torch.zeros(6, 8)
    factors = 8 if architecture != "mlp" else 0
    user, item = network.user.ids.weight, network.item.ids.weight
    if network.factor_output is not None:
        expected += torch.einsum("ud,id,d->ui", user[:, :factors], item[:, :factors], network.factor_output.weight[0])
    if network.deep is not None and network.user.first is not None and network.item.first is not None:
        side_by_side = torch.cat([user[:, None, factors:].expand(6, 8, 8), item[None, :, factors:].expand(6, 8, 8)], -1)
        joined = torch.cat([network.user.first.weight, network.item.first.weight], 1)
        hidden = torch.relu(side_by_side @ joined.T + network.item.first.bias)
        second: torch.nn.Linear = network.deep[2]  # type: ignore[assignment]
        last: torch.nn.Linear = network.deep[-1]  # type: ignore[assignment]
        expected += (torch.relu(second(hidden)) @ last.weight.T).squeeze(-1)
    torch.testing.assert_close(block, expected)


def test_unknown_users_get_what_is_popular() -> None:
    model = made()
    model.fit(checkerboard(), rows_of(checkerboard()), epochs=2)
    model.attach(tomorrow_with_newcomers())
    popular = Popularity()
    popular.attach(tomorrow_with_newcomers())
    everybody = np.append(np.arange(3), NEW_USERS)
    assert list(model.knows(everybody)) == [True] * 3 + [False] * 2
    expected = popular.scores(NEW_USERS)
    np.testing.assert_array_equal(np.argmax(model.scores(everybody)[3:], 1), expected.argmax(1))
    order = np.argsort(expected[0])
    assert (np.diff(model.scores(NEW_USERS)[0][order]) >= 0).all()


def test_unknown_items_share_one_embedding() -> None:
    model = made()
    model.fit(checkerboard(), rows_of(checkerboard()), epochs=2)
    model.attach(tomorrow_with_newcomers())
    scores = model.scores(np.arange(USERS))[:, NEW_ITEMS]
    np.testing.assert_allclose(scores, np.repeat(scores[:, :1], 4, axis=1), rtol=1e-5)


@pytest.mark.parametrize("loss", ["bce", "bpr", "sampled_softmax"])
@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_every_loss_finds_the_colour(loss: str, negatives: str) -> None:
    model = made(SMALL.model_copy(update={"loss": loss, "negatives": negatives}))
    lines: list[str] = []
    report = model.fit(checkerboard(), rows_of(checkerboard()), truth_of(checkerboard()), progress=lines.append)
    assert max(entry["recall"] for entry in report.history) == 1
    assert "recall@20" in lines[0]


def test_who_has_met_everything_is_left_out() -> None:
    board = checkerboard()
    user = np.concatenate([np.zeros(ITEMS, np.int32), board.user[board.user > 0]])
    item = np.concatenate([np.arange(ITEMS, dtype=np.int32), board.item[board.user > 0]])
    extra = np.full(ITEMS, board.ts.min())
    full = dataclasses.replace(
        board,
        user=user,
        item=item,
        ts=np.concatenate([extra, board.ts[board.user > 0]]),
        weight=np.ones(len(user), np.float32),
    )
    made().fit(full, rows_of(full), epochs=1)
    only = dataclasses.replace(board, user=user[:ITEMS], item=item[:ITEMS], ts=extra, weight=np.ones(ITEMS, np.float32))
    with pytest.raises(TrainingError, match="others left to meet"):
        made().fit(only, rows_of(only), epochs=1)


def test_going_on_keeps_what_was_learnt_and_new_ids_start_as_the_unknown() -> None:
    before = made()
    before.fit(checkerboard(), rows_of(checkerboard()), epochs=3)
    grown = _with_events_of_newcomers()
    after = made(SMALL.model_copy(update={"learning_rate": 1e-12, "weight_decay": 0.0}))
    after.fit(grown, rows_of(grown), epochs=1, support=Support(start=before))
    before.attach(grown)
    np.testing.assert_allclose(after.scores(np.arange(USERS)), before.scores(np.arange(USERS)), rtol=1e-4, atol=1e-4)
    with pytest.raises(ArtifactError, match="train from scratch"):
        made(SMALL.model_copy(update={"dimension": 4})).fit(
            grown, rows_of(grown), epochs=1, support=Support(start=before)
        )
    with pytest.raises(ArtifactError, match="popularity"):
        made().fit(grown, rows_of(grown), epochs=1, support=Support(start=Popularity()))


def _painted(whites: int, *others: str) -> Dataset:
    """The first items are white, the rest has the other colours in turn."""
    board = checkerboard()
    colours = ["white"] * whites + [others[n % len(others)] for n in range(ITEMS - whites)]
    return dataclasses.replace(board, item_features=board.item_features.assign(category=colours))


def _by_category(model: Ncf) -> dict[str, torch.Tensor]:
    fitted = model._trained()
    vocabulary, table = fitted.encoders[1].of_categories[0].vocabulary, fitted.network.item.categories[0].weight
    return {"other": table[1].detach(), **{value: table[n].detach() for n, value in enumerate(vocabulary.values, 2)}}


@pytest.mark.parametrize(
    ("whites", "others"),
    [(6, ["black"]), (18, ["grey"]), (12, ["black", "grey"])],
    ids=["the rarer one became the frequent one", "one took another's place", "one more"],
)
def test_going_on_finds_categories_by_their_name(whites: int, others: list[str]) -> None:
    start, before = made(WITH_METADATA), _painted(18, "black")
    start.fit(before, rows_of(before), epochs=3)
    tonight = _painted(whites, *others)
    model = made(WITH_METADATA.model_copy(update={"learning_rate": 1e-12, "weight_decay": 0.0}))
    model.fit(tonight, rows_of(tonight), epochs=1, support=Support(start=start))
    then, now = _by_category(start), _by_category(model)
    assert set(now) == {"other", "white", *others}
    for colour, vector in now.items():
        torch.testing.assert_close(vector, then.get(colour, then["other"]), atol=1e-6, rtol=0)


def test_going_on_with_other_categories_is_refused() -> None:
    start, board = made(WITH_METADATA), checkerboard()
    start.fit(board, rows_of(board), epochs=1)
    creators = [ITEM_FEATURES[0], dataclasses.replace(ITEM_FEATURES[1], name="creator")]
    tonight = dataclasses.replace(board, item_features=board.item_features.rename(columns={"category": "creator"}))
    other = Ncf(WITH_METADATA, Training(seed=1, device="cpu"), USER_FEATURES, creators)
    with pytest.raises(ArtifactError, match="other categories.*train from scratch"):
        other.fit(tonight, rows_of(tonight), epochs=1, support=Support(start=start))


def _with_events_of_newcomers() -> Dataset:
    tomorrow = tomorrow_with_newcomers()
    return dataclasses.replace(
        tomorrow,
        user=np.append(tomorrow.user, NEW_USERS).astype(np.int32),
        item=np.append(tomorrow.item, NEW_ITEMS[:2]).astype(np.int32),
        ts=np.append(tomorrow.ts, [tomorrow.until - 9] * 2),
        weight=np.ones(len(tomorrow.user) + 2, np.float32),
    )


@pytest.mark.parametrize("config", [SMALL, WITH_METADATA], ids=["ids", "metadata"])
def test_onnx_predicts_the_same(config: NcfConfig, tmp_path: Path) -> None:
    model = made(config)
    model.fit(checkerboard(), rows_of(checkerboard()), epochs=1)
    result = model.export_onnx(tmp_path)
    assert result["onnx_max_abs_diff"] < 1e-5
    assert result["files"] == ["ncf.onnx"] == [path.name for path in tmp_path.iterdir()]
    if config is SMALL:
        session = onnxruntime.InferenceSession(str(tmp_path / "ncf.onnx"))
        users, items = np.array([0, 3, 39]), np.array([1, 0, 23])
        (probability,) = session.run(["probability"], {"user": users + 1, "item": items + 1})
        np.testing.assert_allclose(probability, 1 / (1 + np.exp(-model.score(users, items))), atol=1e-5)


def test_artifact_has_nothing_pickled(tmp_path: Path) -> None:
    model = made(WITH_METADATA)
    model.fit(checkerboard(), rows_of(checkerboard()), epochs=1)
    model.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".parquet", ".safetensors"}


def test_data_without_its_categories_is_refused() -> None:
    model = made(WITH_METADATA)
    model.fit(checkerboard(), rows_of(checkerboard()), epochs=1)
    bare = dataclasses.replace(checkerboard(), item_features=checkerboard().item_features[["events_total"]])
    with pytest.raises(ArtifactError, match="category"):
        model.attach(bare)


def test_registered() -> None:
    profile = Profile.model_validate(load_yaml(PROFILE + "model: {kind: ncf, architecture: gmf, metadata: true}\n"))
    model = new_model(profile.model, profile)
    assert isinstance(model, Ncf) and MODELS["ncf"] is Ncf
    assert [feature.name for feature in (*model.user_features, *model.item_features)] == ["country", "category"]
    with pytest.raises(ValidationError, match="architecture: gmf"):
        NcfConfig(layers=())
