"""Orders of a block of users' candidates, all rows at once and always the same: equals keep their places.

Sorting whole numbers that hold the place in their low bits is stable, and ten times faster than a stable argsort.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

_LOW = 32
_MASK = (1 << _LOW) - 1

T = TypeVar("T", bound=np.generic)
Positions = npt.NDArray[np.int64]


def descending(values: npt.NDArray[np.float32]) -> Positions:
    """(users, n) places of (users, n) finite or -inf values, largest first."""
    bits = (values + np.float32(0)).view(np.int32)  # there is one zero only
    ascending = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    return by_class(~ascending)


def by_class(classes: npt.NDArray[np.signedinteger]) -> Positions:
    """(users, n) places of (users, n) classes, the lowest class first, within a class as they stand."""
    keys = (classes.astype(np.int64) << _LOW) | np.arange(classes.shape[1])
    keys.sort(axis=1)
    return keys & _MASK


def first(classes: npt.NDArray[np.signedinteger], k: int, none: int) -> Positions:
    """(users, k) the first places by their class, -1 for those of class `none`."""
    places = by_class(classes)[:, :k]
    places[np.take_along_axis(classes, places, axis=1) == none] = -1
    return places


def occurrence(codes: npt.NDArray[np.signedinteger]) -> Positions:
    """(users, n) how often each code stands before this place in its row; 0 for codes below 0.

    [[7, 3, 7, -1, 7, -1]] -> [[0, 0, 1, 0, 2, 0]]
    """
    width = codes.shape[1]
    keys = (codes.astype(np.int64) << _LOW) | np.arange(width)
    keys.sort(axis=1)
    places, sorted_codes = keys & _MASK, keys >> _LOW
    first = np.zeros_like(places)
    first[:, 1:] = np.where(sorted_codes[:, 1:] != sorted_codes[:, :-1], np.arange(1, width), 0)
    np.maximum.accumulate(first, axis=1, out=first)
    counts = np.empty_like(places)
    np.put_along_axis(counts, places, np.where(sorted_codes < 0, 0, np.arange(width) - first), axis=1)
    return counts


def gathered(values: npt.NDArray[T], places: Positions, missing: float) -> npt.NDArray[T]:
    """(users, m) values at (users, m) places of their row; `missing` where the place is -1."""
    taken = np.take_along_axis(values, np.maximum(places, 0), axis=1)
    taken[places < 0] = missing
    return taken
