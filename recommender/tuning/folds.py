"""K-fold cross validation by user.

Users are dealt to K folds by a hash of their id. For each fold a model is fitted as if its users did not exist: their
events are in no training row, no history, no count, and the early stop looks at the others' validation choices. Then
the model is shown everybody's history up to the cut, and scored on the validation choices of the fold's users: people
with a history whom the model never learnt from.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recommender.data.dataset import Dataset, Past, TrainingRows, Truth
from recommender.errors import TrainingError
from recommender.nightly.past import Material

Mask = npt.NDArray[np.bool_]


def fold_of(user_ids: npt.NDArray[np.object_], folds: int) -> npt.NDArray[np.int64]:
    """(users,) the fold of each id, whatever other users there are."""
    hashes = (hashlib.sha256(str(user_id).encode()).digest()[:8] for user_id in user_ids)
    return np.array([int.from_bytes(digest, "big") % folds for digest in hashes], np.int64)


@dataclass(frozen=True, eq=False)
class Fold:
    """What a fold's model is fitted on, and what it is scored on."""

    material: Material
    """Without the fold's users."""
    dataset: Dataset
    """With everybody, to attach before scoring."""
    truth: Truth
    """Validation choices of the fold's users."""


def fold(material: Material, number: int, folds: int) -> Fold:
    """The `number`-th of `folds`, counted from 0.

    Raises
    ------
    ValueError
        The material has no truth to split.
    """
    if material.truth is None:
        raise ValueError("folds need validation choices to be scored on")
    inside = fold_of(material.dataset.user_ids, folds) == number
    dataset, rows = _without(material.dataset, material.rows, inside)
    learnt = Material(dataset, rows, _of(material.truth, ~inside), _PastWithout(material.past, inside))
    return Fold(learnt, material.dataset, _of(material.truth, inside))


def check_folds(material: Material, folds: int) -> None:
    """See that every fold has somebody to be scored on.

    Raises
    ------
    TrainingError
        A fold has nobody who chose anything on the validation days.
    """
    judged = () if material.truth is None else material.dataset.user_ids[material.truth.users]
    filled = len(np.unique(fold_of(np.asarray(judged, dtype=object), folds)))
    if filled < folds:
        raise TrainingError(
            f"{folds - filled} of {folds} folds have no user who chose anything on the validation days: "
            "use fewer --folds, or raise training.validation_days"
        )


class _PastWithout:
    """Earlier nights without some users."""

    def __init__(self, past: Past, left_out: Mask) -> None:
        self._past, self._left_out = past, left_out

    def before(self, days: int) -> tuple[Dataset, TrainingRows, Truth]:
        dataset, rows, truth = self._past.before(days)
        return *_without(dataset, rows, self._left_out), _of(truth, ~self._left_out)


def _without(dataset: Dataset, rows: TrainingRows, left_out: Mask) -> tuple[Dataset, TrainingRows]:
    """A data set and its rows without some users' events; indices of users and items stay."""
    stays = ~left_out[dataset.user]
    position = np.cumsum(stays) - 1
    smaller = replace(
        dataset,
        user=dataset.user[stays],
        item=dataset.item[stays],
        ts=dataset.ts[stays],
        weight=dataset.weight[stays],
    )
    chosen = stays[rows.event]
    frames = {
        name: frame[chosen].reset_index(drop=True) if len(frame) else frame
        for name in ("user_features", "item_features", "pair_features")
        if (frame := getattr(rows, name)) is not None
    }
    outside = rows.outside[stays[rows.outside]]
    return smaller, TrainingRows(event=position[rows.event[chosen]], outside=position[outside], **frames)


def _of(truth: Truth, users: Mask) -> Truth:
    chosen = users[truth.users]
    return Truth(truth.users[chosen], truth.relevant[np.flatnonzero(chosen)])
