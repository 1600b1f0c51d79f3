"""Arithmetic user by user, over arrays in which the pairs of a user are together."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Number = TypeVar("Number", np.float32, np.int32)

LEAST_SPREAD = 1e-6


def present(groups: Ints) -> npt.NDArray[np.bool_]:
    """(users, longest group) True in the first `groups[r]` columns of row r."""
    there: npt.NDArray[np.bool_] = np.arange(groups.max(initial=0)) < groups[:, None]
    return there


def padded(values: npt.NDArray[Number], groups: Ints, fill: float) -> npt.NDArray[Number]:
    """(users, longest group) of (pairs,) values, the tail of shorter groups filled; a view where there is none."""
    width = int(groups.max(initial=0))
    if len(values) == len(groups) * width:
        return values.reshape(len(groups), width)
    table = np.full((len(groups), width), fill, values.dtype)
    table[present(groups)] = values
    return table


def standardised(scores: Floats, groups: Ints) -> Floats:
    """(pairs,) each user's scores with mean 0 and standard deviation 1; 0 where all are alike."""
    table, spread = _centred(scores, groups)
    table /= spread[:, None]
    result: Floats = table[present(groups)]
    return result


def spreads(scores: Floats, groups: Ints) -> Floats:
    """(users,) what `standardised` divides by: standard deviations, `LEAST_SPREAD` where there is next to none."""
    return _centred(scores, groups)[1]


def _centred(scores: Floats, groups: Ints) -> tuple[Floats, Floats]:
    """(users, longest group) scores with mean 0, the tail 0, and the (users,) deviations."""
    count = np.maximum(groups, 1).astype(np.float32)
    table = padded(scores, groups, 0)
    table = table - (table.sum(1) / count)[:, None]
    table[~present(groups)] = 0
    spread: Floats = np.maximum(np.sqrt((table * table).sum(1) / count), LEAST_SPREAD)
    return table, spread


def best_first(scores: Floats, groups: Ints) -> npt.NDArray[np.int64]:
    """(users, longest group) positions within the user's pairs, best first, equal ones in their order.

    The tail of shorter groups has the remaining positions. Sorting whole numbers that hold score and position is
    several times faster than a stable sort of the positions.
    """
    table = padded(scores, groups, -np.inf)
    width = max(1, table.shape[1])
    bits = np.ascontiguousarray(table + np.float32(0)).view(np.int32).astype(np.int64)  # -0 is 0
    ascending = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    found: npt.NDArray[np.int64] = np.sort(np.arange(table.shape[1]) - ascending * width, axis=1) % width
    return found


def ranks(scores: Floats, groups: Ints) -> npt.NDArray[np.int32]:
    """(pairs,) how many of the user's pairs come before each, best first; equal scores in their order."""
    order = best_first(scores, groups)
    rank = np.empty(order.shape, np.int32)
    np.put_along_axis(rank, order, np.arange(order.shape[1], dtype=np.int32)[None, :], axis=1)
    result: npt.NDArray[np.int32] = rank[present(groups)]
    return result
