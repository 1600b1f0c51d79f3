"""Several models and learners as one model: the contract of every model, and what only this one does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from recommender.config.profile import Profile
from recommender.config.ranking import Ranking as RankingConfig
from recommender.config.yaml12 import load_yaml
from recommender.errors import ArtifactError
from recommender.models.base import Support
from recommender.models.ranking import candidates
from recommender.models.ranking.model import Ranking
from tests.models.mixin import EVERYBODY, ModelContract
from tests.models.ranking.small_world import Nights, knows_only
from tests.models.worlds import DS, PROFILE, USERS, checkerboard, rows_of, tomorrow_with_newcomers, truth_of

CANDIDATES = {"alike": {"kind": "item_knn"}, "popular": {"kind": "popularity"}}
LEARNERS = {"mlp": {"max_epochs": 3, "learning_rate": 0.01}, "boosting": {"trees": 10, "least_pairs": 5}}


def make(seed: int = 1, **keys: object) -> Ranking:
    profile = Profile.model_validate(load_yaml(PROFILE))
    profile = profile.model_copy(update={"training": profile.training.model_copy(update={"seed": seed})})
    config = RankingConfig.model_validate({"candidates": CANDIDATES, "depth": 6, **LEARNERS, **keys})
    return Ranking.build(config, profile)


def fitted(seed: int = 1, **keys: object) -> Ranking:
    model, dataset = make(seed, **keys), checkerboard()
    model.fit(dataset, rows_of(dataset), support=Support(past=Nights(dataset)))
    return model


class TestRanking(ModelContract):
    def make(self, seed: int = 1) -> Ranking:
        return make(seed)

    def fitted(self, seed: int = 1) -> Ranking:
        return fitted(seed)


class TestWithoutAPast(ModelContract):
    """Nothing to learn an order from: the models' mean score ranks."""

    def make(self, seed: int = 1) -> Ranking:
        return make(seed, candidates={name: {"kind": name} for name in ("item_knn", "ease")})

    def test_there_are_no_learners_to_keep(self, tmp_path: Path) -> None:
        model = self.fitted()
        model.save(tmp_path)
        assert model.features == ()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["candidates", "model.json"]


def test_candidates_come_before_all_other_items() -> None:
    model = fitted(depth=2)
    scores = np.where(model.dataset.seen.toarray() > 0, np.nan, model.scores(EVERYBODY))
    learnt = model.reranker.score
    model.reranker.score = lambda features, groups: learnt(features, groups) - 100  # type: ignore[method-assign]
    moved = np.where(model.dataset.seen.toarray() > 0, np.nan, model.scores(EVERYBODY))
    candidates = moved > np.nanmax(moved, axis=1, keepdims=True) - 50
    np.testing.assert_array_equal(np.argsort(-moved, axis=1)[:, :2], np.argsort(-scores, axis=1)[:, :2])
    assert candidates.any()


def test_what_is_told_of_is_what_is_recommended() -> None:
    model, allowed = fitted(depth=2), np.arange(24) < 16
    for mask in (None, allowed):
        top = model.recommend(EVERYBODY, 10, allowed=mask)
        told = np.concatenate([explained.top.items for explained in model.explained(EVERYBODY, 10, allowed=mask)])
        np.testing.assert_array_equal(told, top.items)
        assert mask is None or mask[top.items[top.items >= 0]].all()


def test_fewer_candidates_than_asked_for_are_followed_by_all_other_items() -> None:
    """Whoever has enough of them gets the same list without a score of any other item."""
    short, long = fitted(depth=2), fitted(depth=24)
    for model in (short, long):
        scores = np.where(model.dataset.seen.toarray() > 0, -np.inf, model.scores(EVERYBODY))
        top = model.recommend(EVERYBODY, 16)
        assert (np.sort(top.items, axis=1) >= 0).all()
        np.testing.assert_allclose(top.scores, -np.sort(-scores, axis=1)[:, :16], rtol=1e-5, atol=1e-6)
    long.scores = None  # type: ignore[assignment, method-assign]
    assert (long.recommend(EVERYBODY, 16).items >= 0).all()


def test_any_number_of_threads_gives_the_same_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted()
    monkeypatch.setattr(candidates, "USERS", 7)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(model.recommend(EVERYBODY, 6))
    np.testing.assert_array_equal(found[0].items, found[1].items)
    np.testing.assert_array_equal(found[0].scores, found[1].scores)


def test_it_learns_from_as_many_windows_as_asked_and_as_there_are() -> None:
    lines: list[str] = []
    dataset, model = checkerboard(), make(label_windows=3, label_days=20)
    support = Support(past=Nights(dataset, oldest=45))
    model.fit(dataset, rows_of(dataset), support=support, progress=lines.append)
    assert model.config.history_cuts == (20, 40, 60)
    assert [line for line in lines if line.startswith("labels of")] == [
        line for line in lines if line.startswith("labels of") and ("2020-06-10" in line or "2020-05-21" in line)
    ]
    assert any(line == "no labels of 60 days ago: the lake begins 45 days ago" for line in lines)


