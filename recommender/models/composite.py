"""What models share that are made of several others: the fits of these and their folders."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from recommender.config.blend import Blend as BlendConfig
from recommender.config.profile import Profile
from recommender.config.ranking import Ranking as RankingConfig
from recommender.config.training import Training
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import NotReadyError
from recommender.models.base import Model, Support
from recommender.progress import Progress
from recommender.retrieval.exact import TopK
from recommender.training.report import FitReport

LEAST_SPREAD = 1e-6

Models = dict[str, Model]
Scores = npt.NDArray[np.float32]


class Composite(Model):
    """Several models by name, each in a folder of its own within the artifact.

    Parameters
    ----------
    config
        The models, and whatever else there is.
    training
        Seed and threads.
    make
        Unfitted models as `config.parts` describes them, new ones with each call.
    """

    warm_starts: ClassVar[bool] = True
    config_class: ClassVar[type[BlendConfig] | type[RankingConfig]]
    folder: ClassVar[str]
    """Of the models' folders, within the artifact."""

    def __init__(self, config: Any, training: Training, make: Callable[[], Models]) -> None:
        super().__init__()
        self.config, self.training = config, training
        self._make = make
        self._models: Models = {}

    @classmethod
    def build(cls, config: Any, profile: Profile) -> Self:
        """The model that a profile describes, before it is fitted."""
        from recommender.models.registry import new_model  # which imports the composite models

        def make() -> Models:
            return {name: new_model(section, profile) for name, section in config.parts.items()}

        make()  # what a section misspells is told before anything is fitted
        return cls(config, profile.training, make)

    @property
    def parts(self) -> Mapping[str, Model]:
        """The models by name, once there are any."""
        return self._models

    def attach(self, dataset: Dataset) -> None:
        for model in self._models.values():
            model.attach(dataset)
        super().attach(dataset)

    def similar_items(self, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> TopK:
        """As the first of the models sees it."""
        _ = self.dataset
        return next(iter(self._models.values())).similar_items(k, allowed)

    def save(self, folder: Path) -> None:
        if not self._models:
            raise NotReadyError(f"{self.kind} isn't fitted, call `fit` or `load` first")
        for name, model in self._models.items():
            (folder / self.folder / name).mkdir(parents=True)
            model.save(folder / self.folder / name)
        content = {
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "report": None if self.report is None else asdict(self.report),
            **self._more(),
        }
        (folder / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        from recommender.models.registry import load_model  # which imports the composite models

        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        config = cls.config_class.model_validate(content["config"])
        model = cls(config, Training.model_validate(content["training"]), dict)
        model._models = {
            name: load_model(section.kind, folder / cls.folder / name) for name, section in config.parts.items()
        }
        model.report = None if content["report"] is None else FitReport(**content["report"])
        return model

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write what the models can write, in a folder each."""
        written: dict[str, dict[str, Any]] = {}
        for name, model in self._models.items():
            (folder / self.folder / name).mkdir(parents=True, exist_ok=True)
            written[name] = model.export_onnx(folder / self.folder / name)
        differences = [part["onnx_max_abs_diff"] for part in written.values() if "onnx_max_abs_diff" in part]
        files = [f"{self.folder}/{name}/{file}" for name, part in written.items() for file in part.get("files", ())]
        return {"onnx_max_abs_diff": max(differences), "files": files} if differences else {}

    def _more(self) -> dict[str, Any]:
        """What else `model.json` says."""
        return {}

    def _fit_parts(
        self,
        dataset: Dataset,
        rows: TrainingRows,
        truth: Truth | None,
        epochs: int | None,
        progress: Progress,
        support: Support,
        start: Mapping[str, Model],
    ) -> dict[str, FitReport]:
        """Fit the models, those that `support.fitted` has left out, and say how it went.

        `start` are models to go on from by name. `epochs` are those of every model that `support.epochs` doesn't name.
        """
        self._models, reports = self._make(), {}
        fitted = dict(support.fitted)
        for name, section in self._teachers_first():
            known = fitted.get(section.model_dump_json())
            if known is not None and known.report is not None:
                self._models[name], reports[name] = known, known.report
                continue
            own = replace(support.within(name), fitted=fitted, start=start.get(name), on_epoch=None)
            runs, told = support.epochs.get(name, epochs), prefixed(progress, name)
            reports[name] = self._models[name].fit(dataset, rows, truth, epochs=runs, progress=told, support=own)
            fitted[section.model_dump_json()] = self._models[name]
        return reports

    def _teachers_first(self) -> Sequence[tuple[str, Any]]:
        """Names and sections of the models, those that learn from another after the others."""
        return sorted(self.config.parts.items(), key=lambda item: getattr(item[1], "teacher", None) is not None)


def joined(reports: Mapping[str, FitReport], seconds: float) -> FitReport:
    """Of a whole composite model: the epochs of the part with most, and the history of all."""
    parts = {name: report.epochs for name, report in reports.items()}
    history = [
        {f"{name}_{key}": value for key, value in entry.items()}
        for name, report in reports.items()
        for entry in report.history
    ]
    return FitReport(max(parts.values()), seconds, history, parts)


def standardised(scores: Scores) -> Scores:
    """(users, items) scores with mean 0 and standard deviation 1 a user; no order of its own becomes 0."""
    spread = scores.std(1, keepdims=True)
    return np.asarray((scores - scores.mean(1, keepdims=True)) / np.maximum(spread, LEAST_SPREAD), np.float32)


def prefixed(progress: Progress, name: str) -> Progress:
    """The same lines after the name of a part."""
    return lambda line: progress(f"{name}: {line}")
