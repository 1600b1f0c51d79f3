"""What a linear model of items on items would recommend, as soft targets for the towers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from recommender.config.classic import Ease as EaseConfig
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset, TrainingRows
from recommender.features.definitions import Feature
from recommender.models.base import Support
from recommender.models.ease import Ease
from recommender.models.side import KINDS, USUAL_SIDE
from recommender.progress import Progress
from recommender.training.batches import Batch

LEAST_BEST = 1e-4
"""Best score of the teacher below which it has nothing to say of a user."""
_NEVER = np.float32(-1e9)


def fitted_teacher(
    config: EaseConfig,
    training: Training,
    features: Sequence[Feature],
    dataset: Dataset,
    rows: TrainingRows,
    support: Support,
    progress: Progress,
) -> Ease:
    """The teacher, fitted on the same events; the one in `support.fitted` where it is of this configuration.

    `config.side_features` are among `features`: `TwoTower.build` has made sure of it.
    """
    known = support.fitted.get(config.model_dump_json())
    if isinstance(known, Ease):
        return known
    by_name = {feature.name: feature for feature in features if feature.kind in KINDS["item"]}
    usual = [name for name in USUAL_SIDE if name in by_name][:1]
    names = usual if config.side_features is None else config.side_features
    teacher = Ease(config, training, [by_name[name] for name in names])
    teacher.fit(dataset, rows, progress=progress)
    return teacher


class Distillation:
    """The teacher's view of a batch: how much of each user's attention each candidate deserves.

    With a user's visible history q, weighed as the teacher weighs it, and the teacher's matrix B, candidate j
    has the score s_j = sum_i q_i B_ij. Its soft target is the softmax of s / (T max s) over the candidates a user may
    be recommended, each divided by its chance of being one of them. (Hinton, Vinyals and Dean, "Distilling the
    knowledge in a neural network", 2015; scores are relative to the best, so that one T fits long and short
    histories.)
    """

    def __init__(self, teacher: Ease, config: TwoTowerConfig) -> None:
        self._teacher = teacher
        self._share = config.teacher_weight
        self._temperature = config.teacher_temperature

    def goal(self, batch: Batch, log_q: npt.NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What the towers should give, and which pairs they are not asked about.

        A user counts for the weight of their targets. `teacher_weight` of that is the teacher's to give, the rest is
        the targets'; all of it is theirs where no history is visible.

        Returns
        -------
        goal : (b, c) float32
            How much each candidate of each user counts; all of it sums to 1.
        forbidden : (f,) and (f,) int64
            Rows and columns of the batch's forbidden pairs that are no targets.
        """
        users, candidates = len(batch.users), len(batch.candidates)
        of_target = batch.weights / batch.weights.sum()
        scores, speaks = self._scores(batch)
        target = batch.targets[0] * candidates + batch.targets[1]
        forbidden = np.setdiff1d(batch.forbidden[0] * candidates + batch.forbidden[1], target)
        row, column = np.divmod(forbidden, max(1, candidates))
        scores[row, column] = _NEVER
        best = scores.max(1, keepdims=True)
        speaks &= best[:, 0] > LEAST_BEST
        scores -= best
        scores /= np.maximum(best, LEAST_BEST) * np.float32(self._temperature)
        goal = torch.from_numpy(scores).sub_(torch.from_numpy(log_q)).softmax(1)
        weight = np.bincount(batch.targets[0], weights=of_target, minlength=users)
        goal *= torch.from_numpy((self._share * weight * speaks).astype(np.float32)).unsqueeze(1)
        left = of_target * np.where(speaks, 1 - self._share, 1)[batch.targets[0]]
        goal.view(-1).index_add_(0, torch.from_numpy(target), torch.from_numpy(left.astype(np.float32)))
        return goal, (torch.from_numpy(row), torch.from_numpy(column))

    def _scores(self, batch: Batch) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """(b, c) the teacher's scores, and (b,) whether any history is visible."""
        histories, config = batch.histories, self._teacher.config
        row, column = np.nonzero(histories.present)
        met, place = np.unique(histories.items[row, column], return_inverse=True)
        weight = histories.weight[row, column]
        if config.half_life_days is not None:
            age = histories.age[row, column]
            weight *= (config.floor + (1 - config.floor) * np.exp2(-age / config.half_life_days)).astype(np.float32)
        # of several events with an item the one that weighs most, as the teacher reads them; a matrix would add them
        shape = (len(batch.users), len(met))
        pairs, pair = np.unique(row * shape[1] + place, return_inverse=True)
        most = np.full(len(pairs), -np.inf, np.float32)
        np.maximum.at(most, pair, weight)
        queries = sparse.csr_matrix((most, np.divmod(pairs, max(1, shape[1]))), shape=shape)
        scores = np.asarray(queries @ self._teacher.pull(met, batch.candidates), np.float32)
        visible: npt.NDArray[np.bool_] = histories.present.sum(1) > 0
        return scores, visible
