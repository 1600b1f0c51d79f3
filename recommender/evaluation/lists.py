"""What ranked lists are like beyond being right: known or novel, varied or all alike, the same for everybody or not.

The share of an item is that of the users with events who have met it. For the list L of a user cut at k:

    novelty@k          mean of -log2 share over L[:k], in bits
    popularity@k       mean of the items' popularity percentile: 0 the least met item, 1 the most met
    popularity_bias@k  mean share over L[:k] / mean share over what the user has met; 1 is as popular as that
    diversity@k        1 - mean cosine of all pairs in L[:k]
    serendipity@k      hits in L[:k] that are not among the k most met items that are new to the user, / k
    new_item_share@k   share of L[:k] that was first met in the last `NEW_DAYS` days

These are averaged over users. Over all lists together, with n_i of them showing item i in the first k:

    gini@k             Gini coefficient of n_i over the catalogue: 0 all items alike, near 1 few items everywhere
    top_item_share@k   largest n_i / number of lists: 1 where everybody is shown one and the same item
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.stats import rankdata

from recommender.columns import CATEGORY, CREATOR
from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.evaluation.findings import Figures
from recommender.evaluation.groups import Groups
from recommender.evaluation.metrics import hits

NEW_DAYS = 28
"""An item is new for so long after it was first met."""
PROFILE_COLUMNS = (CREATOR, CATEGORY)
"""What items are compared by, where the profile declares it."""
SKETCH_WIDTH = 32
"""Numbers that stand for the users who have met an item, where nothing is declared that items are compared by."""
SKETCH_SEED = 0
NAMES = ("novelty", "popularity", "popularity_bias", "new_item_share", "diversity")
"""Of what is a mean over users for any lists."""
BLOCK_CELLS = 1 << 20
"""Of the lists that are looked at together."""

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Profiles = Sequence[sparse.csr_matrix | Vectors]


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """What the figures know of each item; a last row of nothing stands for the padding -1."""

    share: Floats
    """(items + 1,) of the users with events, those who have met it; at least one of them for every item."""
    information: Floats
    """(items + 1,) bits: -log2 of the share."""
    percentile: Floats
    """(items + 1,) by the number of users among the items that somebody has met, ties in their middle."""
    place: npt.NDArray[np.int64]
    """(items,) in the order of the most met, from 0."""
    new: Floats
    """(items + 1,) 1 where first met in the last `NEW_DAYS` days, or not met yet."""
    profiles: Profiles
    """(items + 1, values) each; the sum of their dot products is the items' similarity."""

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """The facts as known at the data set's end."""
        met = dataset.seen.getnnz(axis=0).astype(np.float64)
        share = np.append(np.maximum(met, 1) / max(1, len(dataset.active_users)), 0)
        percentile = np.zeros(len(met) + 1)
        known = np.flatnonzero(dataset.known_items)
        percentile[known] = (rankdata(met[known]) - 0.5) / max(1, len(known))
        place = np.empty(len(met), np.int64)
        place[np.lexsort((np.arange(len(met)), -met))] = np.arange(len(met))
        first = np.full(len(met) + 1, dataset.until)
        np.minimum.at(first, dataset.item, dataset.ts)
        new = (first >= dataset.until - NEW_DAYS * SECONDS_A_DAY).astype(np.float64)
        new[-1] = 0
        information = np.append(-np.log2(share[:-1]), 0)
        return cls(share, information, percentile, place, new, _profiles(dataset))


