"""What the learners' scores rest on: a pair once more with some of its columns as is usual among the user's others."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from recommender.columns import CATEGORY, CREATOR
from recommender.models.explaining.contributions import Contributions, Input
from recommender.models.explaining.inputs import AGE_OF_ITEM, HABITS, NEWNESS, POPULARITY, RARITY, TASTE
from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.groups import Floats, Ints, spreads
from recommender.models.ranking.reranker import Reranker

_ATTRIBUTES = f"({CREATOR}|{CATEGORY})"
_KNOWN = re.compile(f"user_{_ATTRIBUTES}_.+|{_ATTRIBUTES}_(candidates|place|best)")
_POPULARITY = re.compile(f"item_events.*|item_idle_days|{_ATTRIBUTES}_(rank|share|events|recent|items)")
_AFFINITY = re.compile(r"pair_(?P<segment>.+)_category_affinity_\d+d")
_GAP = re.compile(r"pair_(?P<gap>taste_gap_.+?)(_\d+d)?")


def pair_inputs(names: Sequence[str]) -> tuple[Input, ...]:
    """The columns of pairs as named inputs; those that are the same for all of a user's candidates have no part in it.

    `taste` is what the models say; `known_creator` and `known_category` what the user did with the item's creator and
    category, which are called `new_creator` and `new_category` where that is nothing; `popularity` how often the item
    is chosen, `newness` since when; the rest are the profile's own pair features.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        if (group := _group(name)) is not None:
            groups.setdefault(group, []).append(name)
    opposites = {POPULARITY: RARITY, NEWNESS: AGE_OF_ITEM} | {
        f"known_{name}": f"new_{name}" for name in (CREATOR, CATEGORY)
    }
    return tuple(Input(name, "pair", tuple(columns), opposites.get(name)) for name, columns in groups.items())


def _group(name: str) -> str | None:
    if found := _KNOWN.fullmatch(name):
        return f"known_{found[1] or found[2]}"
    if _POPULARITY.fullmatch(name):
        return POPULARITY
    if name == "item_age_days":
        return NEWNESS
    if name.startswith("user_") or name in ("pair_hour_of_day", "pair_day_of_week"):
        return None
    if found := _AFFINITY.fullmatch(name):
        return found["segment"]
    if found := _GAP.fullmatch(name):
        return found["gap"]
    return HABITS if name.startswith("pair_daypart") else TASTE


class PairRemovals:
    """Takes named inputs away from pairs, for learners that have scored all candidates of some users.

    A told contribution is the pair's score less the one with the input's columns as they are in the mean over the
    user's candidates; what the scores are divided by stays that of the candidates as they are.

    Parameters
    ----------
    reranker
        Fitted.
    names
        Of the columns.
    """

    def __init__(self, reranker: Reranker, names: Sequence[str]) -> None:
        self._reranker, self._names = reranker, tuple(names)
        self.inputs = pair_inputs(names)
        self._columns = [[self._names.index(name) for name in one.features] for one in self.inputs]

    def contributions(
        self,
        candidates: Candidates,
        features: Floats,
        raw: Sequence[Floats],
        items: npt.NDArray[np.integer],
        catalogue: int,
    ) -> Contributions:
        """Of (users, n) items; nothing where one is -1 or no candidate of its user.

        Parameters
        ----------
        candidates, features
            Of these users, and (pairs, columns).
        raw
            By learner: (pairs,) its scores.
        catalogue
            How many items there are.
        """
        users = np.repeat(np.arange(len(candidates.groups)), candidates.groups)
        keys = users * catalogue + candidates.items
        asked = np.arange(len(items))[:, None] * catalogue + items
        place = np.minimum(np.searchsorted(keys, asked), max(0, len(keys) - 1))
        there = (items >= 0) & (keys[place] == asked) if len(keys) else np.zeros(items.shape, bool)
        pairs = place[there]
        user = users[pairs]
        means = usual(features, candidates.groups)
        chosen, others = np.take(features, pairs, axis=0), means[user]
        added = np.zeros((len(self.inputs), len(pairs)), np.float32)
        for learner, scores in zip(self._reranker.learners, raw, strict=True):
            without = learner.without(chosen, others, self._columns)
            added += (scores[pairs] - without) / spreads(scores, candidates.groups)[user]
        values = np.zeros((*items.shape, len(self.inputs)), np.float32)
        values[there] = (added / np.float32(len(self._reranker.learners))).T
        return Contributions(self.inputs, values, self._turned(chosen, others, there))

    def _turned(self, chosen: Floats, others: Floats, there: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.bool_]]:
        """Where the user never met the item's creator or category, and where it is less popular or older than usual."""
        turned = {}
        for one in self.inputs:
            if one.opposite is None:
                continue
            shown = np.zeros(there.shape, bool)
            column, is_opposite = _OPPOSITE[one.name]
            number = self._names.index(column)
            shown[there] = is_opposite(chosen[:, number], others[:, number])
            turned[one.name] = shown
        return turned


_OPPOSITE: dict[str, tuple[str, Callable[[Floats, Floats], npt.NDArray[np.bool_]]]] = {
    POPULARITY: ("item_events", np.less),
    NEWNESS: ("item_age_days", np.greater),
    f"known_{CREATOR}": (f"user_{CREATOR}_events", lambda value, _: value == 0),
    f"known_{CATEGORY}": (f"user_{CATEGORY}_events", lambda value, _: value == 0),
}
"""The column in which an input shows that it is its opposite, and how beside what is usual."""


def usual(features: Floats, groups: Ints) -> Floats:
    """(users, columns) mean of each column over a user's pairs, `groups` (users,) of them; NaN of none."""
    means = np.full((features.shape[1], len(groups)), np.nan, np.float32)
    some = np.flatnonzero(groups)
    if len(some) == 0:
        return means.T
    starts = np.cumsum(groups)[some] - groups[some]
    columns = features.T
    means[:, some] = np.add.reduceat(columns, starts, axis=1, dtype=np.float64) / groups[some]
    for number in np.flatnonzero(np.isnan(means[:, some]).any(axis=1)):
        known = ~np.isnan(columns[number])
        count = np.add.reduceat(known, starts, dtype=np.int64)
        with np.errstate(invalid="ignore"):
            means[number, some] = np.add.reduceat(np.where(known, columns[number], 0), starts, dtype=np.float64) / count
    return means.T
