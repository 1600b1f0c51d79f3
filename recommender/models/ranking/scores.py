"""What the models' scores say about a pair, beside the other candidates of the user."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recommender.models.ranking.candidates import Candidates, Floats, Ints, padded

LEAST_SPREAD = 1e-6


class ScoreColumns:
    """Columns of every model, and of all together.

    `ease_score`, `ease_rank`: the score less the mean of the user's candidates, divided by their standard deviation;
    log of one plus the rank among them, 0 for the best. `mean_score`, `best_rank`: mean and least over the models.
    """

    def __init__(self, models: Sequence[str]) -> None:
        self._models = tuple(models)
        self.names: tuple[str, ...] = (
            *(f"{model}_{part}" for model in models for part in ("score", "rank")),
            "mean_score",
            "best_rank",
        )

    def fill(self, columns: Floats, candidates: Candidates) -> None:
        """Write (columns, pairs)."""
        for number, model in enumerate(self._models):
            scores = candidates.scores[model]
            columns[2 * number] = standardised(scores, candidates.groups)
            columns[2 * number + 1] = np.log1p(ranks(scores, candidates.groups))
        model_columns = columns[: 2 * len(self._models)]
        np.mean(model_columns[0::2], axis=0, out=columns[-2])
        np.min(model_columns[1::2], axis=0, out=columns[-1])


def standardised(scores: Floats, groups: Ints) -> Floats:
    """(pairs,) each user's scores with mean 0 and standard deviation 1; 0 where all are alike."""
    table, present, count = _table(scores, groups)
    table -= (table.sum(1) / count)[:, None]
    table[~present] = 0
    spread = np.sqrt((table * table).sum(1) / count)
    table /= np.maximum(spread, LEAST_SPREAD)[:, None]
    result: Floats = table[present]
    return result


def ranks(scores: Floats, groups: Ints) -> npt.NDArray[np.int32]:
    """(pairs,) how many of the user's pairs come before each, best first; equal scores in their order."""
    table = padded(scores, groups, -np.inf)
    order = np.argsort(-table, axis=1, kind="stable")
    rank = np.empty(table.shape, np.int32)
    np.put_along_axis(rank, order, np.arange(table.shape[1], dtype=np.int32)[None, :], axis=1)
    result: npt.NDArray[np.int32] = rank[np.arange(table.shape[1]) < groups[:, None]]
    return result


def _table(scores: Floats, groups: Ints) -> tuple[Floats, npt.NDArray[np.bool_], Floats]:
    table = padded(scores, groups, 0).copy()
    present = np.arange(table.shape[1]) < groups[:, None]
    return table, present, np.maximum(groups, 1).astype(np.float32)
