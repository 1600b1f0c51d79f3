"""A night's candidate, and the refit of a promoted one: what is trained on which data, and how it is kept."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import psycopg
from pydantic import TypeAdapter

from recommender.config.models import AnyModel, ModelConfig
from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.data.split import Split
from recommender.errors import ArtifactError
from recommender.features.loading import fingerprint, load_dataset, training_rows, truth_after
from recommender.models.base import Model, Support
from recommender.nightly.artifact import data_figures, fit_figures, is_whole, keep, summary
from recommender.nightly.contest import HEADLINE, Contest, Entrant, compete, fit_from, labels
from recommender.nightly.past import LakePast, Material
from recommender.nightly.start import FULL, WARM, Start, find_start, load_start, refit_starts
from recommender.progress import Progress
from recommender.storage import registry
from recommender.storage.artifacts import checksum
from recommender.storage.lake import Lake
from recommender.training.distributed import is_first
from recommender.training.report import FitReport

if TYPE_CHECKING:
    from feast import FeatureStore

RECIPE = 5
"""Raised when the training code changes what the same data and configuration give."""
REFIT_SUFFIX = "full"
SECTIONS = ("model", "training", "evaluation", "features", "preprocessing")
"""Sections of the profile that decide what a model becomes; stored with each version."""


@dataclass(frozen=True)
class Trained:
    """What training left behind."""

    model_version: str
    summary: str
    epochs: int = 0
    seconds: float = 0.0


def train_candidate(
    settings: Settings, ds: date, store: "FeatureStore", connection: psycopg.Connection, progress: Progress
) -> Trained:
    """Fit the profile's model and its rivals on what was known before the holdout; register the best as a candidate.

    A version is named by its kind, its night and a hash of data, configurations, starts and recipe: the same night
    trained again is recognised, and its verified artifact is kept. Of several processes the first one registers.

    Raises
    ------
    TrainingError
        No model could be fitted.
    """
    profile, split = settings.profile, Split.of(settings.profile, ds)
    lake = Lake(settings.lake)
    dataset = load_dataset(lake, profile, split.trained_to, known=ds)
    entrants = _entrants(profile, split, registry.history(connection, before=ds))
    data = fingerprint(dataset)
    starts = [entrant.start.name for entrant in entrants]
    configs = [_sections(profile, entrant.config) for entrant in entrants]
    identity = json.dumps([RECIPE, configs, starts, data, ds.isoformat()], sort_keys=True)
    suffix = f"{ds}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    versions = {entrant.label: f"{entrant.label}-{suffix}" for entrant in entrants}
    for version in versions.values():
        known = registry.find(connection, version)
        if known is not None and is_whole(known.artifact, known.checksum):
            _register_service(store, settings, connection, version)
            if registry.newest_of(connection, ds).model_version != version:
                registry.is_newest(connection, version)
            return Trained(version, f"{version} is trained already")
    truth = truth_after(lake, dataset, split.judged_at, known=ds)
    rows = training_rows(store, profile, dataset)
    progress(
        f"training on {len(rows.event):,} events up to {split.trained_to}, stopping on {len(truth.users):,} users after"
    )
    material = Material(dataset, rows, truth, LakePast(lake, profile, store, split.trained_to, known=ds))
    logs = {label: settings.tensorboard / version for label, version in versions.items()}
    contest = compete(profile, entrants, material, settings.checkpoints / suffix, logs, progress)
    winner = contest.winner
    version, folder = versions[winner.entrant.label], settings.artifacts / versions[winner.entrant.label]
    if is_first():
        metrics: dict[str, Any] = {
            "fit": fit_figures(winner.report),
            "validation": winner.figures,
            "start": winner.start,
            "rivals": contest.others,
            "data": {
                "fingerprint": data,
                "trained_to": str(split.trained_to),
                "judged_at": str(split.judged_at),
                **data_figures(rows),
            },
        }
        metrics = keep(winner.model, winner.entrant.config, profile, metrics, folder, progress)
        config = _sections(profile, winner.entrant.config)
        registry.register(connection, version, winner.model.kind, ds, folder, checksum(folder), config, metrics)
        _register_service(store, settings, connection, version)
        _discard_checkpoints(settings, ds)
    return Trained(version, _told(version, contest), winner.report.epochs, winner.report.seconds)


def refit_champion(
    settings: Settings, ds: date, store: "FeatureStore", connection: psycopg.Connection, progress: Progress
) -> Trained | str:
    """Fit a champion promoted tonight once more, on everything up to `ds`, by its own configuration.

    It begins as `refit_starts` says, and runs for as many epochs as the judged fit took. Where there is nothing to do
    it says why, and the judged weights serve.
    """
    champion = registry.champion(connection)
    if champion is None or champion.ds != ds or "model" not in champion.config:
        return "nothing was promoted tonight, nothing to refit"
    if not settings.profile.training.refit:
        return f"training.refit is off: {champion.model_version} serves as it was judged"
    folder = settings.artifacts / f"{champion.model_version}-{REFIT_SUFFIX}"
    if champion.serving_artifact == folder and champion.serving_checksum is not None:
        if is_whole(folder, champion.serving_checksum):
            return Trained(champion.model_version, f"{champion.model_version} is refitted already")
        progress(f"refitting again: {folder} is not what was registered")
    profile, lake = settings.profile, Lake(settings.lake)
    config: AnyModel = TypeAdapter[Any](ModelConfig).validate_python(champion.config["model"])
    dataset = load_dataset(lake, profile, ds, known=ds)
    rows = training_rows(store, profile, dataset)
    material = Material(dataset, rows, None, LakePast(lake, profile, store, ds, known=ds))
    done = _refitted(settings, profile, config, champion, material, registry.history(connection, before=ds), progress)
    if done is None:
        return f"no weights to go on from: {champion.model_version} serves as it was judged"
    model, report, start = done
    if is_first():
        metrics = {
            "fit": fit_figures(report),
            "start": {"how": FULL if start.version is None else WARM, "from": start.name, "why": start.why},
            "data": {"fingerprint": fingerprint(dataset), "trained_to": str(ds), **data_figures(rows)},
        }
        keep(model, config, profile, metrics, folder, progress)
        registry.record_refit(connection, champion.model_version, folder, checksum(folder))
        _discard_checkpoints(settings, ds)
    told = f"{champion.model_version} refitted up to {ds}: {summary(report)}"
    return Trained(champion.model_version, told, report.epochs, report.seconds)


def _refitted(
    settings: Settings,
    profile: Profile,
    config: AnyModel,
    champion: registry.ModelVersion,
    material: Material,
    history: list[registry.ModelVersion],
    progress: Progress,
) -> tuple[Model, FitReport, Start] | None:
    """From the first start that can be read and fits; None without one."""
    judged, name = champion.metrics["fit"], f"{champion.model_version}-{REFIT_SUFFIX}"
    epochs = int(judged["epochs"]) or None
    progress(f"refitting on {len(material.rows.event):,} events" + (f", {epochs} epochs" if epochs else ""))
    for start in refit_starts(history, champion):
        begun = load_start(start, progress)
        if begun is None and start.version is not None:
            continue
        checkpoints, logs = settings.checkpoints / f"{champion.ds}-{name}", settings.tensorboard / name
        support = Support(material.past, begun, {}, checkpoints, logs, judged.get("parts", {}))
        try:
            return *fit_from(profile, config, material, support, progress, epochs), start
        except ArtifactError as error:
            progress(f"not from {start.name}: {error}")
    return None


def _entrants(profile: Profile, split: Split, history: list[registry.ModelVersion]) -> list[Entrant]:
    configs = (profile.model, *profile.rivals)
    return [
        Entrant(label, config, find_start(history, config.kind, _sections(profile, config), profile.training, split))
        for label, config in zip(labels(configs), configs, strict=True)
    ]


def _sections(profile: Profile, config: AnyModel) -> dict[str, Any]:
    """What decides a model, as it is stored with its version."""
    own = profile.model_copy(update={"model": config})
    return {section: getattr(own, section).model_dump(mode="json") for section in SECTIONS}


def _discard_checkpoints(settings: Settings, ds: date) -> None:
    """Of this night, those of configurations that were given up too."""
    for folder in settings.checkpoints.glob(f"{ds}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _told(version: str, contest: Contest) -> str:
    winner = contest.winner
    how = f", from {winner.entrant.start.name}" if winner.how == WARM else ""
    others = f"; against {contest.summary}" if contest.others else ""
    return f"{version}: {summary(winner.report, winner.figures.get(HEADLINE))}{how}{others}"


def _register_service(store: "FeatureStore", settings: Settings, connection: psycopg.Connection, version: str) -> None:
    """In Feast's registry, the features that the model reads under its name; for every model that still exists."""
    from recommender.features.store import register_service  # Feast takes seconds to import: only training needs it

    register_service(store, settings.profile, version, kept=registry.versions(connection))
