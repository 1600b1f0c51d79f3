"""Lists that are not all of a kind: places for each creator, and maximal marginal relevance."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from recommender.publishing.order import Positions, first, occurrence

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]
Similarity = Callable[[Positions], Floats]
"""Of each user's (users,) picked candidate to all of theirs: (users, n), 1 is alike."""


def capped(valid: npt.NDArray[np.bool_], creators: Codes, most: int | None, k: int) -> Positions:
    """(users, k) places of the first valid candidates, at most `most` of a creator; -1 where none is left.

    Where that doesn't fill the list the others follow in their order.

    Parameters
    ----------
    valid
        (users, n) whether there is a candidate.
    creators
        (users, n) codes; below 0: of no creator, which has no limit.
    """
    classes = np.where(valid, 0, 2)
    if most is not None:
        classes[occurrence(np.where(valid, creators, -1)) >= most] = 1
    return first(classes, k, none=2)


def diverse(
    relevance: Floats, similar: Similarity, diversity: float, k: int, creators: Codes, most: int | None
) -> Positions:
    """(users, k) places by maximal marginal relevance, otherwise as `capped`.

    Each place goes to the candidate with the largest (1 - diversity) · relevance - diversity · (similarity to the most
    similar one that stands above it), the first of equals (Carbonell and Goldstein 1998, "The use of MMR").

    Parameters
    ----------
    relevance
        (users, n) in standard deviations of the user's candidates; -inf where there is none.
    """
    users = np.arange(len(relevance))
    picked = np.full((len(relevance), k), -1, np.int64)
    taken = np.full((len(relevance), k), -1, np.int32)  # creators of what is picked
    alone = (1 - diversity) * relevance
    worth = alone.copy()
    for place in range(k):
        pick = worth.argmax(axis=1)
        there = worth[users, pick] > -np.inf
        if not there.any():
            break
        picked[there, place] = pick[there]
        alone[users, pick] = -np.inf
        if most is not None:
            creator = np.where(there, creators[users, pick], -1)
            taken[:, place] = creator
            full = np.flatnonzero((creator >= 0) & ((taken[:, : place + 1] == creator[:, None]).sum(axis=1) >= most))
            alone[full] = np.where(creators[full] == creator[full, None], -np.inf, alone[full])
        marginal = similar(pick)
        marginal *= -diversity
        marginal += alone
        worth = marginal if place == 0 else np.minimum(worth, marginal, out=worth)
    return _filled(picked, relevance > -np.inf)


def cosine(vectors: Floats) -> Similarity:
    """Cosines of (users, n, d) unit vectors.

    Only the k rows that are asked for are computed: as fast as all n by one product where n is 3 k, and faster beyond.
    """
    users = np.arange(len(vectors))
    return lambda pick: np.matmul(vectors, vectors[users, pick][:, :, None])[:, :, 0]


def shared(attributes: tuple[Codes, ...]) -> Similarity:
    """Which share of some attributes is the same, each (users, n) codes; those below 0 are like no other."""

    def similar(pick: Positions) -> Floats:
        alike = np.zeros(attributes[0].shape, np.float32)
        for codes in attributes:
            of_pick = codes[np.arange(len(codes)), pick][:, None]
            alike += (codes == of_pick) & (of_pick >= 0)
        alike /= len(attributes)
        return alike

    return similar


def _filled(picked: Positions, valid: npt.NDArray[np.bool_]) -> Positions:
    """What the limit kept out goes to the places that are left."""
    short = np.flatnonzero(picked[:, -1] < 0)
    if len(short) == 0:
        return picked
    k = picked.shape[1]
    classes = np.where(valid[short], k, k + 1)
    row, place = np.nonzero(picked[short] >= 0)
    classes[row, picked[short][row, place]] = place
    filled = picked.copy()
    filled[short] = first(classes, k, k + 1)
    return filled