def list_metrics(
    ranked: npt.NDArray[np.int32],
    users: npt.NDArray[np.int64],
    dataset: Dataset,
    ks: Sequence[int],
    relevant: sparse.csr_matrix | None = None,
) -> tuple[dict[str, Floats], Figures]:
    """Every figure at every k: those that are means over users as (users,) values, and those of all lists together.

    A list without items has 0 everywhere, one without a pair the diversity 0.

    Parameters
    ----------
    ranked
        (users, at least max(ks)) the data set's item indices, best first; -1 pads short lists.
    users
        (users,) whose lists they are, as the data set's indices.
    relevant
        (users, items) stored entries are relevant; without it there is no serendipity.
    """
    if ranked.shape[1] < max(ks):
        raise ValueError(f"lists of {ranked.shape[1]} cannot be described at k={max(ks)}")
    facts, ks = ItemFacts.of(dataset), sorted(set(ks))
    own = _mean_share_met(dataset, facts)[users]
    names = NAMES if relevant is None else (*NAMES, "serendipity")
    found = {f"{name}@{k}": np.zeros(len(ranked)) for k in ks for name in names}
    shown = np.zeros((len(ks), len(facts.share)), np.int64)
    rows = max(1, BLOCK_CELLS // max(ks))
    blocks = [slice(start, min(start + rows, len(ranked))) for start in range(0, len(ranked), rows)]

    def described(block: slice) -> dict[str, Floats]:
        lists = ranked[block, : max(ks)]
        means = _means(lists, own[block], facts, ks)
        if relevant is not None:
            means |= _serendipity(lists, dataset.seen[users[block]], relevant[block], facts.place, ks)
        return means

    # NumPy and SciPy let go of the interpreter: blocks on as many threads as torch is given
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for block, means in zip(blocks, threads.map(described, blocks), strict=True):
            for name, values in means.items():
                found[name][block] = values
            shown += _shown(ranked[block, : max(ks)], ks, len(facts.share))
    return found, _together(shown[:, :-1], dataset.known_items, ks, len(ranked))


def _means(lists: npt.NDArray[np.int32], own: Floats, facts: ItemFacts, ks: Sequence[int]) -> dict[str, Floats]:
    """(users,) of each figure but serendipity, of a block; `own` (users,) is the mean share of what each has met."""
    within = (np.arange(lists.shape[1])[:, None] < np.array(ks)).astype(np.float64)
    lengths = np.maximum((lists >= 0) @ within, 1)
    novelty, popularity, share, new = (
        values[lists] @ within / lengths for values in (facts.information, facts.percentile, facts.share, facts.new)
    )
    figures = (novelty, popularity, share / own[:, None], new, _diversity(lists, facts.profiles, ks))
    return {
        f"{name}@{k}": values[:, column]
        for name, values in zip(NAMES, figures, strict=True)
        for column, k in enumerate(ks)
    }


def _mean_share_met(dataset: Dataset, facts: ItemFacts) -> Floats:
    """(users,) mean share of the items that each has met; 1 for whom has met none."""
    lengths = dataset.seen.getnnz(axis=1)
    mean: Floats = np.where(lengths > 0, dataset.seen @ facts.share[:-1] / np.maximum(lengths, 1), 1.0)
    return mean


def _diversity(lists: npt.NDArray[np.int32], profiles: Profiles, ks: Sequence[int]) -> Floats:
    """(users, ks). The cosines of all pairs sum up to (|sum of the vectors|^2 - sum of their |vector|^2) / 2."""
    found, there = np.zeros((len(lists), len(ks))), lists >= 0
    own = np.sum([_squared(profile) for profile in profiles], axis=0)
    items = np.where(there, lists, len(own) - 1)
    for column, k in enumerate(ks):
        cut, length = items[:, :k], there[:, :k].sum(axis=1)
        cells = np.ones(cut.size), cut.ravel(), np.arange(0, cut.size + 1, k)
        counts = sparse.csr_matrix(cells, shape=(len(cut), len(own)))
        # one by one: a product is faster where the sums of a row stay in the cache
        together = np.sum([_squared(counts @ profile) for profile in profiles], axis=0)
        alike, pairs = together - own[cut].sum(axis=1), length * (length - 1)
        found[:, column] = np.where(pairs > 0, 1 - alike / np.maximum(pairs, 1), 0)
    return found


def _squared(vectors: sparse.csr_matrix | Vectors) -> Floats:
    """(rows,) squared lengths."""
    if isinstance(vectors, np.ndarray):
        return np.asarray(np.einsum("nd,nd->n", vectors, vectors), np.float64)
    # sparse `power` would sort every row first
    squares = sparse.csr_matrix((vectors.data**2, vectors.indices, vectors.indptr), shape=vectors.shape)
    return np.asarray(squares.sum(axis=1), np.float64).ravel()


def _profiles(dataset: Dataset) -> Profiles:
    """(items + 1, values) each, the last row empty.

    Creators and categories: each set a vector of length 1, and all of an item together have length 1 too, so that the
    cosine of two items that have both is the mean of the two sets' cosines. Where neither is declared, items are as
    similar as the users who met them: the cosine of the columns of `seen`, estimated from `SKETCH_WIDTH` sums of users
    with random signs, which changes no mean (Charikar, Chen and Farach-Colton, "Finding frequent items", 2004).
    """
    found = [Groups.of(dataset.item_features, name) for name in PROFILE_COLUMNS]
    groups = [group.matrix for group in found if group is not None]
    if groups:
        sizes = [group.getnnz(axis=1) for group in groups]
        there = np.maximum(np.sum([size > 0 for size in sizes], axis=0), 1)
        weights = [sparse.diags(1 / np.sqrt(there * np.maximum(size, 1))) for size in sizes]
        return [
            sparse.vstack([weight @ group, sparse.csr_matrix((1, group.shape[1]))], format="csr")
            for weight, group in zip(weights, groups, strict=True)
        ]
    users, rng = len(dataset.user_ids), np.random.default_rng(SKETCH_SEED)
    column, sign = np.arange(users), np.ones(users)
    if users > SKETCH_WIDTH:
        column, sign = rng.integers(0, SKETCH_WIDTH, users), rng.choice([-1.0, 1.0], users)
    sketch = sparse.csr_matrix((sign, (np.arange(users), column)), shape=(users, SKETCH_WIDTH))
    sums = (dataset.seen.T @ sketch).toarray() / np.sqrt(np.maximum(dataset.seen.getnnz(axis=0), 1))[:, None]
    return [np.concatenate([sums, np.zeros((1, SKETCH_WIDTH))]).astype(np.float32)]


def _serendipity(
    lists: npt.NDArray[np.int32],
    seen: sparse.csr_matrix,
    relevant: sparse.csr_matrix,
    place: npt.NDArray[np.int64],
    ks: Sequence[int],
) -> dict[str, Floats]:
    """A user's list of the most met holds the items up to one place in their order, those known to the user left out.

    The n-th of what the user has met, in that order from 0 at place p, has p - n others before it: it lies before the
    end of the list of k where p - n < k. So many places further than k the list ends.
    """
    met = sparse.csr_matrix((seen.data, place[seen.indices], seen.indptr), shape=seen.shape)
    met.sort_indices()
    rows = np.repeat(np.arange(len(lists)), np.diff(met.indptr))
    others_before = met.indices - (np.arange(met.nnz) - met.indptr[rows])
    hit_row, hit_rank = np.nonzero(hits(lists, relevant))
    hit_place = place[lists[hit_row, hit_rank]]
    found = {}
    for k in ks:
        end = k + np.bincount(rows[others_before < k], minlength=len(lists))
        unexpected = (hit_rank < k) & (hit_place >= end[hit_row])
        found[f"serendipity@{k}"] = np.bincount(hit_row[unexpected], minlength=len(lists)) / k
    return found


def _shown(lists: npt.NDArray[np.int32], ks: Sequence[int], width: int) -> npt.NDArray[np.int64]:
    """(ks, width) lists that show each item in their first k; padding in the last column."""
    parts = np.split(lists, ks[:-1], axis=1)
    counts = [np.bincount(np.where(part >= 0, part, width - 1).ravel(), minlength=width) for part in parts]
    return np.cumsum(counts, axis=0)


def _together(
    shown: npt.NDArray[np.int64], known: npt.NDArray[np.bool_], ks: Sequence[int], users: int
) -> dict[str, float]:
    figures = {}
    for counts, k in zip(shown, ks, strict=True):
        figures[f"gini@{k}"] = gini(counts[known | (counts > 0)])
        figures[f"top_item_share@{k}"] = float(counts.max(initial=0) / max(1, users))
    return figures


def gini(counts: npt.NDArray[np.integer]) -> float:
    """Gini coefficient of how often each of the items is shown, 0 where none is."""
    ordered, number = np.sort(counts), len(counts)
    total = int(ordered.sum())
    if total == 0:
        return 0.0
    return float((2 * np.arange(1, number + 1) - number - 1) @ ordered / (number * total))
