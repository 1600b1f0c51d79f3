"""What the models' scores say about a pair, beside the other candidates of the user."""

from collections.abc import Sequence

import numpy as np

from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.groups import Floats, ranks


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
            columns[2 * number] = candidates.standard_scores[model]
            columns[2 * number + 1] = np.log1p(ranks(candidates.scores[model], candidates.groups))
        columns[-2] = candidates.mean_score
        np.min(columns[1:-2:2], axis=0, out=columns[-1])
