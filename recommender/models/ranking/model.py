"""Several models and the learners that put their candidates in order, as one model of the profile."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from recommender.config.profile import Profile
from recommender.config.ranking import Ranking as RankingConfig
from recommender.config.training import Training
from recommender.data.dataset import Dataset, Past, TrainingRows, Truth
from recommender.errors import ArtifactError, NotReadyError, TrainingError
from recommender.models.base import ALONE, Model, Support
from recommender.models.ranking.candidates import blocks, proposed, tables
from recommender.models.ranking.labels import choices
from recommender.models.ranking.pairs_table import PairsTable
from recommender.models.ranking.reranker import LabelledPairs, Reranker
from recommender.models.recall import recall
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK
from recommender.training.report import FitReport

CANDIDATES, LEARNERS = "candidates", "learners"
"""Folders of the models that propose and of the learners."""
LEAST_SPREAD = 1e-6

Models = dict[str, Model]


class Ranking(Model):
    """Models propose, learners dispose.

    A score is the learners' for the `config.depth` best unseen items of each model; all other items follow in the
    order of the mean of the models' standardised scores. So do all items where no earlier night was known to learn
    from.

    Parameters
    ----------
    config
        The models, the learners and the windows of labels.
    training
        Seed and threads.
    make
        Unfitted models as `config.candidates` describes them, new ones with each call.
    """

    kind: ClassVar[str] = "ranking"
    factorises: ClassVar[bool] = False
    warm_starts: ClassVar[bool] = True

    def __init__(self, config: RankingConfig, training: Training, make: Callable[[], Models]) -> None:
        super().__init__()
        self.config, self.training = config, training
        self.features: tuple[str, ...] = ()
        """Names of what the learners read; empty where there was nothing to learn from."""
        self.reranker = Reranker.build(config, training)
        self._make = make
        self._models: Models = {}
        self._table: PairsTable | None = None

    def fit(
        self,
        dataset: Dataset,
        rows: TrainingRows,
        truth: Truth | None = None,
        *,
        epochs: int | None = None,
        progress: Progress = quiet,
        support: Support = ALONE,
    ) -> FitReport:
        """Learn the models on `dataset`, then the learners on earlier nights of `support.past`; see `Model.fit`.

        On an earlier night a model learns for as many epochs as on this one. With `support.start` the models go on
        from its models and the learners are its learners: no earlier night is read. `epochs` are those of every model
        that `support.epochs` doesn't name; reported are those of each, and of the model with most.

        Raises
        ------
        TrainingError
            A model can't be fitted.
        ArtifactError
            The start has no learners, or reads other features.
        """
        started = time.monotonic()
        start = None if support.start is None else _with_learners(support.start)
        self._models, reports = self._make(), {}
        fitted = dict(support.fitted)
        for name, section in _teachers_first(self.config):
            known = fitted.get(section.model_dump_json())
            if known is not None and known.report is not None:
                self._models[name], reports[name] = known, known.report
                continue
            own, told = replace(_room(support, name, start), fitted=fitted), _prefixed(progress, name)
            runs = support.epochs.get(name, epochs)
            reports[name] = self._models[name].fit(dataset, rows, truth, epochs=runs, progress=told, support=own)
            fitted[section.model_dump_json()] = self._models[name]
        self.features = ()
        if start is not None:
            self.reranker, self.features = start.reranker, start.features
        elif support.past is not None:
            self._learn(dataset, support.past, {name: report.epochs for name, report in reports.items()}, progress)
        if not self.features:
            progress("no labels of an earlier night: candidates keep the order of the models' mean score")
        self.attach(dataset)
        history = [
            {f"{name}_{key}": value for key, value in entry.items()}
            for name, report in reports.items()
            for entry in report.history
        ]
        if truth is not None and len(truth.users):
            history.append({"recall": recall(self, truth)})
            progress(f"re-ranked: recall@20 {history[-1]['recall']:.4f}")
        parts = {name: report.epochs for name, report in reports.items()}
        self.report = FitReport(max(parts.values()), time.monotonic() - started, history, parts)
        return self.report

    def attach(self, dataset: Dataset) -> None:
        """Score this data set from now on; see `Model.attach`.

        Raises
        ------
        ArtifactError
            The data set lacks what the learners read.
        """
        for model in self._models.values():
            model.attach(dataset)
        if self.features:
            self._table = PairsTable(dataset, tuple(self._models))
            if self._table.names != self.features:
                differ = sorted({*self._table.names} ^ {*self.features})
                raise ArtifactError(
                    f"the ranking model was trained with other features of pairs ({', '.join(differ)}): train it again"
                )
        super().attach(dataset)

    def scores(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        users, dataset = np.asarray(users, np.int64), self.dataset
        by_model = tables(self._models, users)
        scores = _mean_score(by_model)
        if self._table is None or scores.size == 0:
            return scores
        candidates = proposed(by_model, users, self.config.depth, dataset.seen[users])
        answers = self.reranker.score(self._table.matrix(candidates), candidates.groups)
        row = np.repeat(np.arange(len(users)), candidates.groups)
        lowest = np.zeros(len(users), np.float32)
        np.minimum.at(lowest, row, answers)
        scores -= scores.max(1, keepdims=True) + 1 - lowest[:, None]  # below all that the learners have put in order
        scores[row, candidates.items] = answers
        return scores

    @property
    def vector_model(self) -> Model | None:
        """The first of the models that has vectors."""
        return next((model for model in self._models.values() if model.factorises), None)

    def similar_items(self, k: int) -> TopK:
        """As the first of the models sees it."""
        _ = self.dataset
        return next(iter(self._models.values())).similar_items(k)

    def labelled(self, dataset: Dataset, models: Mapping[str, Model], truth: Truth) -> LabelledPairs:
        """Candidates of a truth's users, by models with `dataset` attached, and which of them they chose."""
        table, parts = PairsTable(dataset, tuple(models)), []
        for users in blocks(truth.users, len(dataset.item_ids)):
            part = proposed(tables(models, users), users, self.config.depth, dataset.seen[users])
            parts.append(LabelledPairs.of(table.matrix(part), part.labels(truth), part.groups))
        return LabelledPairs.joined(parts)

    @classmethod
    def build(cls, config: RankingConfig, profile: Profile) -> Self:
        """The model that a profile describes, before it is fitted."""
        from recommender.models.registry import new_model  # which imports this module

        def make() -> Models:
            return {name: new_model(section, profile) for name, section in config.candidates.items()}

        make()  # what a section misspells is told before anything is fitted
        return cls(config, profile.training, make)

    def save(self, folder: Path) -> None:
        if not self._models:
            raise NotReadyError("ranking isn't fitted, call `fit` or `load` first")
        for name, model in self._models.items():
            (folder / CANDIDATES / name).mkdir(parents=True)
            model.save(folder / CANDIDATES / name)
        if self.features:
            (folder / LEARNERS).mkdir()
            self.reranker.save(folder / LEARNERS)
        content = {
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "features": self.features,
            "report": None if self.report is None else asdict(self.report),
        }
        (folder / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        from recommender.models.registry import load_model  # which imports this module

        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        config = RankingConfig.model_validate(content["config"])
        model = cls(config, Training.model_validate(content["training"]), dict)
        model._models = {
            name: load_model(section.kind, folder / CANDIDATES / name) for name, section in config.candidates.items()
        }
        model.features = tuple(content["features"])
        if model.features:
            model.reranker.load(folder / LEARNERS)
        model.report = None if content["report"] is None else FitReport(**content["report"])
        return model

    def export_onnx(self, folder: Path) -> dict[str, Any]:
        """Write what the models that propose can write, in a folder each."""
        written: dict[str, dict[str, Any]] = {}
        for name, model in self._models.items():
            (folder / CANDIDATES / name).mkdir(parents=True, exist_ok=True)
            written[name] = model.export_onnx(folder / CANDIDATES / name)
        differences = [part["onnx_max_abs_diff"] for part in written.values() if "onnx_max_abs_diff" in part]
        files = [f"{CANDIDATES}/{name}/{file}" for name, part in written.items() for file in part.get("files", ())]
        return {"onnx_max_abs_diff": max(differences), "files": files} if differences else {}

    def _learn(self, dataset: Dataset, past: Past, epochs: Mapping[str, int], progress: Progress) -> None:
        """Fit the learners on windows of labels, the latest first."""
        windows, later = [], dataset
        for days in self.config.history_cuts:
            try:
                earlier, rows, _ = past.before(days)
            except NotReadyError as error:
                progress(f"no labels of {days} days ago: {error}")
                break
            truth, later = self._sampled(choices(earlier, later), days), earlier
            progress(f"labels of {len(truth.users):,} users after {earlier.ds}: fitting the models up to then")
            if len(truth.users) == 0:
                continue
            try:
                models = self._fitted_on(earlier, rows, epochs, progress)
            except TrainingError as error:
                progress(f"no labels of {days} days ago: {error}")
                break
            pairs = self.labelled(earlier, models, truth)
            if pairs.labels.any():
                windows.append(pairs)
                self.features = PairsTable(earlier, tuple(models)).names
        if windows:
            self.reranker.fit(windows, self.training.seed, progress)

    def _fitted_on(self, earlier: Dataset, rows: TrainingRows, epochs: Mapping[str, int], progress: Progress) -> Models:
        """The candidate models as they would have been on an earlier night."""
        models, fitted = self._make(), dict[str, Model]()
        for name, section in _teachers_first(self.config):
            told, support = _prefixed(progress, f"{name}, {earlier.ds}"), Support(fitted=fitted)
            models[name].fit(earlier, rows, epochs=epochs[name] or None, progress=told, support=support)
            fitted[section.model_dump_json()] = models[name]
        return models

    def _sampled(self, truth: Truth, days: int) -> Truth:
        if len(truth.users) <= self.config.label_users:
            return truth
        rng = np.random.default_rng([self.training.seed, days])
        chosen = np.sort(rng.choice(len(truth.users), self.config.label_users, replace=False))
        return Truth(truth.users[chosen], truth.relevant[chosen])


def _with_learners(start: Model) -> Ranking:
    if not isinstance(start, Ranking) or not start.features:
        raise ArtifactError(f"training cannot go on from a {start.kind} without learners: train from scratch")
    return start


def _teachers_first(config: RankingConfig) -> list[tuple[str, Any]]:
    """Names and sections of the models, those that learn from another after the others."""
    return sorted(config.candidates.items(), key=lambda item: getattr(item[1], "teacher", None) is not None)


def _mean_score(scores: Mapping[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """(users, items) mean over the models of scores with mean 0 and standard deviation 1 a user."""
    total: npt.NDArray[np.float32] | None = None
    for table in scores.values():
        scaled = (table - table.mean(1, keepdims=True)) / np.maximum(table.std(1, keepdims=True), LEAST_SPREAD)
        total = scaled if total is None else total + scaled
    if total is None:
        raise NotReadyError("ranking isn't fitted, call `fit` or `load` first")
    return total / np.float32(len(scores))


def _room(support: Support, name: str, start: Ranking | None) -> Support:
    """The same support with folders of its own for one of several fits, and that fit's start."""
    checkpoints, logs = (None if folder is None else folder / name for folder in (support.checkpoints, support.logs))
    own = None if start is None else start._models[name]
    return replace(support, checkpoints=checkpoints, logs=logs, start=own, on_epoch=None)


def _prefixed(progress: Progress, name: str) -> Progress:
    return lambda line: progress(f"{name}: {line}")
