"""Training examples: which part of a user's past predicts which items, assembled in numpy ahead of the model.

An example is a stretch of one user's consecutive events, cut at a random place: the items after the cut are the
targets. What came before it, most recent first, is the history they are predicted from, and of that some is
dropped at random. One history thus serves many targets, which is what makes an epoch cheap. Nothing that an
example reads is from after its targets: features are from before the stretch, or for an item from before its
earliest row in the batch.

With `hide="random"` the targets are a random part of the stretch instead, and the rest of it joins the history:
more to learn from in each example, but an event may then help to predict an earlier one of the same stretch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows
from recommender.errors import TrainingError

LEAST_HIDDEN = 0.3
"""Least share of a stretch that is hidden; the share is drawn anew for each."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Histories:
    """The latest events of n users, most recent first, padded at the end."""

    items: Ints
    """(n, length) item indices, 0 where absent."""
    age: Floats
    """(n, length) days before the moment of asking."""
    present: npt.NDArray[np.bool_]
    """(n, length)"""
    weight: Floats
    """(n, length) of each event, 0 where absent."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Users, the candidates they share, and which of those are right, wrong or neither."""

    users: Ints
    """(b,) user indices."""
    user_rows: Ints
    """(b,) training row whose user features apply: the first of the stretch, so none is from after a target."""
    histories: Histories
    candidates: Ints
    """(c,) item indices, ascending, each once."""
    candidate_rows: Ints
    """(c,) training row whose item features apply."""
    draws: int
    """Rows whose items make up the candidates."""
    targets: tuple[Ints, Ints]
    """(t,) positions in `users` and (t,) in `candidates`."""
    forbidden: tuple[Ints, Ints]
    """Likewise, of pairs that are no negatives because the user has the item elsewhere in their events."""
    weights: Floats
    """(t,) weight of each target's event."""


