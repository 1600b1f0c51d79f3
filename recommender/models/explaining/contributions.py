"""What a score rests on, in the words of every model: named inputs, and what each of them adds to a pair's score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recommender.retrieval.exact import TopK

EXPLAINED_USERS = 4096
"""Users whose contributions are held at one time."""
MET = "met"
"""The input that is one item of the user's history."""

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int32]
Arrangement = Callable[[npt.NDArray[np.int64], TopK], TopK]
"""Makes a block of users' lists out of the best candidates of each."""


def as_ranked(_users: npt.NDArray[np.int64], top: TopK) -> TopK:
    """The candidates themselves."""
    return top


@dataclass(frozen=True)
class Input:
    """Something a model reads that has a name: one feature, or several that mean alike."""

    name: str
    side: str
    """`user`, `item` or `pair`."""
    features: tuple[str, ...] = ()
    """The declared features, or the columns, behind it."""
    opposite: str | None = None
    """What it is called in a pair where it says the opposite: new where it is called old."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """Of each pair and input: the score less the score with that input taken away.

    Taken away means as for somebody, or something, of whom it isn't known. Inputs work together, so the
    contributions of a pair need not sum to its score.
    """

    inputs: tuple[Input, ...]
    values: Floats
    """(users, n, inputs)"""
    turned: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    """By name of an input with an opposite: (users, n) True where that is what the pair shows."""
    met: Items | None = None
    """(users, n) the item of the history that `MET` stands for, -1 where there is none."""


@dataclass(frozen=True, eq=False)
class Explained:
    """Lists of some users, and what their scores rest on; None where the model can't tell."""

    top: TopK
    contributions: Contributions | None


def joined_contributions(parts: Sequence[Contributions | None]) -> Contributions | None:
    """Those of several blocks of users, by one model, as of one; None where the model can't tell."""
    told = [part for part in parts if part is not None]
    if not told:
        return None
    met = [part.met for part in told if part.met is not None]
    return Contributions(
        told[0].inputs,
        np.concatenate([part.values for part in told]),
        {name: np.concatenate([part.turned[name] for part in told]) for name in told[0].turned},
        np.concatenate(met) if met else None,
    )
