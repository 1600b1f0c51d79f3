"""What a publication must be before it goes live, told from its arrays.

What PostgreSQL says of the loaded tables is in `loaded`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from recommender.publishing.content import PERSONAL, Content, UserLists

_BLOCK_ENTRIES = 2_000_000
"""Entries of lists that are looked at at one time."""

Items = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is known of the users, apart from how their lists were made."""

    user_ids: npt.NDArray[np.object_]
    """(users,)"""
    seen: sparse.csr_matrix
    """(users, items) entries, each stored once, may not be in the user's list; items as in the content."""
    active: Mask | None = None
    """(users,) who must have a personal list, if any item is left to them; None: all."""
    groups: npt.NDArray[np.int32] | None = None
    """(users,) row of `allowed`; None where everybody may be shown the same."""
    allowed: npt.NDArray[np.uint8] | None = None
    """(groups, items / 8) what may be shown to them, as `numpy.packbits` has it; None: everything."""


@dataclass(eq=False)
class Findings:
    """What was found wrong, in words, and what was measured."""

    faults: list[str] = field(default_factory=list)
    measured: dict[str, float | None] = field(default_factory=dict)

    def add(self, count: int, fault: str) -> None:
        """Note a fault that so many have, if any; `fault` has a place for `{count}`."""
        if count:
            self.faults.append(fault.format(count=f"{count:,}"))


def is_whole(content: Content) -> bool:
    """Whether rows can be made of it at all: lengths agree, positions are those of items."""
    items = len(content.item_ids)
    columns = [content.titles, content.creators, *([] if content.hidden is None else [content.hidden])]
    lists = [(part.top, len(part.user_ids), part.reasons) for part in (*content.lists, *content.challenger)]
    return all(len(column) == items for column in columns) and all(
        top.items.shape == top.scores.shape
        and len(top.items) == rows
        and (codes is None or codes.shape == top.items.shape)
        and (top.items.size == 0 or int(top.items.max()) < items)
        for top, rows, codes in (*lists, (content.popular, 1, None), (content.similar, items, None))
    )


def check_content(content: Content, wanted: Wanted | None = None, min_coverage: float = 0.0) -> Findings:
    """Look at every list; a million of them with a hundred items each take seconds.

    Parameters
    ----------
    content
        One that is whole.
    wanted
        Without it nobody is missed, and what users have met and may be shown is not known.
    min_coverage
        Least share of the items that are not hidden which is in some list.
    """
    found = Findings()
    if content.users == 0:
        found.faults.append("it has no users")
    items = pa.array(content.item_ids, pa.large_string())
    found.add(len(items) - len(pc.unique(items)), "{count} items are in the catalogue twice")
    expected = None if wanted is None else _Expected(wanted, content.top_k)
    shown = np.zeros(len(content.item_ids), bool)
    for whose, parts in (("users", content.lists), ("users of the experiment", content.challenger)):
        _check_lists(found, content, parts, whose, expected, shown)
    if expected is not None:
        found.add(expected.missing(), "{count} users are missing: they are to have a list")
    if content.challenger:
        theirs = _ids(content.challenger)
        without = len(theirs) - (pc.sum(pc.is_in(theirs, _ids(content.lists))).as_py() or 0)
        found.add(without, "{count} users of the experiment have no list of the champion")
    _check_fallbacks(found, content)
    offered = len(shown) if content.hidden is None else int((~content.hidden).sum())
    coverage = float(shown.sum()) / max(offered, 1)
    found.measured["coverage"] = coverage
    if coverage < min_coverage:
        found.faults.append(
            f"{coverage:.2%} of the catalogue are in some list, publish.min_coverage asks for {min_coverage:.2%}"
        )
    return found


def entries(lists: UserLists) -> int:
    """Recommendations in lists, counted a block at a time."""
    return sum(int((lists.top.items[rows] >= 0).sum()) for rows in _blocks(lists))


class _Expected:
    """`Wanted`, ready to be asked."""

    def __init__(self, wanted: Wanted, top_k: int) -> None:
        self._wanted = wanted
        self._ids = pa.array(wanted.user_ids, pa.large_string())
        self.full = np.minimum(_left(wanted), top_k)
        """(users,) length of a full list."""
        self._listed = np.zeros(len(wanted.user_ids), bool)

    def places(self, user_ids: npt.NDArray[np.object_]) -> Places:
        """(n,) of users in `Wanted`, who are taken to have a list; -1 for those who are not there."""
        found = pc.index_in(pa.array(user_ids, pa.large_string()), value_set=self._ids)
        places = np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
        self._listed[places[places >= 0]] = True
        return places

    def missing(self) -> int:
        """Users who are to have a list, have something left for it, and were not asked for."""
        needed = (self.full > 0) & ~self._listed
        return int((needed if self._wanted.active is None else needed & self._wanted.active).sum())

    def faults(self, users: Places, items: Items, ordered: Items, *, personal: bool) -> dict[str, int]:
        """Of a block of lists how many have which fault; `ordered` are its items, ascending."""
        known = users >= 0
        if not known.all():
            users, items, ordered = users[known], items[known], ordered[known]
        short = (items >= 0).sum(axis=1) < self.full[users]
        some_left = self.full[users] > 0  # who has met everything gets what is popular all the same
        return {
            "have a personal list and are not known": int((~known).sum()) if personal else 0,
            "have fewer items than are left to them": int(short.sum()) if personal else 0,
            "have an item that they have met before": self._met(users[some_left], ordered[some_left]),
            "have an item that the filters keep from them": self._refused(users, items),
        }

    def starved(self, users: Places, items: Items) -> int:
        """Empty lists of those to whom nothing may be shown."""
        if self._wanted.allowed is None or self._wanted.groups is None:
            return 0
        nothing: Mask = np.bitwise_count(self._wanted.allowed).sum(axis=1)[self._wanted.groups] == 0
        return int(((users >= 0) & nothing[users] & (items < 0).all(axis=1)).sum())

    def _met(self, users: Places, ordered: Items) -> int:
        listed = ordered >= 0
        ends = np.append(0, listed.sum(axis=1).cumsum())
        shape = len(ordered), self._wanted.seen.shape[1]
        own = sparse.csr_matrix((np.ones(ends[-1], bool), ordered[listed], ends), shape)
        seen = self._wanted.seen[users]
        seen.data = np.ones(seen.nnz, bool)
        return int((np.diff(own.multiply(seen).tocsr().indptr) > 0).sum())

    def _refused(self, users: Places, items: Items) -> int:
        if self._wanted.allowed is None or self._wanted.groups is None:
            return 0
        allowed = _bits(self._wanted.allowed, self._wanted.groups[users][:, None], np.maximum(items, 0))
        return _rows((items >= 0) & ~allowed)