class BatchMaker:
    """Cuts training rows into examples, anew each epoch, and examples into batches.

    Parameters
    ----------
    dataset, rows
        Only rows in which a user meets an item for the first time become targets: seen items are never
        recommended.
    history_length
        Most recent events looked at.
    history_dropout
        Share of those left out at random, so that no single item carries a history; it is cut to what then remains.
    stretch_days, stretch_events
        Longest time and most targets of one example.
    hide
        Which part of a stretch is hidden: its `latest` events, or `random` ones.
    batch_size
        Rows drawn for a batch, counted as targets and visible ones of its stretches.

    Raises
    ------
    TrainingError
        There is no row to train on.
    """

    def __init__(
        self,
        dataset: Dataset,
        rows: TrainingRows,
        *,
        history_length: int,
        history_dropout: float,
        stretch_days: int,
        stretch_events: int,
        hide: Literal["latest", "random"],
        batch_size: int,
    ) -> None:
        self._dataset = dataset
        self._first = first_meetings(dataset)
        kept = np.flatnonzero(self._first[rows.event] == rows.event)
        if len(kept) == 0:
            raise TrainingError("no training row in which a user meets a new item: widen training.window_days")
        self._row = kept
        self._event = rows.event[kept]
        self._user = dataset.user[self._event].astype(np.int64)
        self._history_length = history_length
        self._history_dropout = history_dropout
        self._stretch_seconds = stretch_days * SECONDS_A_DAY
        self._stretch_events = stretch_events
        self._hide_latest = hide == "latest"
        self._batch_size = batch_size
        counts = np.bincount(dataset.item[self._event], minlength=len(dataset.item_ids))
        self._is_target = np.zeros(len(dataset.item), bool)
        self.shares: Floats = (counts / counts.sum()).astype(np.float32)
        """(items,) share of the rows each item has."""

    def __len__(self) -> int:
        """Rows an epoch goes through."""
        return len(self._row)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All rows once, in new stretches, newly hidden and in a new order."""
        starts = self._cut(rng)
        stops = np.append(starts[1:], len(self._row))
        hidden = self._hide(rng, starts, stops)
        order = rng.permutation(len(starts))
        sizes = (stops - starts)[order]
        batch_of = (np.cumsum(sizes) - sizes) // self._batch_size
        for chosen in np.split(order, np.flatnonzero(np.diff(batch_of)) + 1):
            yield self._batch(starts[chosen], stops[chosen], hidden, rng)

    def _cut(self, rng: np.random.Generator) -> Ints:
        """First kept row of each stretch: windows of time with a random phase a user, then at most so many rows."""
        phase = rng.integers(0, self._stretch_seconds, len(self._dataset.user_ids))
        window = (self._dataset.ts[self._event] + phase[self._user]) // self._stretch_seconds
        new = np.ones(len(self._row), bool)
        new[1:] = (np.diff(self._user) != 0) | (np.diff(window) != 0)
        run_start = np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))
        return np.flatnonzero((np.arange(len(new)) - run_start) % self._stretch_events == 0)

    def _hide(self, rng: np.random.Generator, starts: Ints, stops: Ints) -> npt.NDArray[np.bool_]:
        """(kept rows,) True for targets: a share of each stretch, at least one row."""
        length = stops - starts
        if self._hide_latest:
            visible = np.floor(length * rng.uniform(0, 1 - LEAST_HIDDEN, len(starts))).astype(np.int64)
            return np.arange(len(self._row)) - np.repeat(starts, length) >= np.repeat(visible, length)
        share = np.repeat(rng.uniform(LEAST_HIDDEN, 1, len(starts)), length)
        hidden: npt.NDArray[np.bool_] = rng.random(len(self._row)) < share
        hidden[starts + rng.integers(0, length)] = True
        return hidden

    def _batch(self, starts: Ints, stops: Ints, hidden: npt.NDArray[np.bool_], rng: np.random.Generator) -> Batch:
        data = self._dataset
        rows = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
        example = np.repeat(np.arange(len(starts)), stops - starts)
        rows, example = rows[hidden[rows]], example[hidden[rows]]
        # oldest first: the row that stands for an item is then its earliest, later than none of its targets
        oldest_first = np.argsort(data.ts[self._event[rows]], kind="stable")
        rows, example = rows[oldest_first], example[oldest_first]
        events = self._event[rows]
        candidates, candidate_index, target_candidate = np.unique(
            data.item[events].astype(np.int64), return_index=True, return_inverse=True
        )
        users = self._user[starts]
        first, last = self._event[starts], self._event[stops - 1]
        asked = last
        if self._hide_latest:
            asked = np.full(len(starts), np.iinfo(np.int64).max)
            np.minimum.at(asked, example, events)  # the first target: everything of the user before it is history
        return Batch(
            users=users,
            user_rows=self._row[starts],
            histories=self._histories(users, first, asked, events, rng),
            candidates=candidates,
            candidate_rows=self._row[rows[candidate_index]],
            draws=len(rows),
            targets=(example, target_candidate),
            forbidden=self._met(users, candidates),
            weights=data.weight[events],
        )

    def _histories(self, users: Ints, first: Ints, asked: Ints, targets: Ints, rng: np.random.Generator) -> Histories:
        """The events up to the position `asked` that are no targets, seen from its moment."""
        data = self._dataset
        reach = self._history_length + self._stretch_events
        positions = asked[:, None] - np.arange(reach)
        visible = positions >= data.offsets[users][:, None]
        positions = np.maximum(positions, 0)
        # an item that is a target of this stretch is hidden in its later repetitions too
        meeting = self._first[positions]
        self._is_target[targets] = True
        visible &= ~(self._is_target[meeting] & (meeting >= first[:, None]))
        self._is_target[targets] = False
        if self._hide_latest:
            visible &= data.ts[positions] < data.ts[asked][:, None]  # what came at the same instant did not come before
        if self._history_dropout > 0:
            visible &= rng.random(visible.shape, np.float32) >= self._history_dropout
        length = trained_length(self._history_length, self._history_dropout)
        return _compact(data, positions, visible, data.ts[asked], length)

    def _met(self, users: Ints, candidates: Ints) -> tuple[Ints, Ints]:
        """Pairs of (position in users, position in candidates) the user has an event with at any time."""
        seen = self._dataset.seen
        row, item = _csr_rows(seen.indptr, seen.indices, users)
        place = np.full(seen.shape[1], -1, np.int64)
        place[candidates] = np.arange(len(candidates))
        found = place[item]
        return row[found >= 0], found[found >= 0]


def trained_length(history_length: int, history_dropout: float) -> int:
    """Longest history of an example: what the dropout leaves of the longest that is served."""
    return max(1, round(history_length * (1 - history_dropout)))


def latest_histories(dataset: Dataset, users: Ints, length: int) -> Histories:
    """The last `length` events of each user as seen at the end of the data set's night."""
    positions = dataset.offsets[users + 1][:, None] - 1 - np.arange(length)
    visible = positions >= dataset.offsets[users][:, None]
    now = np.full(len(users), dataset.until, np.int64)
    return _compact(dataset, np.maximum(positions, 0), visible, now, length)


def first_meetings(dataset: Dataset) -> Ints:
    """(events,) position of the event in which that user met that item first."""
    pair = dataset.user.astype(np.int64) * len(dataset.item_ids) + dataset.item
    _, first, inverse = np.unique(pair, return_index=True, return_inverse=True)
    meetings: Ints = first[inverse].astype(np.int64)
    return meetings


def _compact(dataset: Dataset, positions: Ints, visible: npt.NDArray[np.bool_], now: Ints, length: int) -> Histories:
    """Move visible events to the front and cut to `length`."""
    rank = np.cumsum(visible, axis=1) - 1
    row, column = np.nonzero(visible & (rank < length))
    shape = (len(positions), length)
    items, present = np.zeros(shape, np.int64), np.zeros(shape, bool)
    age, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    if len(row):
        target, event = (row, rank[row, column]), positions[row, column]
        items[target] = dataset.item[event]
        age[target] = np.maximum(now[row] - dataset.ts[event], 0) / SECONDS_A_DAY
        present[target] = True
        weight[target] = dataset.weight[event]
    return Histories(items, age, present, weight)


def _csr_rows(indptr: npt.NDArray[np.integer], indices: npt.NDArray[np.integer], rows: Ints) -> tuple[Ints, Ints]:
    """(position in rows, column) of every stored entry of the chosen rows."""
    starts, counts = indptr[rows].astype(np.int64), (indptr[rows + 1] - indptr[rows]).astype(np.int64)
    row = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row, indices[np.repeat(starts, counts) + within].astype(np.int64)
