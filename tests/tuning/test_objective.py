"""One trial on the checkerboard."""

from collections.abc import Sequence

import optuna
import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState

from recommender.config.candidates import STAND_ALONE
from recommender.config.models import AnyModel
from recommender.config.profile import Profile
from recommender.config.search import with_values
from recommender.errors import RecommenderError
from recommender.progress import quiet
from recommender.tuning.objective import ERROR, REFUSED, Objective
from recommender.tuning.space import search_of, suggest, values_of
from recommender.tuning.study import pruner_of
from tests.models.worlds import PROFILE
from tests.tuning.test_folds import material

TOWER = "model: {dimension: 8, history_length: 4, batch_size: 64, max_epochs: 4}\ntraining: {device: cpu}\n"
NEVER = optuna.pruners.NopPruner()
HALF_LIFE = "{model.half_life_days: {low: 1.0, high: 90.0}}"
POPULAR = "model: {kind: popularity}\n"
AT_ONCE = optuna.pruners.ThresholdPruner(lower=2.0)


def profile(search: str, model: str = TOWER) -> Profile:
    parsed: Profile = Profile.model_validate(yaml.safe_load(f"{PROFILE}\n{model}search: {search}"))
    return parsed


def tried(
    profile: Profile,
    pruner: optuna.pruners.BasePruner = NEVER,
    folds: int = 1,
    times: int = 1,
    after: Sequence[FrozenTrial] = (),
) -> FrozenTrial:
    """The last of some trials, after others."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=1))
    study.add_trials(after)
    objective = Objective(profile, search_of(profile.model, profile.search), material(), folds, quiet)
    study.optimize(objective, n_trials=times, catch=(RecommenderError,))
    return study.trials[-1]


def test_a_trial_is_scored_and_reports_its_epochs() -> None:
    trial = tried(profile("{model.dropout: {low: 0.0, high: 0.5}}"))
    assert trial.state == TrialState.COMPLETE
    assert trial.value is not None and 0 < trial.value <= 1
    assert list(trial.intermediate_values) == [1, 2, 3, 4][: len(trial.intermediate_values)]
    assert trial.value == pytest.approx(max(trial.intermediate_values.values()))


def test_a_hopeless_trial_ends_after_an_epoch() -> None:
    trial = tried(profile("{model.dropout: {low: 0.0, high: 0.5}}"), AT_ONCE)
    assert (trial.state, list(trial.intermediate_values)) == (TrialState.PRUNED, [1])


def test_over_folds_it_ends_after_a_fold() -> None:
    half_life = profile(HALF_LIFE, POPULAR)
    assert list(tried(half_life, AT_ONCE, folds=3).intermediate_values) == [0]
    whole = tried(half_life, folds=3)
    assert list(whole.intermediate_values) == [0, 1, 2]
    assert whole.value == whole.intermediate_values[2]
    assert whole.user_attrs["spread"] >= 0


@pytest.mark.parametrize("folds", [2, 3])
def test_over_folds_a_hopeless_one_ends_after_the_first(folds: int) -> None:
    better = optuna.trial.create_trial(value=2.0, intermediate_values=dict.fromkeys(range(folds), 2.0))
    trial = tried(profile(HALF_LIFE, POPULAR), pruner_of(folds), folds, after=[better] * 5)
    assert (trial.state, list(trial.intermediate_values)) == (TrialState.PRUNED, [0])


def test_what_is_scored_on_every_fold_is_kept() -> None:
    last = optuna.trial.create_trial(value=2.0, intermediate_values={2: 2.0})
    trial = tried(profile(HALF_LIFE, POPULAR), pruner_of(3), folds=3, after=[last] * 5)
    assert (trial.state, list(trial.intermediate_values)) == (TrialState.COMPLETE, [0, 1, 2])


def test_what_is_forbidden_together_is_no_trial() -> None:
    both = "{model.sparse_ids: {choices: [true, false]}, model.clip_norm: {low: 0.5, high: 2.0}}"
    trials = [tried(profile(both), times=times) for times in range(1, 5)]
    refused = [trial for trial in trials if trial.params["model.sparse_ids"]]
    assert refused and len(refused) < len(trials)
    assert all(trial.state == TrialState.PRUNED for trial in refused)
    assert "sparse_ids and clip_norm" in refused[0].user_attrs[REFUSED]


def test_a_trial_that_fails_says_why() -> None:
    trial = tried(profile("{model.temperature: {low: 1.0e-45, high: 1.0e-44}}"))
    assert trial.state == TrialState.FAIL
    assert "loss" in trial.user_attrs[ERROR]


def test_of_a_blend_the_weights_are_searched() -> None:
    config = profile(
        "{}", "model: {kind: blend, models: {a: {kind: ease}, b: {kind: ials}, c: {kind: spectral}}}\n"
    ).model
    search = search_of(config, {})
    assert list(search) == ["model.weights.b", "model.weights.c"]
    other = with_values(config, suggest(optuna.create_study().ask(), search))
    assert other.model_dump()["weights"]["a"] == 1.0
    assert other.model_dump()["weights"]["b"] != 1.0


@pytest.mark.parametrize("kind", STAND_ALONE)
def test_every_kind_has_something_usual_to_search(kind: str) -> None:
    config: AnyModel = profile("{}", f"model: {{kind: {kind}}}\n").model
    search = search_of(config, {})
    assert search
    for parameter in search.values():
        assert parameter.probes
    study = optuna.create_study()
    for _ in range(3):
        values = suggest(study.ask(), search)
        assert set(values) == set(search)
        with_values(config, values)


def test_lists_can_be_chosen_among() -> None:
    declared = profile("{model.hidden: {choices: [[], [16, 8]]}}")
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    values = suggest(trial, declared.search)
    assert values["model.hidden"] in ([], [16, 8])
    assert values_of(trial.params, declared.search) == values