def test_what_came_after_an_earlier_night_is_told_by_its_label_alone() -> None:
    """Of two pasts that differ after the first cut only, the candidates' features there are the same."""
    dataset = checkerboard()
    model = fitted()
    earlier, rows, truth = Nights(dataset).before(30)
    moved = replace(dataset, item=np.where(dataset.ts >= earlier.until, (dataset.item + 2) % 24, dataset.item))
    other, other_rows, _ = Nights(moved).before(30)
    found = []
    for night, night_rows in ((earlier, rows), (other, other_rows)):
        models = model._make()
        for candidate in models.values():
            candidate.fit(night, night_rows)
        found.append(model.labelled(night, models, truth))
    np.testing.assert_array_equal(found[0].features, found[1].features)
    np.testing.assert_array_equal(found[0].labels, found[1].labels)


def test_a_warm_start_keeps_the_learners_and_reads_no_earlier_night() -> None:
    start, dataset, model = fitted(), tomorrow_with_newcomers(), make()
    model.fit(dataset, rows_of(dataset), support=Support(past=Nights(dataset, oldest=0), start=start))
    assert model.features == start.features
    candidates = model.recommend(EVERYBODY, 4)
    assert (candidates.items % 2 == EVERYBODY[:, None] % 2).all()


def test_models_fitted_already_are_not_fitted_again() -> None:
    first, dataset, model = fitted(), checkerboard(), make()
    known = {section.model_dump_json(): first._models[name] for name, section in first.config.candidates.items()}
    model.fit(dataset, rows_of(dataset), support=Support(past=Nights(dataset), fitted=known))
    assert all(model._models[name] is first._models[name] for name in CANDIDATES)
    np.testing.assert_array_equal(model.scores(EVERYBODY), first.scores(EVERYBODY))


TOWERS = {"kind": "two_tower", "dimension": 4, "history_length": 4, "batch_size": 64, "max_epochs": 2}


def test_each_model_learns_again_for_its_own_number_of_epochs() -> None:
    dataset = checkerboard()
    candidates = {"tower": TOWERS, "factors": {"kind": "factors", "dimension": 4, "max_epochs": 5}}
    model, lines = make(candidates=candidates), list[str]()
    model.fit(dataset, rows_of(dataset), epochs=5, support=Support(epochs={"tower": 2}), progress=lines.append)
    assert model.report is not None
    assert (model.report.epochs, model.report.parts) == (5, {"tower": 2, "factors": 5})
    assert not any(line.startswith("tower: epoch 3") for line in lines)


def test_a_window_in_which_nobody_chose_anything_new_is_left_out() -> None:
    dataset, lines, model = checkerboard(), list[str](), make()
    dataset = replace(knows_only(dataset, 40), ds=dataset.ds)
    model.fit(dataset, rows_of(dataset), support=Support(past=Nights(dataset)), progress=lines.append)
    assert model.features == ()
    assert lines[-1] == "no labels of an earlier night: candidates keep the order of the models' mean score"
    assert model.recommend(EVERYBODY, 4).items.shape == (USERS, 4)


def test_a_start_without_learners_is_refused() -> None:
    dataset, start = checkerboard(), make()
    start.fit(dataset, rows_of(dataset))
    with pytest.raises(ArtifactError, match="ranking without learners: train from scratch"):
        make().fit(dataset, rows_of(dataset), support=Support(past=Nights(dataset), start=start))


def test_the_report_has_the_recall_of_the_whole() -> None:
    dataset, model = checkerboard(), make()
    report = model.fit(dataset, rows_of(dataset), truth_of(dataset), support=Support(past=Nights(dataset)))
    assert report.history[-1]["recall"] > 0.9
    assert model.report == report


def test_other_features_than_the_learners_know_are_refused(tmp_path: Path) -> None:
    fitted(candidates={"popular": {"kind": "popularity"}}).save(tmp_path)
    loaded, dataset = Ranking.load(tmp_path), checkerboard()
    with pytest.raises(ArtifactError, match="category_rank.*train it again"):
        loaded.attach(replace(dataset, item_features=dataset.item_features.drop(columns="category")))


def test_label_users_are_drawn_by_the_seed() -> None:
    some, again, other = (fitted(seed, label_users=10) for seed in (1, 1, 2))
    np.testing.assert_array_equal(some.scores(EVERYBODY), again.scores(EVERYBODY))
    assert (some.scores(EVERYBODY) != other.scores(EVERYBODY)).any()
    assert (some.scores(EVERYBODY) != fitted().scores(EVERYBODY)).any()


@pytest.mark.parametrize(
    ("keys", "cure"),
    [
        ({"linear": None, "mlp": None, "boosting": None}, "leave out one or two"),
        ({"candidates": {}}, "at least 1"),
        ({"candidates": {"a/b": {"kind": "ease"}}}, "letters, digits"),
    ],
)
def test_profiles_that_cannot_work_are_refused(keys: dict[str, object], cure: str) -> None:
    with pytest.raises(ValidationError, match=cure):
        RankingConfig.model_validate({"candidates": CANDIDATES, **keys})


def test_the_world_has_events_on_both_sides_of_the_cut() -> None:
    dataset = checkerboard()
    earlier, _, truth = Nights(dataset).before(30)
    assert 0 < len(earlier.user) < len(dataset.user)
    assert len(truth.users) > USERS / 2
    assert dataset.ds == DS
