"""A model's scores as a classifier: does it tell what a user goes on to choose from what the user does not?

For a user, R are the relevant items and N the other known items that the user has not met; s is the score:

    auc             share of all pairs of R and N with s(relevant) > s(other), ties count half

That is exact: every item of N takes part. The others are of a sample, as their names say. Beside the items of R stand
as many of N, drawn at random; an item is called relevant where its score is at least t. With TP, FP, TN and FN the
right and wrong calls:

    pair_accuracy   (TP + TN) / (TP + FP + TN + FN)
    pair_precision  TP / (TP + FP), 0 where nothing is called relevant
    pair_recall     TP / (TP + FN)
    pair_f1         2 TP / (2 TP + FP + FN)

The threshold t is one for all users: users are divided into two halves at random, and each is called by the t that
gives the other the highest mean pair_accuracy. All are means over users, of whom a sample is enough: `MOST_USERS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.data.dataset import Dataset, Truth
from recommender.evaluation.confidence import PerUser
from recommender.models.base import SCORED_PAIRS, Model

MOST_USERS = 2000
"""Of more users than this, so many are drawn."""
SEED = 0
"""Of users, of the items beside the relevant ones and of the halves: the same for every model."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Classified:
    """A model's scores as a classifier on users of a truth."""

    rows: npt.NDArray[np.int64]
    """(n,) rows of the truth that were judged, ascending; the same for every model."""
    per_user: PerUser
    """(n,) values of every metric."""


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Scores of the relevant items and of those drawn beside them."""

    row: npt.NDArray[np.int64]
    """(pairs,) which of the judged users, ascending."""
    score: npt.NDArray[np.float32]
    relevant: npt.NDArray[np.bool_]


def classification_metrics(model: Model, truth: Truth, seed: int = SEED, most_users: int = MOST_USERS) -> Classified:
    """AUC over all unseen known items, and the figures of sampled pairs.

    The model's attached data set must be the one whose indices `truth` uses. Users are left out whose relevant items
    are all unknown or met, or who have no other unseen item.
    """
    rng = np.random.default_rng(seed)
    rows = _judged(model.dataset, truth, rng, most_users)
    half = rng.permutation(len(rows)) % 2 == 0
    auc, pairs = np.zeros(len(rows)), []
    for number, (scores, relevant, others) in enumerate(_scored(model, truth, rows)):
        auc[number] = _auc(scores[relevant], scores[others])
        drawn = rng.choice(others, min(len(relevant), len(others)), replace=False)
        pairs.append((scores[relevant], scores[drawn]))
    if not pairs:
        return Classified(rows, {})
    return Classified(rows, {"auc": auc, **_pair_metrics(_flat(pairs), half)})


def _judged(dataset: Dataset, truth: Truth, rng: np.random.Generator, most_users: int) -> npt.NDArray[np.int64]:
    """Rows of the truth's users who have something to tell apart, drawn where there are too many."""
    known = sparse.diags(dataset.known_items.astype(np.float32))
    seen = dataset.seen[truth.users]
    relevant = truth.relevant @ known
    relevant = (relevant - relevant.multiply(seen)).tocsr()
    relevant.eliminate_zeros()
    chosen = relevant.getnnz(axis=1)
    unseen = np.count_nonzero(dataset.known_items) - seen.getnnz(axis=1)
    rows = np.flatnonzero((chosen > 0) & (unseen > chosen))
    return np.sort(rng.choice(rows, most_users, replace=False)) if len(rows) > most_users else rows


def _scored(
    model: Model, truth: Truth, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Of each row the (items,) scores, and the unseen known items that are relevant and that are not."""
    dataset = model.dataset
    block = max(1, SCORED_PAIRS // len(dataset.item_ids))
    for start in range(0, len(rows), block):
        chosen = rows[start : start + block]
        users = truth.users[chosen]
        for user, row, scores in zip(users, chosen, model.scores(users), strict=True):
            unseen = dataset.known_items.copy()
            unseen[dataset.item[slice(*dataset.offsets[user : user + 2])]] = False
            wanted = np.zeros_like(unseen)
            wanted[truth.relevant.indices[slice(*truth.relevant.indptr[row : row + 2])]] = True
            yield scores, np.flatnonzero(unseen & wanted), np.flatnonzero(unseen & ~wanted)


def _auc(relevant: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> float:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, relevant, "left") + np.searchsorted(ordered, relevant, "right")
    return float(below.mean() / 2 / len(ordered))


def _flat(pairs: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]) -> _Pairs:
    parts = [part for pair in pairs for part in pair]
    sizes = [len(part) for part in parts]
    number = np.repeat(np.arange(len(parts)), sizes)
    return _Pairs(number // 2, np.concatenate(parts), number % 2 == 0)


def _pair_metrics(pairs: _Pairs, half: npt.NDArray[np.bool_]) -> dict[str, Floats]:
    """(n,) of each; `half` (n,) tells the halves apart."""
    users = len(half)
    weight = 1 / np.bincount(pairs.row, minlength=users)[pairs.row]
    called = np.zeros(len(pairs.row), bool)
    for one in (half, ~half):
        other = ~one if (~one).any() else one  # a single user has no other half
        learnt, applied = other[pairs.row], one[pairs.row]
        threshold = _threshold(pairs.score[learnt], pairs.relevant[learnt], weight[learnt])
        called[applied] = pairs.score[applied] >= threshold

    def count(which: npt.NDArray[np.bool_]) -> Floats:
        return np.bincount(pairs.row[which], minlength=users).astype(np.float64)

    right, positives, called_so = count(called & pairs.relevant), count(pairs.relevant), count(called)
    return {
        "pair_accuracy": count(called == pairs.relevant) / count(np.ones_like(called)),
        "pair_precision": right / np.maximum(called_so, 1),
        "pair_recall": right / positives,
        "pair_f1": 2 * right / (called_so + positives),
    }


def _threshold(score: npt.NDArray[np.float32], relevant: npt.NDArray[np.bool_], weight: Floats) -> float:
    """The highest score from which on calling items relevant is right most often; infinite where it never helps."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    gain = np.cumsum(np.where(relevant[order], weight[order], -weight[order]))
    last = np.append(ordered[1:] != ordered[:-1], True)  # equal scores are called alike
    best = int(np.where(last, gain, -np.inf).argmax())
    return float(ordered[best]) if gain[best] > 0 else float("inf")
