"""How good predictions of held-out pairs are."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.floating]


def classification(probabilities: Floats, labels: Floats) -> dict[str, float]:
    """`auc`, the share of (1, 0) pairs in the right order, ties counting half, and `accuracy` at a half.

    Empty where there are not both labels.
    """
    positive = labels > 0.5
    count, others = int(positive.sum()), int((~positive).sum())
    if count == 0 or others == 0:
        return {}
    # Mann and Whitney's U from the sum of ranks
    wins = rankdata(probabilities)[positive].sum() - count * (count + 1) / 2
    return {"auc": float(wins / (count * others)), "accuracy": float(((probabilities >= 0.5) == positive).mean())}


def regression(values: Floats, targets: Floats) -> dict[str, float]:
    """`rmse` and `mae`, in the unit of the targets; empty without any."""
    if len(targets) == 0:
        return {}
    error = values.astype(np.float64) - targets
    return {"rmse": float(np.sqrt((error**2).mean())), "mae": float(np.abs(error).mean())}
