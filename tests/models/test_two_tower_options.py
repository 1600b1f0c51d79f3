"""Every fusion, history, loss and the like: trained on the checkerboard, kept, exported."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recommender.config.profile import Profile
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.config.yaml12 import load_yaml
from recommender.data.dataset import TrainingRows
from recommender.errors import ArtifactError, ConfigError, TrainingError
from recommender.models.base import Support
from recommender.models.two_tower import TwoTower
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

OPTIONS: dict[str, dict[str, object]] = {
    "identity": {"fusion": "identity", "history": "mean"},
    "concat": {"fusion": "concat", "loss": "sampled_softmax", "negatives": "uniform"},
    "adaptive_mimic": {"fusion": "adaptive_mimic", "align_by": "category"},
    "gated": {"fusion": "gated", "history": "attention"},
    "batch norm": {"hidden": (12, 8), "normalisation": "batch", "loss": "full_softmax"},
    "layer norm": {"fusion": "gated", "hidden": (12,), "normalisation": "layer", "id_dimension": 8, "loss": "bpr"},
    "dot": {"similarity": "dot", "item_bias": False, "temperature": 1, "loss": "bce", "negatives": "popularity"},
    "no history": {"fusion": "concat", "history": "none", "loss": "cosine_contrastive", "max_epochs": 25},
    "sparse": {"fusion": "adaptive_mimic", "sparse_ids": True, "id_dimension": 8},
    "no ids": {"user_ids": False, "item_ids": False, "loss": "sampled_softmax"},
    "short vectors": {"max_norm": 0.3},
}
COLD = ["concat", "adaptive_mimic", "gated", "batch norm", "layer norm", "dot", "no ids", "sparse"]


def config(**keys: object) -> TwoTowerConfig:
    small = {"dimension": 16, "history_length": 6, "batch_size": 64, "max_epochs": 8, "learning_rate": 0.015}
    return TwoTowerConfig.model_validate(small | keys)


def made(name: str) -> TwoTower:
    return TwoTower(config(**OPTIONS[name]), Training(seed=1, device="cpu"), USER_FEATURES, ITEM_FEATURES)


@cache
def fitted(name: str) -> TwoTower:
    model, dataset = made(name), checkerboard()
    model.fit(dataset, rows_of(dataset))
    return model


@pytest.fixture(params=list(OPTIONS))
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_finds_the_right_colour(name: str) -> None:
    model = fitted(name)
    top = model.recommend(np.arange(USERS), 4)
    assert (top.items % 2 == np.arange(USERS)[:, None] % 2).mean() > 0.9
    assert model.item_vectors().shape == (ITEMS, model.config.vector_width)
    assert np.isfinite(model.user_vectors()).all()


@pytest.mark.parametrize("name", COLD)
def test_new_items_follow_their_category(name: str, tmp_path: Path) -> None:
    model = copy_of(fitted(name), tmp_path)
    model.attach(tomorrow_with_newcomers())
    scores = (model.user_vectors() @ model.item_vectors().T)[:USERS, ITEMS:]
    own = np.arange(USERS)[:, None] % 2 == np.arange(ITEMS, ITEMS + 4) % 2
    assert scores[own].mean() > scores[~own].mean()
    assert np.isfinite(model.user_vectors(np.array([USERS, USERS + 1]))).all()


def test_kept_and_read_back(name: str, tmp_path: Path) -> None:
    model, loaded = fitted(name), copy_of(fitted(name), tmp_path)
    assert loaded.config == model.config
    loaded.attach(checkerboard())
    np.testing.assert_array_equal(loaded.item_vectors(), model.item_vectors())
    np.testing.assert_array_equal(loaded.user_vectors(), model.user_vectors())


def test_onnx_agrees_for_one_row_and_for_many(name: str, tmp_path: Path) -> None:
    result = fitted(name).export_onnx(tmp_path)  # compares 1, 2 and 257 rows
    assert result["onnx_max_abs_diff"] < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(result["files"])


def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    again = made(name).config.model_copy(update={"max_epochs": 2})
    vectors = []
    for _ in range(2):
        model, dataset = TwoTower(again, Training(device="cpu"), USER_FEATURES, ITEM_FEATURES), checkerboard()
        model.fit(dataset, rows_of(dataset))
        vectors.append((model.user_vectors(), model.item_vectors()))
    np.testing.assert_array_equal(vectors[0][0], vectors[1][0])
    np.testing.assert_array_equal(vectors[0][1], vectors[1][1])


def test_no_vector_of_an_id_is_longer_than_its_norm(tmp_path: Path) -> None:
    fitted("short vectors").save(tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    assert max(np.linalg.norm(weights[f"{side}.ids.weight"], axis=1).max() for side in ("user", "item")) <= 0.3 + 1e-6


def test_hidden_ids_train_the_vectors_of_whoever_is_new(tmp_path: Path) -> None:
    fitted("adaptive_mimic").save(tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    assert np.abs(weights["item.fusion.augmented.weight"][0]).max() > 0.01


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"fusion": "gated", "align_by": "categroy"}, "align_by names 'categroy'.*did you mean 'category'"),
        ({"fusion": "gated", "align_by": "events_total"}, "align_by names 'events_total'.*there are category"),
        ({"teacher": {"side_features": ["categorie"]}}, "teacher.side_features names 'categorie'.*mean 'category'"),
    ],
)
def test_features_that_nobody_declared_are_refused_before_any_fit(keys: dict[str, object], said: str) -> None:
    profile = Profile.model_validate(load_yaml(PROFILE))
    with pytest.raises(ConfigError, match=said):
        TwoTower.build(config(**keys), profile)
    right = config(fusion="gated", align_by="category", teacher={"side_features": ["category"]})
    assert TwoTower.build(right, profile).config == right


def test_alignment_by_what_is_no_category_is_refused() -> None:
    wrong = TwoTower(config(fusion="gated", align_by="colour"), Training(), USER_FEATURES, ITEM_FEATURES)
    with pytest.raises(TrainingError, match=r"align_by names colour.*choose one of category"):
        wrong.fit(checkerboard(), rows_of(checkerboard()))


def test_batches_of_one_example_train() -> None:
    lone = config(hidden=(8,), normalisation="batch", batch_size=1, max_epochs=1, stretch_events=1)
    model, dataset = TwoTower(lone, Training(device="cpu"), USER_FEATURES, ITEM_FEATURES), checkerboard()
    rows = rows_of(dataset)
    model.fit(dataset, TrainingRows(rows.event[:20], rows.user_features[:20], rows.item_features[:20]))
    assert np.isfinite(model.item_vectors()).all()


def test_each_epoch_is_told_with_its_recall() -> None:
    dataset, told = checkerboard(), list[tuple[int, float]]()
    model = TwoTower(config(max_epochs=3), Training(device="cpu"), USER_FEATURES, ITEM_FEATURES)
    support = Support(on_epoch=lambda epoch, figure: told.append((epoch, figure)))
    report = model.fit(dataset, rows_of(dataset), truth_of(dataset), support=support)
    assert told == [(entry["epoch"], entry["recall"]) for entry in report.history]


def test_artifacts_from_before_there_were_options_are_read(tmp_path: Path) -> None:
    plain, dataset = config(max_epochs=1), checkerboard()
    model = TwoTower(plain, Training(device="cpu"), USER_FEATURES, ITEM_FEATURES)
    model.fit(dataset, rows_of(dataset))
    model.save(tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    former = {key.replace("user.history.", "user."): value for key, value in weights.items()}
    assert former.keys() != weights.keys()
    save_file(former, tmp_path / "weights.safetensors")
    content = json.loads((tmp_path / "model.json").read_text())
    for key in ("fusion", "history", "similarity", "item_bias", "hidden", "loss"):
        del content["config"][key]
    (tmp_path / "model.json").write_text(json.dumps(content))
    loaded = TwoTower.load(tmp_path)
    loaded.attach(dataset)
    np.testing.assert_array_equal(loaded.user_vectors(), model.user_vectors())


def test_weights_of_another_configuration_are_refused(tmp_path: Path) -> None:
    fitted("concat").save(tmp_path)
    text = (tmp_path / "model.json").read_text().replace('"concat"', '"sum"')
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ArtifactError, match="train the night again"):
        TwoTower.load(tmp_path)


def copy_of(model: TwoTower, folder: Path) -> TwoTower:
    model.save(folder)
    return TwoTower.load(folder)
