"""A search over a profile's models: trials up to a number or a time, the best settings, and plots of what mattered."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from recommender.config.models import AnyModel
from recommender.config.search import PREFIX
from recommender.config.settings import Settings
from recommender.data.split import Split
from recommender.errors import NotReadyError, RecommenderError, TrainingError
from recommender.features.loading import fingerprint
from recommender.nightly.past import Material, validation_material
from recommender.progress import Progress, quiet
from recommender.storage.lake import Lake
from recommender.storage.world_lock import shared
from recommender.tuning.folds import check_folds
from recommender.tuning.objective import ERROR, HEADLINE, REFUSED, SPREAD, Objective
from recommender.tuning.plots import write_plots
from recommender.tuning.space import search_of, values_of
from recommender.tuning.study import ended, open_study

if TYPE_CHECKING:
    from feast import FeatureStore

DECIDING = ("model", "search", "training", "evaluation", "features", "preprocessing")
"""Sections of the profile that decide what a trial's figure means."""


@dataclass(frozen=True)
class Found:
    """What a search has found so far."""

    study: str
    trials: int
    """Of this and earlier runs."""
    recall: float
    spread: float | None
    """Standard deviation over the folds."""
    section: str
    """The best settings as YAML, to put into a profile."""
    report: Path
    """HTML with the plots."""


def tune(
    settings: Settings,
    ds: date,
    store: "FeatureStore",
    *,
    trials: int,
    minutes: float | None = None,
    folds: int = 1,
    name: str | None = None,
    progress: Progress = quiet,
) -> Found:
    """Search for better settings of `profile.model` on what the night `ds` knows before its holdout.

    Parameters
    ----------
    trials
        Of the whole study: running the same search again adds none, running it after a kill does the rest.
    minutes
        Begin no trial after so many; null: no limit.
    folds
        Score each trial by so many models, each on users that it never learnt from: see `folds`.
    name
        Of the study; by default it says kind, night and a hash of everything that decides the figures.

    Raises
    ------
    NotReadyError
        The lake lacks the night, or another process is searching in the study.
    TrainingError
        Nobody, or nobody of a fold, chose anything on the validation days, or no trial came to an end.
    """
    profile = settings.profile
    search = search_of(profile.model, profile.search)
    if not search:
        raise TrainingError(f"nothing to search for a model of kind {profile.model.kind}: name keys under `search`")
    with shared(settings.world):  # not for longer: an erasure must not wait for hours
        material = validation_material(Lake(settings.lake), profile, store, Split.of(profile, ds))
        with suppress(NotReadyError):  # a model learns from as many earlier nights as there are
            for days in getattr(profile.model, "history_cuts", ()):
                material.past.before(days)
    judged = 0 if material.truth is None else len(material.truth.users)
    if judged == 0:
        raise TrainingError("nobody chose anything on the validation days: raise training.validation_days")
    check_folds(material, folds)
    identity = _identity(settings, ds, folds, material)
    name = name or f"{profile.model.kind}-{ds}-{identity[:8]}"
    progress(f"study {name}: {', '.join(search)} on {judged:,} users' choices of the validation days")
    with open_study(settings, name, identity, profile.training.seed, progress, folds=folds) as study:
        todo = trials - ended(study)
        if todo > 0:
            study.optimize(
                Objective(profile, search, material, folds, progress),
                n_trials=todo,
                timeout=None if minutes is None else 60 * minutes,
                callbacks=[lambda study, trial: progress(_line(study, trial))],
                catch=(RecommenderError,),
                gc_after_trial=True,
            )
        best = _best(study)
        section = _section(profile.model, values_of(best.params, search))
        report = write_plots(study, section, settings.reports / "tuning" / f"{name}.html")
        return Found(name, ended(study), best.value or 0.0, best.user_attrs.get(SPREAD), section, report)


def _identity(settings: Settings, ds: date, folds: int, material: Material) -> str:
    profile = settings.profile.model_dump(mode="json", include=set(DECIDING))
    parts = json.dumps([profile, ds.isoformat(), folds, fingerprint(material.dataset)], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def _best(study: optuna.Study) -> FrozenTrial:
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    if complete:
        return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
    reasons = [trial.user_attrs.get(ERROR) or trial.user_attrs.get(REFUSED) for trial in study.trials]
    said = next((reason for reason in reversed(reasons) if reason), "give it more --trials or --minutes")
    raise TrainingError(f"no trial of study {study.study_name} came to an end: {said}")


def _line(study: optuna.Study, trial: FrozenTrial) -> str:
    """What came of a trial, for people."""
    settings = ", ".join(f"{path.removeprefix(PREFIX)} {_short(value)}" for path, value in trial.params.items())
    if trial.state == TrialState.COMPLETE:
        spread = f" ± {trial.user_attrs[SPREAD]:.4f}" if SPREAD in trial.user_attrs else ""
        came = f"{HEADLINE} {trial.value:.4f}{spread}"
    else:
        came = trial.user_attrs.get(ERROR) or trial.user_attrs.get(REFUSED) or "stopped early"
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = f"; best {max(other.value or 0.0 for other in complete):.4f}" if complete else ""
    seconds = f", {trial.duration.total_seconds():.0f} s" if trial.duration else ""
    return f"trial {trial.number}: {came}{seconds}, {settings}{best}"


def _section(config: AnyModel, values: dict[str, Any]) -> str:
    """`model:` with everything that the profile says of it and the values found."""
    content: dict[str, Any] = {"kind": config.kind, **config.model_dump(mode="json", exclude_unset=True)}
    for path, value in values.items():
        *sections, key = path.removeprefix(PREFIX).split(".")
        node = content
        for section in sections:
            node = node.setdefault(section, {})
        node[key] = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump({"model": content}, sort_keys=False)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
