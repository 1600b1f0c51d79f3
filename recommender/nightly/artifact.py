"""What is kept of a fitted model: one folder a version, whole or not at all.

Beside the weights, id maps and preprocessing statistics that the model's `save` writes, and ONNX where it has that,
there is `profile.json`, the profile with this model alone, `metrics.json`, how the fit went and the fingerprint of its
data, and `checksums.json`, the SHA-256 of every file, verified before every load.
"""

import json
from pathlib import Path
from typing import Any

from recommender.config.models import AnyModel
from recommender.config.profile import Profile
from recommender.data.dataset import TrainingRows
from recommender.errors import ArtifactError
from recommender.models.base import Model
from recommender.progress import Progress
from recommender.storage.artifacts import verify, writing
from recommender.training.report import FitReport


def keep(
    model: Model, config: AnyModel, profile: Profile, metrics: dict[str, Any], folder: Path, progress: Progress
) -> dict[str, Any]:
    """Write the artifact; returns the metrics, those of the export among them."""
    own = profile.model_copy(update={"model": config, "rivals": ()})
    with writing(folder) as scratch:
        model.save(scratch)
        progress("exporting ONNX and checking it against PyTorch")
        metrics = {**metrics, "export": model.export_onnx(scratch)}
        (scratch / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
        (scratch / "profile.json").write_text(own.model_dump_json(indent=1), encoding="utf-8")
    return metrics


def is_whole(folder: Path, checksum: str) -> bool:
    """True where the artifact is exactly what was registered."""
    try:
        verify(folder, checksum)
    except ArtifactError:
        return False
    return True


def fit_figures(report: FitReport) -> dict[str, Any]:
    figures = {"epochs": report.epochs, "seconds": round(report.seconds, 2), "history": report.history}
    return figures | ({"parts": report.parts} if report.parts else {})


def data_figures(rows: TrainingRows) -> dict[str, int]:
    """Training rows, and events of the training window that the k-core leaves out."""
    return {"rows": len(rows.event), "outside_core": len(rows.outside)}


def summary(report: FitReport, recall: float | None = None) -> str:
    """One line for people; `recall` is that of the contest, for models that measured none while they learned."""
    best = max((entry["recall"] for entry in report.history if "recall" in entry), default=recall)
    quality = f", validation recall@20 {best:.4f}" if best is not None else ""
    return f"{f'{report.epochs} epochs' if report.epochs else 'fitted'} in {report.seconds:.0f} s{quality}"