def _left(wanted: Wanted) -> Places:
    """(users,) items that may be shown and that the user hasn't met."""
    users, items = wanted.seen.shape
    ends = wanted.seen.indptr
    if wanted.allowed is None or wanted.groups is None:
        own: Places = np.full(users, items) - np.diff(ends)
        return own
    left: Places = np.bitwise_count(wanted.allowed).sum(axis=1, dtype=np.int64)[wanted.groups]
    rows = max(1, _BLOCK_ENTRIES // max(1, wanted.seen.nnz // max(users, 1)))
    for start in range(0, users, rows):
        block = slice(start, min(start + rows, users))
        met = wanted.seen.indices[ends[block.start] : ends[block.stop]]
        groups = np.repeat(wanted.groups[block], np.diff(ends[block.start : block.stop + 1]))
        total = np.append(0, np.cumsum(_bits(wanted.allowed, groups, met)))
        left[block] -= np.diff(total[ends[block.start : block.stop + 1] - ends[block.start]])
    return left


def _bits(packed: npt.NDArray[np.uint8], rows: npt.NDArray[np.int32], places: Items) -> Mask:
    """Bits that `numpy.packbits` wrote."""
    bits: Mask = (packed[rows, places >> 3] >> (7 - (places & 7)).astype(np.uint8) & 1).astype(bool)
    return bits


def _check_lists(
    found: Findings, content: Content, parts: Sequence[UserLists], whose: str, expected: _Expected | None, shown: Mask
) -> None:
    """Add what is wrong with lists to `found`, and mark the items that they hold in `shown`."""
    ids = _ids(parts)
    found.add(len(ids) - len(pc.unique(ids)), f"{{count}} {whose} have a second list")
    counts: Counter[str] = Counter()
    for part in parts:
        places = None if expected is None else expected.places(part.user_ids)
        for rows in _blocks(part):
            items, scores = np.asarray(part.top.items[rows]), np.asarray(part.top.scores[rows])
            ordered = np.sort(items, axis=1)
            shown[items[items >= 0]] = True
            counts.update(_faults(items, ordered, scores, content.hidden))
            if part.reasons is not None:
                codes = np.asarray(part.reasons[rows])
                counts["have a reason without a text"] += _rows((codes < 0) | (codes > len(content.reason_texts)))
            if expected is not None and places is not None:
                counts.update(expected.faults(places[rows], items, ordered, personal=part.source == PERSONAL))
                counts["have a list that is empty"] -= expected.starved(places[rows], items)
    for fault, count in counts.items():
        found.add(count, f"{{count}} {whose} {fault}")


def _faults(items: Items, ordered: Items, scores: npt.NDArray[np.float32], hidden: Mask | None) -> dict[str, int]:
    """Of a block of lists how many have which fault."""
    listed = items >= 0
    return {
        "have a list that is empty": int((~listed.any(axis=1)).sum()),
        "have a gap in their list": _rows(listed[:, 1:] & ~listed[:, :-1]),
        "have an item twice": _rows((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)),
        "have a score that is not a number": _rows(listed & ~np.isfinite(scores)),
        "have an item that is hidden": 0 if hidden is None else _rows(listed & hidden[items]),
    }


def _check_fallbacks(found: Findings, content: Content) -> None:
    """The list for unknown users, and similar items."""
    popular, similar = content.popular, content.similar
    for fault, count in _faults(popular.items, np.sort(popular.items), popular.scores, content.hidden).items():
        found.add(count, f"unknown users {fault}")
    counts = _faults(similar.items, np.sort(similar.items), similar.scores, content.hidden)
    del counts["have a list that is empty"]
    counts["are said to be similar to themselves"] = _rows(similar.items == np.arange(len(similar.items))[:, None])
    for fault, count in counts.items():
        found.add(count, f"{{count}} items {fault.replace('their list', 'their similar items')}")


def _blocks(lists: UserLists) -> Iterator[slice]:
    """Rows that are looked at together."""
    size = max(1, _BLOCK_ENTRIES // max(1, lists.top.items.shape[1]))
    return (slice(start, start + size) for start in range(0, len(lists.user_ids), size))


def _ids(parts: Sequence[UserLists]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(part.user_ids, pa.large_string()) for part in parts], pa.large_string())


def _rows(wrong: Mask) -> int:
    return int(wrong.any(axis=1).sum())
