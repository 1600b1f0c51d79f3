"""A few users' histories beside their lists, and how much of all lists a user knows the creators of."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.columns import CATEGORY, CREATOR, TITLE
from recommender.data.dataset import Dataset, Truth
from recommender.evaluation.findings import Example, Figures, Shown
from recommender.evaluation.groups import Groups
from recommender.evaluation.metrics import hits
from recommender.retrieval.exact import TopK

SHOWN = 10
"""Entries of a history or a list that an example shows."""
LIST_LENGTH = 20
USER_BLOCK = 1 << 13
"""Users whose lists are compared with their histories at one time."""

Ranked = npt.NDArray[np.int32]
Teller = Callable[[npt.NDArray[np.int64], Ranked], Sequence[Sequence[str | None]]]
"""Reasons in words of (n,) users' (n, k) items; None where there is none."""


def nothing_told(users: npt.NDArray[np.int64], _items: Ranked) -> Sequence[Sequence[str | None]]:
    """Of a model that gives no reasons."""
    return [[] for _ in users]


class _Catalogue:
    """Items as people know them."""

    def __init__(self, dataset: Dataset, catalogue: pd.DataFrame) -> None:
        given = catalogue[TITLE] if TITLE in catalogue.columns else pd.Series(None, index=catalogue.index, dtype=object)
        self._titles = np.where(given.isna(), dataset.item_ids, given.to_numpy(object))
        self.groups = groups_of(catalogue)

    def shown(
        self, items: Sequence[int], chosen: frozenset[int] = frozenset(), reasons: Sequence[str | None] = ()
    ) -> list[Shown]:
        told = [*reasons, *[None] * (len(items) - len(reasons))]
        return [
            Shown(
                str(self._titles[item]), self._named(CREATOR, item), self._named(CATEGORY, item), item in chosen, reason
            )
            for item, reason in zip(items, told, strict=True)
            if item >= 0
        ]

    def _named(self, name: str, item: int) -> str | None:
        return self.groups[name].names_of(item) if name in self.groups else None


def examples(
    challenger: TopK,
    champion: TopK | None,
    dataset: Dataset,
    truth: Truth,
    catalogue: pd.DataFrame,
    seed: int,
    count: int = 6,
    tell: Teller = nothing_told,
) -> tuple[list[Example], list[str]]:
    """Some users' latest choices and first `SHOWN` recommendations, and these users' ids in the same order.

    Half of them are drawn from users who went on to choose something that the challenger shows, half from all others;
    the same seed draws the same.

    Parameters
    ----------
    challenger, champion
        Lists of the truth's users, in its order.
    catalogue
        A row an item of the data set, in its order: `title`, `creator`, `category`, as far as there are such. An item
        without title is called by its id.
    tell
        Gives the challenger's reasons.
    """
    known = _Catalogue(dataset, catalogue)
    with_hit = np.flatnonzero(hits(challenger.items[:, :SHOWN], truth.relevant).any(1))
    rows = _drawn(with_hit, len(truth.users), count, seed)
    found = []
    for row in rows.tolist():
        user = int(truth.users[row])
        history = dataset.item[dataset.offsets[user] : dataset.offsets[user + 1]][::-1].tolist()
        chosen = frozenset(truth.relevant[row].indices.tolist())
        own = challenger.items[[row], :SHOWN]
        (reasons,) = tell(truth.users[[row]], own)
        shares = {
            name: _known(own, dataset, truth.users[[row]], group).sum() / max(1, (own >= 0).sum())
            for name, group in known.groups.items()
        }
        found.append(
            Example(
                known.shown(list(dict.fromkeys(history))[:SHOWN]),
                known.shown(own[0].tolist(), chosen, reasons),
                [] if champion is None else known.shown(champion.items[row, :SHOWN].tolist(), chosen),
                float(shares.get(CREATOR, 0)),
                float(shares.get(CATEGORY, 0)),
            )
        )
    return found, [str(dataset.user_ids[user]) for user in truth.users[rows]]


def familiarity(top: TopK, dataset: Dataset, truth: Truth, catalogue: pd.DataFrame) -> Figures:
    """Of the first `LIST_LENGTH` of all judged users, what is by a creator, or of a category, in the user's history.

    `known_creator_share@20` is the mean over users of the share of their lists, `known_creator_share_of_hits@20` the
    share of everything that was recommended and then chosen; the same for categories. A figure is left out where the
    catalogue lacks the column, or nothing was recommended or hit.

    Parameters
    ----------
    top
        Lists of the truth's users, in its order.
    catalogue
        A row an item of the data set, in its order.
    """
    ranked = top.items[:, :LIST_LENGTH]
    hit = hits(ranked, truth.relevant)
    lengths = (ranked >= 0).sum(1)
    figures: Figures = {}
    for name, group in groups_of(catalogue).items() if lengths.any() else ():
        known = _known(ranked, dataset, truth.users, group)
        shares = known.sum(1)[lengths > 0] / lengths[lengths > 0]
        figures[f"known_{name}_share@{LIST_LENGTH}"] = float(shares.mean())
        if hit.any():
            figures[f"known_{name}_share_of_hits@{LIST_LENGTH}"] = float(known[hit].mean())
    return figures


def _known(ranked: Ranked, dataset: Dataset, users: npt.NDArray[np.int64], group: Groups) -> npt.NDArray[np.bool_]:
    """(users, k) True where an item shares a value with one of its user's history."""
    blocks = [slice(start, start + USER_BLOCK) for start in range(0, len(users), USER_BLOCK)]
    return np.concatenate([group.met(ranked[block], dataset.seen[users[block]]) for block in blocks])


def groups_of(catalogue: pd.DataFrame) -> dict[str, Groups]:
    """Creators and categories, as far as the catalogue has them."""
    found = {name: Groups.of(catalogue, name) for name in (CREATOR, CATEGORY)}
    return {name: group for name, group in found.items() if group is not None}


def _drawn(with_hit: npt.NDArray[np.int64], rows: int, count: int, seed: int) -> npt.NDArray[np.int64]:
    """So many of the rows in random order: half of those with a hit as far as there are such, then any others."""
    order = np.random.default_rng(seed).permutation(rows)
    first = order[np.isin(order, with_hit)][: count - count // 2]
    return np.concatenate([first, order[~np.isin(order, first)][: count - len(first)]])
