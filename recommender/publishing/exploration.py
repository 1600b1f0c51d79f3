"""Places for items that nobody can have chosen often yet."""

import numpy as np
import numpy.typing as npt

from recommender.publishing.diversity import Codes
from recommender.publishing.order import Positions, first, gathered, occurrence


def new_places(share: float, k: int) -> int:
    """How many of `k` places are for new items."""
    return int(share * k + 0.5)


def explored(
    chosen: Positions,
    new: npt.NDArray[np.bool_],
    valid: npt.NDArray[np.bool_],
    places: int,
    creators: Codes,
    most: int | None,
) -> Positions:
    """(users, k) lists of which the first r places hold round(places · r / k) new items or more, for every r.

    Those that the list has already count where they stand; later ones are moved up, and when there are no more, the
    first that the list left out come in. What isn't new moves down, and out at the end. A creator who has `most` places
    gets no more.

    Parameters
    ----------
    chosen
        (users, k) places of candidates, -1 where none was left.
    new, valid, creators
        (users, n) of the candidates: whether the item is new, whether there is one, the code of its creator.
    """
    k, width = chosen.shape[1], new.shape[1]
    every = np.concatenate([chosen, _left_out(chosen, new & valid)], axis=1)
    counts = gathered(new, every, False)
    if most is not None:
        counts &= occurrence(gathered(creators, every, -1)) < most
    never = width + k
    due = np.full(every.shape[1] + 1, never)
    due[1 : places + 1] = np.ceil((np.arange(places) + 0.5) * k / places) - 1
    here = np.arange(every.shape[1])
    to = np.minimum(np.where(here < k, here, never), due[counts.cumsum(axis=1)])
    counts &= to < k
    lists = np.full_like(chosen, -1)
    row, place = np.nonzero(counts)
    lists[row, to[row, place]] = every[row, place]
    free = (lists < 0) & (here[:k] < (chosen >= 0).sum(axis=1, keepdims=True))
    others = ~counts[:, :k] & (chosen >= 0)
    others &= others.cumsum(axis=1) <= free.sum(axis=1, keepdims=True)
    lists[free] = chosen[others]
    return lists


def _left_out(chosen: Positions, wanted: npt.NDArray[np.bool_]) -> Positions:
    """(users, n - k) wanted candidates that are not chosen, in their order, then -1."""
    classes = np.where(wanted, 0, 1)
    row, place = np.nonzero(chosen >= 0)
    classes[row, chosen[row, place]] = 1
    return first(classes, wanted.shape[1] - chosen.shape[1], none=1)
