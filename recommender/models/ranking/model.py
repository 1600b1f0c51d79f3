"""Several models and the learners that put their candidates in order, as one model of the profile."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from recommender.config.ranking import Ranking as RankingConfig
from recommender.config.training import Training
from recommender.data.dataset import Dataset, Past, TrainingRows, Truth
from recommender.errors import ArtifactError, NotReadyError, TrainingError
from recommender.models.base import ALONE, Model, Support
from recommender.models.composite import Composite, Models, joined, prefixed
from recommender.models.explaining.contributions import (
    Arrangement,
    Contributions,
    Explained,
    as_ranked,
    joined_contributions,
)
from recommender.models.ranking.candidates import blocks, proposed
from recommender.models.ranking.groups import Floats
from recommender.models.ranking.in_threads import in_threads
from recommender.models.ranking.labels import choices
from recommender.models.ranking.ordered import Ordered, mean_score, offered
from recommender.models.ranking.pairs_table import PairsTable
from recommender.models.ranking.removal import PairRemovals
from recommender.models.ranking.reranker import LabelledPairs, Reranker
from recommender.models.recall import recall
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK, top_k_of_scores
from recommender.training.report import FitReport

LEARNERS = "learners"
"""Folder of the learners."""


class Ranking(Composite):
    """Models propose, learners dispose.

    A score is the learners' for the `config.depth` best unseen items of each model; all other items follow in the
    order of the mean of the models' standardised scores. So do all items where no earlier night was known to learn
    from.
    """

    kind: ClassVar[str] = "ranking"
    factorises = False
    config: RankingConfig
    config_class = RankingConfig
    folder: ClassVar[str] = "candidates"

    def __init__(self, config: RankingConfig, training: Training, make: Callable[[], Models]) -> None:
        super().__init__(config, training, make)
        self.features: tuple[str, ...] = ()
        """Names of what the learners read; empty where there was nothing to learn from."""
        self.reranker = Reranker.build(config, training)
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
        begun = {} if start is None else start._models
        reports = self._fit_parts(dataset, rows, truth, epochs, progress, support, begun)
        self.features = ()
        if start is not None:
            self.reranker, self.features = start.reranker, start.features
        elif support.past is not None:
            self._learn(dataset, support.past, {name: report.epochs for name, report in reports.items()}, progress)
        if not self.features:
            progress("no labels of an earlier night: candidates keep the order of the models' mean score")
        self.attach(dataset)
        self.report = joined(reports, time.monotonic() - started)
        if truth is not None and len(truth.users):
            found = recall(self, truth)
            self.report.history.append({"recall": found})
            progress(f"re-ranked: recall@20 {found:.4f}")
        return self.report

    def attach(self, dataset: Dataset) -> None:
        """Score this data set from now on; see `Model.attach`.

        Raises
        ------
        ArtifactError
            The data set lacks what the learners read.
        """
        if self.features:
            self._table = PairsTable(dataset, tuple(self._models))
            if self._table.names != self.features:
                differ = sorted({*self._table.names} ^ {*self.features})
                raise ArtifactError(
                    f"the ranking model was trained with other features of pairs ({', '.join(differ)}): train it again"
                )
        super().attach(dataset)

    def scores(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return self._of_all(np.asarray(users, np.int64), None)

    def recommend(
        self,
        users: npt.NDArray[np.int64],
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> TopK:
        """See `Model.recommend`; of the `allowed` items the best are proposed."""

        def best(block: npt.NDArray[np.int64]) -> TopK:
            return self._best(block, self.ordered(block, allowed), k, exclude_seen, allowed)

        parts = in_threads(best, blocks(np.asarray(users, np.int64), len(self.dataset.item_ids)))
        empty = TopK(np.zeros((0, k), np.int32), np.zeros((0, k), np.float32))
        items, scores = zip(*((part.items, part.scores) for part in (empty, *parts)), strict=True)
        return TopK(np.concatenate(items), np.concatenate(scores))

    def contributions(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.integer]) -> Contributions | None:
        """Of candidates of their users; of other items nothing is told. See `PairRemovals`."""
        parts, start = [], 0
        for block in blocks(users, len(self.dataset.item_ids)):
            parts.append(self._told(self.ordered(block), items[start : start + len(block)]))
            start += len(block)
        return joined_contributions(parts)

    def explained(
        self,
        users: npt.NDArray[np.int64],
        k: int,
        *,
        allowed: npt.NDArray[np.bool_] | None = None,
        arranged: Arrangement = as_ranked,
    ) -> Iterator[Explained]:
        def explained(block: npt.NDArray[np.int64]) -> Explained:
            ordered = self.ordered(block, allowed)
            top = arranged(block, self._best(block, ordered, k, True, allowed))
            return Explained(top, self._told(ordered, top.items))

        yield from in_threads(explained, blocks(users, len(self.dataset.item_ids)))

    def ordered(self, users: npt.NDArray[np.int64], allowed: npt.NDArray[np.bool_] | None = None) -> Ordered:
        """Candidates of a block of users among the `allowed` items, with what the learners read and say of them."""
        if self._table is None:
            return Ordered()
        candidates = proposed(self._models, users, self.config.depth, self.dataset.seen[users], allowed)
        if len(candidates.items) == 0:
            return Ordered()
        features = self._table.matrix(candidates)
        raw = self.reranker.raw(features)
        return Ordered(candidates, features, raw, self.reranker.joined(raw, candidates.groups))

    def _best(
        self,
        users: npt.NDArray[np.int64],
        ordered: Ordered,
        k: int,
        exclude_seen: bool,
        allowed: npt.NDArray[np.bool_] | None,
    ) -> TopK:
        """The `k` best items of each user; all items are scored for those alone whose candidates don't fill a list."""
        seen = self.dataset.seen[users] if exclude_seen else None
        if ordered.candidates is None:
            return top_k_of_scores(self._of_all(users, allowed), k, seen=seen, allowed=allowed)
        best, filled = ordered.candidates.ranked(ordered.scores, k), ordered.candidates.groups
        short = np.flatnonzero(filled < np.minimum(k, offered(len(users), len(self.dataset.item_ids), seen, allowed)))
        if len(short):
            scores = self._of_all(users[short], allowed)
            rest = top_k_of_scores(scores, k, seen=None if seen is None else seen[short], allowed=allowed)
            best.items[short], best.scores[short] = rest.items, rest.scores
        return best

    def _of_all(self, users: npt.NDArray[np.int64], allowed: npt.NDArray[np.bool_] | None) -> Floats:
        """(users, items) scores: the learners' for candidates, below them all others by the models' mean score."""
        rest = mean_score({name: model.scores(users) for name, model in self._models.items()})
        return self.ordered(users, allowed).above(rest)

    def _told(self, ordered: Ordered, items: npt.NDArray[np.integer]) -> Contributions | None:
        if ordered.candidates is None or ordered.features is None:
            return None
        removals = PairRemovals(self.reranker, self.features)
        return removals.contributions(
            ordered.candidates, ordered.features, ordered.raw, items, len(self.dataset.item_ids)
        )

    @property
    def vector_model(self) -> Model | None:
        """The first of the models that has vectors."""
        return next((model for model in self._models.values() if model.factorises), None)

    def labelled(self, dataset: Dataset, models: Mapping[str, Model], truth: Truth) -> LabelledPairs:
        """Candidates of a truth's users, by models with `dataset` attached, and which of them they chose."""
        table, parts = PairsTable(dataset, tuple(models)), []
        for users in blocks(truth.users, len(dataset.item_ids)):
            part = proposed(models, users, self.config.depth, dataset.seen[users])
            parts.append(LabelledPairs.of(table.matrix(part), part.labels(truth), part.groups))
        return LabelledPairs.joined(parts)

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.features:
            (folder / LEARNERS).mkdir()
            self.reranker.save(folder / LEARNERS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = super().load(folder)
        model.features = tuple(json.loads((folder / "model.json").read_text(encoding="utf-8"))["features"])
        if model.features:
            model.reranker.load(folder / LEARNERS)
        return model

    def _more(self) -> dict[str, Any]:
        return {"features": self.features}

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
        for name, section in self._teachers_first():
            told, support = prefixed(progress, f"{name}, {earlier.ds}"), Support(fitted=fitted)
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
