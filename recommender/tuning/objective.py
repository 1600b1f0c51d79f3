"""One trial: a model with the trial's settings, fitted and scored by recall@20 on the validation days."""

from statistics import fmean, stdev

import optuna
from pydantic import ValidationError

from recommender.config.models import AnyModel
from recommender.config.profile import Profile
from recommender.config.search import Search, with_values
from recommender.config.section import first_problem
from recommender.data.dataset import Dataset, Truth
from recommender.errors import RecommenderError
from recommender.evaluation.evaluate import evaluate
from recommender.models.base import Support
from recommender.models.registry import new_model
from recommender.nightly.past import Material
from recommender.progress import Progress
from recommender.tuning.folds import fold
from recommender.tuning.space import suggest

K = 20
HEADLINE = f"recall@{K}"
SPREAD, REFUSED, ERROR = "spread", "refused", "error"
"""What a trial keeps beside its figure: the folds' standard deviation, or why there is no figure."""


class Objective:
    """Called by Optuna with each trial; returns its recall@20, over the folds their mean.

    Parameters
    ----------
    material
        Everything a trial sees: it knows nothing of the holdout.
    folds
        1: one fit on everybody, stopped early by the figure that it is scored by.
    """

    def __init__(self, profile: Profile, search: Search, material: Material, folds: int, progress: Progress) -> None:
        self._profile, self._search, self._material = profile, search, material
        self._folds, self._progress = folds, progress

    def __call__(self, trial: optuna.Trial) -> float:
        try:
            config = with_values(self._profile.model, suggest(trial, self._search))
        except ValidationError as error:
            trial.set_user_attr(REFUSED, first_problem(error))
            raise optuna.TrialPruned from None
        try:
            return self._alone(config, trial) if self._folds == 1 else self._over_folds(config, trial)
        except RecommenderError as error:
            trial.set_user_attr(ERROR, str(error))
            raise

    def _alone(self, config: AnyModel, trial: optuna.Trial) -> float:
        def on_epoch(epoch: int, recall: float) -> None:
            trial.report(recall, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        material = self._material
        support = Support(past=material.past, on_epoch=on_epoch)
        return self._score(config, material, material.dataset, material.truth, support, trial)

    def _over_folds(self, config: AnyModel, trial: optuna.Trial) -> float:
        """A hopeless one ends after a fold instead of an epoch; after the last one all work is done."""
        scores: list[float] = []
        for number in range(self._folds):
            part = fold(self._material, number, self._folds)
            support = Support(past=part.material.past)
            scores.append(self._score(config, part.material, part.dataset, part.truth, support, trial))
            trial.report(fmean(scores), number)
            if number < self._folds - 1 and trial.should_prune():
                raise optuna.TrialPruned
        trial.set_user_attr(SPREAD, stdev(scores))
        return fmean(scores)

    def _score(
        self,
        config: AnyModel,
        material: Material,
        dataset: Dataset,
        truth: Truth | None,
        support: Support,
        trial: optuna.Trial,
    ) -> float:
        def progress(line: str) -> None:
            self._progress(f"trial {trial.number}: {line}")

        model = new_model(config, self._profile)
        model.fit(material.dataset, material.rows, material.truth, progress=progress, support=support)
        if dataset is not material.dataset:
            model.attach(dataset)
        return 0.0 if truth is None else evaluate(model, truth, (K,)).get(HEADLINE, 0.0)
