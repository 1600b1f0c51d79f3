"""Several models as one weighted sum: the contract of every model, and what only this one does."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from recommender.config.blend import Blend as BlendConfig
from recommender.config.profile import Profile
from recommender.config.yaml12 import load_yaml
from recommender.errors import ArtifactError, NotReadyError
from recommender.models import blend
from recommender.models.base import Support
from recommender.models.blend import Blend
from recommender.models.registry import MODELS
from tests.models.mixin import EVERYBODY, ModelContract
from tests.models.worlds import PROFILE, checkerboard, rows_of, truth_of

IALS = {"kind": "ials", "dimension": 4, "alpha": 5, "regularisation": 2}
VECTORS = {"spectral": {"kind": "spectral", "dimension": 2}, "ials": IALS}
TABLES = {"alike": {"kind": "item_knn"}, "ials": IALS}
WEIGHTS = {"ials": 0.3}
TOWERS = {"kind": "two_tower", "dimension": 4, "history_length": 4, "batch_size": 64, "max_epochs": 3}


def make(seed: int = 1, **keys: object) -> Blend:
    profile = Profile.model_validate(load_yaml(PROFILE))
    profile = profile.model_copy(update={"training": profile.training.model_copy(update={"seed": seed})})
    return Blend.build(BlendConfig.model_validate({"models": VECTORS, "weights": WEIGHTS, **keys}), profile)


def fitted(**keys: object) -> Blend:
    model, dataset = make(**keys), checkerboard()  # type: ignore[arg-type]
    model.fit(dataset, rows_of(dataset))
    return model


class TestOfVectors(ModelContract):
    def make(self, seed: int = 1) -> Blend:
        return make(seed)


class TestOfTables(ModelContract):
    """A model without vectors among them."""

    def make(self, seed: int = 1) -> Blend:
        return make(seed, models=TABLES)


@pytest.mark.parametrize(("models", "block"), [(VECTORS, 1 << 14), (VECTORS, 5), (TABLES, 1 << 14)])
def test_a_score_is_the_weighed_sum_of_standard_scores(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, object], block: int
) -> None:
    monkeypatch.setattr(blend, "BLOCK", block)
    model = fitted(models=models)
    expected = np.zeros_like(model.scores(EVERYBODY))
    for name, part in model._models.items():
        scores = part.scores(EVERYBODY).astype(np.float64)
        z = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
        expected += model.config.weights.get(name, 1.0) * z
    found = model.scores(EVERYBODY)
    if models is VECTORS:  # a dot product lacks the means, which change no order
        found = found - found.mean(1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_weight_moves_the_lists_towards_its_model() -> None:
    for name, weight in (("spectral", 1e-6), ("ials", 1e6)):
        model = fitted(weights={"ials": weight})
        alone, chosen = model._models[name], model.recommend(EVERYBODY, 4).items
        scores = alone.score(np.repeat(EVERYBODY, 4), chosen.ravel()).reshape(-1, 4)  # equal ones come in any order
        np.testing.assert_allclose(scores, alone.recommend(EVERYBODY, 4).scores, rtol=1e-3, atol=1e-4)


def test_only_a_blend_of_vectors_has_an_index() -> None:
    vectors, tables = fitted(), fitted(models=TABLES)
    assert vectors.vector_model is vectors
    assert tables.vector_model is tables._models["ials"]
    with pytest.raises(NotReadyError, match="not all of its models have"):
        tables.item_vectors()


def test_models_fitted_already_are_not_fitted_again() -> None:
    first, dataset, model = fitted(), checkerboard(), make()
    known = {section.model_dump_json(): first._models[name] for name, section in first.config.models.items()}
    model.fit(dataset, rows_of(dataset), support=Support(fitted=known))
    assert all(model._models[name] is first._models[name] for name in VECTORS)
    np.testing.assert_array_equal(model.scores(EVERYBODY), first.scores(EVERYBODY))


def test_it_is_judged_as_a_whole_and_each_model_learns_for_its_own_epochs() -> None:
    dataset, lines = checkerboard(), list[str]()
    model = make(models={"tower": TOWERS, "spectral": VECTORS["spectral"]}, weights={})
    report = model.fit(
        dataset,
        rows_of(dataset),
        truth_of(dataset),
        epochs=3,
        support=Support(epochs={"tower": 2}),
        progress=lines.append,
    )
    assert report.parts == {"tower": 2, "spectral": 0}
    assert report.history[-1]["recall"] == 1.0
    assert lines[-1] == "blended: recall@20 1.0000"


def test_it_goes_on_from_the_parts_of_another() -> None:
    dataset = checkerboard()
    models = {"tower": TOWERS, "spectral": VECTORS["spectral"]}
    start, model = fitted(models=models, weights={}), make(models=models, weights={})
    model.fit(dataset, rows_of(dataset), epochs=0, support=Support(start=start))
    np.testing.assert_allclose(model.scores(EVERYBODY), start.scores(EVERYBODY), atol=0.1)
    with pytest.raises(ArtifactError, match="cannot go on from a ials"):
        model.fit(dataset, rows_of(dataset), support=Support(start=fitted()._models["ials"]))


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"models": {"ials": {"kind": "ials"}}}, "at least 2"),
        ({"models": {"a-b": {"kind": "ials"}, "ease": {"kind": "ease"}}}, "'a-b' names columns and a folder"),
        ({"weights": {"ease": 2}}, "weights names 'ease', which is none of the models: spectral, ials"),
        ({"weights": {"ials": 0}}, "greater than 0"),
    ],
)
def test_refused(keys: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        BlendConfig.model_validate({"models": VECTORS, **keys})


def test_its_parts_are_in_folders_of_their_own(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("model.json")) == [
        "model.json",
        "models/ials/model.json",
        "models/spectral/model.json",
    ]
    assert MODELS["blend"] is Blend
