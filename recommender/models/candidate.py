"""A night's candidate, and the refit of a promoted one: what is trained on which data, and how it is kept."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import psycopg

from recommender.config.settings import Settings
from recommender.data.dataset import TrainingRows
from recommender.data.split import Split
from recommender.errors import ArtifactError
from recommender.features.loading import fingerprint, load_dataset, training_rows, truth_after
from recommender.models.popularity import Popularity
from recommender.models.registry import new_model
from recommender.progress import Progress
from recommender.storage import registry
from recommender.storage.artifacts import checksum, verify, writing
from recommender.storage.lake import Lake
from recommender.training.report import FitReport

if TYPE_CHECKING:
    from feast import FeatureStore

RECIPE = 3
"""Raised when the training code changes what the same data and configuration give."""
REFIT_SUFFIX = "full"


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
    """Fit the profile's model on what was known before the holdout; register it as a candidate.

    A version is named by its kind, its night and a hash of data, configuration and recipe: the same night
    trained again is recognised, and its verified artifact is kept.
    """
    profile, lake, split = settings.profile, Lake(settings.lake), Split.of(settings.profile, ds)
    dataset = load_dataset(lake, profile, split.trained_to, known=ds)
    truth = truth_after(lake, dataset, split.judged_at, known=ds)
    config = {
        section: getattr(profile, section).model_dump(mode="json")
        for section in ("model", "training", "evaluation", "features", "preprocessing")
    }
    data = fingerprint(dataset)
    identity = json.dumps([RECIPE, config, data, ds.isoformat()], sort_keys=True)
    version = f"{profile.model.kind}-{ds}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    known = registry.find(connection, version)
    if known is not None and _is_whole(known):
        _register_service(store, settings, connection, version)
        return Trained(version, f"{version} is trained already")
    rows = training_rows(store, profile, dataset)
    progress(
        f"training on {len(rows.event):,} events up to {split.trained_to}, stopping on {len(truth.users):,} users after"
    )
    model = new_model(profile.model, profile)
    report = model.fit(dataset, rows, truth, progress=progress)
    folder = settings.artifacts / version
    metrics = {
        "fit": _figures(report),
        "data": {"fingerprint": data, "trained_to": str(split.trained_to), **_data_figures(rows)},
    }
    with writing(folder) as scratch:
        model.save(scratch)
        progress("exporting ONNX and checking it against PyTorch")
        metrics["export"] = model.export_onnx(scratch)
        (scratch / "metrics.json").write_text(json.dumps(metrics, indent=1))
        (scratch / "profile.json").write_text(profile.model_dump_json(indent=1))
    registry.register(connection, version, model.kind, ds, folder, checksum(folder), config, metrics)
    _register_service(store, settings, connection, version)
    return Trained(version, f"{version}: {_summary(report)}", report.epochs, report.seconds)


def refit_champion(
    settings: Settings, ds: date, store: "FeatureStore", connection: psycopg.Connection, progress: Progress
) -> Trained | None:
    """Fit a champion promoted tonight once more, on everything up to `ds`, for as long as its judged fit took.

    None when there is nothing to do: nobody was promoted tonight, or the profile asks for no refit.
    """
    champion = registry.champion(connection)
    if champion is None or champion.ds != ds or not settings.profile.training.refit or champion.kind == Popularity.kind:
        return None
    folder = settings.artifacts / f"{champion.model_version}-{REFIT_SUFFIX}"
    if champion.serving_artifact == folder and champion.serving_checksum is not None:
        try:
            verify(folder, champion.serving_checksum)
            return Trained(champion.model_version, f"{champion.model_version} is refitted already")
        except ArtifactError as error:
            progress(f"refitting again: {error}")
    dataset = load_dataset(Lake(settings.lake), settings.profile, ds, known=ds)
    rows = training_rows(store, settings.profile, dataset)
    epochs = int(champion.metrics["fit"]["epochs"])
    progress(f"refitting on {len(rows.event):,} events up to {ds}, {epochs} epochs")
    model = new_model(settings.profile.model, settings.profile)
    report = model.fit(dataset, rows, epochs=epochs, progress=progress)
    with writing(folder) as scratch:
        model.save(scratch)
        exported = model.export_onnx(scratch)
        metrics = {
            "fit": _figures(report),
            "data": {"fingerprint": fingerprint(dataset), "trained_to": str(ds), **_data_figures(rows)},
            "export": exported,
        }
        (scratch / "metrics.json").write_text(json.dumps(metrics, indent=1))
    registry.record_refit(connection, champion.model_version, folder, checksum(folder))
    return Trained(
        champion.model_version,
        f"{champion.model_version} refitted up to {ds}: {_summary(report)}",
        report.epochs,
        report.seconds,
    )


def _register_service(store: "FeatureStore", settings: Settings, connection: psycopg.Connection, version: str) -> None:
    """In Feast's registry, the features that the model reads under its name; for every model that still exists."""
    from recommender.features.store import register_service  # Feast takes seconds to import: only training needs it

    register_service(store, settings.profile, version, kept=registry.versions(connection))


def _is_whole(version: registry.ModelVersion) -> bool:
    try:
        verify(version.artifact, version.checksum)
    except ArtifactError:
        return False
    return True


def _data_figures(rows: TrainingRows) -> dict[str, int]:
    """Training rows, and events of the training window that the k-core leaves out."""
    return {"rows": len(rows.event), "outside_core": len(rows.outside)}


def _figures(report: FitReport) -> dict[str, object]:
    return {"epochs": report.epochs, "seconds": round(report.seconds, 2), "history": report.history}


def _summary(report: FitReport) -> str:
    best = max((entry["recall"] for entry in report.history if "recall" in entry), default=None)
    quality = f", validation recall@20 {best:.4f}" if best is not None else ""
    return f"{report.epochs} epochs in {report.seconds:.0f} s{quality}"
