"""Learners that put candidates in order together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from recommender.config.ranking import Ranking
from recommender.config.training import Training
from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.groups import Floats, Ints, ranks, standardised
from recommender.models.ranking.learners.base import Learner
from recommender.models.ranking.learners.boosting import Boosting
from recommender.models.ranking.learners.linear import Linear
from recommender.models.ranking.learners.mlp import Mlp
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Candidates of one night and what users chose in the days after it."""

    features: Floats
    """(pairs, features)"""
    labels: Floats
    """(pairs,) 1 for what was chosen, else 0."""
    groups: Ints
    """(users,) pairs of each, together."""

    @classmethod
    def of(cls, features: Floats, labels: Floats, groups: Ints) -> Self:
        """Only of users with a choice among their candidates, since the others teach no order."""
        chosen = np.bincount(np.repeat(np.arange(len(groups)), groups), labels, len(groups)) > 0
        pairs = np.repeat(chosen, groups)
        # a column at a time: the columns stay contiguous
        kept = np.empty((features.shape[1], int(pairs.sum())), np.float32)
        for row, column in zip(kept, features.T, strict=True):
            row[:] = column[pairs]
        return cls(kept.T, labels[pairs], groups[chosen])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several as one; at least one of them."""
        features = np.concatenate([part.features.T for part in parts], axis=1).T
        labels, groups = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "groups"))
        return cls(features, labels, groups)


class Reranker:
    """Each learner's scores, standardised over a user's candidates, and of those the mean.

    Parameters
    ----------
    learners
        At least one.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self.learners = tuple(learners)

    @classmethod
    def build(cls, config: Ranking, training: Training) -> Self:
        """The learners that a profile asks for."""
        learners: list[Learner] = []
        if config.linear is not None:
            learners.append(Linear(config.linear))
        if config.mlp is not None:
            learners.append(Mlp(config.mlp, training))
        if config.boosting is not None:
            learners.append(Boosting(config.boosting, training))
        return cls(learners)

    def fit(self, windows: Sequence[LabelledPairs], seed: int, progress: Progress = quiet) -> None:
        """Learn from one or more windows of labels; the same ones and the same seed give the same bits.

        Raises
        ------
        TrainingError
            No user chose any candidate.
        """
        pairs = LabelledPairs.joined(windows)
        users, chosen = len(pairs.groups), pairs.labels.sum()
        for learner in self.learners:
            progress(f"{learner.kind}: {len(pairs.labels):,} candidates of {users:,} users, {chosen:,.0f} chosen")
            learner.fit(pairs.features, pairs.labels, pairs.groups, seed)

    def score(self, features: Floats, groups: Ints) -> Floats:
        """(pairs,) of (pairs, features)."""
        return self.joined(self.raw(features), groups)

    def raw(self, features: Floats) -> list[Floats]:
        """By learner: (pairs,) its own scores."""
        return [learner.score(features) for learner in self.learners]

    def joined(self, raw: Sequence[Floats], groups: Ints) -> Floats:
        """(pairs,) the scores that the learners' own make together."""
        total = np.zeros(len(raw[0]), np.float32)
        for scores in raw:
            total += standardised(scores, groups)
        return total / np.float32(len(raw))

    def rank(self, candidates: Candidates, features: Floats, k: int) -> TopK:
        """The `k` best candidates of each user, best first."""
        return candidates.ranked(self.score(features, candidates.groups), k)

    def importance(self, pairs: LabelledPairs, names: Sequence[str], k: int = 20, seed: int = 0) -> dict[str, float]:
        """By feature, how much of NDCG@k is lost when its values are shuffled among all pairs; largest first.

        Permutation importance (Breiman, "Random forests", 2001), over the candidates given: a sample of users will do.
        A feature that others can stand in for counts for little.
        """
        rng = np.random.default_rng(seed)
        before = self._ndcg(pairs.features, pairs, k)
        lost = {}
        for number, name in enumerate(names):
            shuffled = pairs.features.copy()
            shuffled[:, number] = rng.permutation(shuffled[:, number])
            lost[name] = before - self._ndcg(shuffled, pairs, k)
        return dict(sorted(lost.items(), key=lambda entry: -entry[1]))

    def save(self, folder: Path) -> None:
        """Write a file a learner into an existing folder."""
        for learner in self.learners:
            learner.save(folder)

    def load(self, folder: Path) -> None:
        """Read what a reranker of the same configuration saved."""
        for learner in self.learners:
            learner.load(folder)

    def _ndcg(self, features: Floats, pairs: LabelledPairs, k: int) -> float:
        place = ranks(self.score(features, pairs.groups), pairs.groups)
        user = np.repeat(np.arange(len(pairs.groups)), pairs.groups)
        gain = np.bincount(user, np.where(place < k, pairs.labels / np.log2(place + 2.0), 0), len(pairs.groups))
        ideal = np.cumsum(1 / np.log2(np.arange(k) + 2.0))
        chosen = np.bincount(user, pairs.labels, len(pairs.groups)).astype(np.int64)
        shares: npt.NDArray[np.float64] = gain / ideal[np.clip(chosen, 1, k) - 1]
        return float(shares.mean())
