"""The events of the generated world, block of users by block of users.

A block draws its randomness from its own seed, so that blocks can be made in any order and number at a time, and the
files are the same.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.columns import ITEM_ID, TS, USER_ID
from recommender.data.dataset import SECONDS_A_DAY
from recommender.data.synthetic.world import (
    SETTLED_DAYS,
    TASTES_A_USER,
    Doubles,
    Floats,
    Indices,
    Ints,
    World,
    choice_probabilities,
    day_weights,
    drifted,
    generator,
    hour_weights,
    novelty,
)

DIRT = ("unknown item", "duplicate", "unreadable ts", "implausible ts", f"missing {USER_ID}", f"missing {ITEM_ID}")
"""Kinds of unusable rows, in the words of the quarantine's reasons."""
WITHDRAWN = "item-withdrawn"
_BLOCK = 2_000_000
"""Users and events of a file."""
_ROUNDS = 200
"""Tries to find an item that is out already (and new to the user) before an event is given up."""
_IMPLAUSIBLE = int(datetime(1956, 11, 1, tzinfo=UTC).timestamp())
_ROW_GROUP = 1_000_000
_DICTIONARY_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class Block:
    """Users whose events make one file."""

    number: int
    first_user: int
    end_user: int
    dirt: tuple[int, ...]
    """Unusable rows of each kind of `DIRT`."""


@dataclass(frozen=True, eq=False)
class Written:
    """What a block came to."""

    dirt: dict[str, int]
    item_events: Ints
    """(items,) usable events"""
    user_events: Ints
    """(users of the block,) usable events"""


def blocks(world: World, size: int = _BLOCK) -> list[Block]:
    """Cut the users into blocks of about as many users and events, and spread the unusable rows over them."""
    due = np.cumsum(world.population.events)
    total = int(due[-1])
    work = due + np.arange(1, world.size.users + 1)
    count = -(-int(work[-1]) // size)
    cuts = np.searchsorted(work, np.arange(1, count) * int(work[-1]) / count).tolist()
    edges = [0, *sorted(set(cuts) - {0, world.size.users}), world.size.users]
    unusable = round(total * world.size.dirty_share)
    found = []
    for number, (first, end) in enumerate(pairwise(edges)):
        done = [0 if user == 0 else int(due[user - 1]) / max(1, total) for user in (first, end)]
        kinds = [unusable // len(DIRT) + (kind < unusable % len(DIRT)) for kind in range(len(DIRT))]
        dirt = tuple(round(kind * done[1]) - round(kind * done[0]) for kind in kinds)
        found.append(Block(number, first, end, dirt))
    return found


class EventWriter:
    """Draws and writes blocks; safe to call from several threads."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        catalogue, size = world.catalogue, world.size
        self._chosen = choice_probabilities(world.tastes, catalogue.vector, catalogue.appeal)
        np.cumsum(self._chosen, axis=1, out=self._chosen)
        self._busy = np.concatenate([[0], np.cumsum(day_weights(size))])
        self._hours = np.concatenate([[0], np.cumsum(hour_weights(size))]) / 24
        # a short table stays in the cache: past SETTLED_DAYS no age differs from another
        self._released = np.maximum(catalogue.released, -SETTLED_DAYS).astype(np.int32)
        self._novelty = novelty(np.arange(-size.days, size.days + SETTLED_DAYS))
        self._items = pa.concat_arrays([ids("item-", 0, size.items), pa.array([WITHDRAWN])])
        self._start = int(datetime.combine(world.first_day, datetime.min.time(), UTC).timestamp())

    def write(self, block: Block) -> Written:
        """Write `part-<number>.parquet`, sorted by time."""
        rng = generator(self.world.size.seed, 1, block.number)
        user, item, second = self._draw(rng, block)
        counts = (
            np.bincount(item, minlength=self.world.size.items),
            np.bincount(user, minlength=block.end_user - block.first_user),
        )
        dirt = {kind: min(count, len(user)) for kind, count in zip(DIRT, block.dirt, strict=True)}
        user, item, second, valid = self._with_dirt(rng, user, item, second, dirt)
        self._store(block, user, item, second, valid)
        return Written(dirt, *counts)

    def _draw(self, rng: np.random.Generator, block: Block) -> tuple[Indices, Indices, Ints]:
        """Users counted from the block's first, items, and seconds from the world's start, in order of time."""
        people = self.world.population
        mine = slice(block.first_user, block.end_user)
        due = people.events[mine]
        user = np.repeat(np.arange(len(due), dtype=np.int32), due)
        joined, left = people.joined[mine], people.left[mine]
        start, span = self._busy[joined], self._busy[left] - self._busy[joined]
        day = np.searchsorted(self._busy, rng.random(len(user)) * span[user] + start[user], side="right") - 1
        day = np.clip(day, joined[user], left[user] - 1).astype(np.int32)
        tastes = people.tastes[mine].reshape(len(due), -1)
        limits = np.cumsum(people.shares[mine], axis=2)
        item = np.full(len(user), -1, np.int32)
        pending = np.arange(len(user))
        few = len(user) // 10
        for _ in range(_ROUNDS):
            if len(pending) == 0:
                break
            pending = self._choose(rng, user, day, item, pending, tastes, limits)
            if not self.world.size.repeats and len(pending) <= few:  # looking for repeats costs a sort
                repeated = _met_before(user, item, self.world.size.items)
                item[repeated] = -1
                pending = np.concatenate([pending, repeated])
                few = len(pending) // 10
        if not self.world.size.repeats:
            item[_met_before(user, item, self.world.size.items)] = -1
        return self._in_order_of_time(rng, user, day, item)

    def _choose(
        self,
        rng: np.random.Generator,
        user: Indices,
        day: Indices,
        item: Indices,
        pending: Ints,
        tastes: npt.NDArray[np.uint8],
        limits: Floats,
    ) -> Ints:
        """Try an item for every pending event; returns those whose try was refused."""
        who, when = user[pending], day[pending]
        later = rng.random(len(who), np.float32) < drifted(self.world.size, when)
        which = rng.random(len(who), np.float32)
        slot = later * np.uint8(TASTES_A_USER)
        for place in range(TASTES_A_USER - 1):
            slot += which > limits[who, later.view(np.uint8), place]
        taste = tastes[who, slot]
        order = np.argsort(taste, kind="stable")
        edges = np.concatenate([[0], np.cumsum(np.bincount(taste, minlength=len(self._chosen)))])
        drawn = rng.random(len(who))
        found = np.empty(len(who), np.int32)
        for number, (first, end) in enumerate(pairwise(edges)):
            found[order[first:end]] = np.searchsorted(self._chosen[number], drawn[first:end], side="right")
        np.minimum(found, self.world.size.items - 1, out=found)
        age = when - self._released[found]
        accepted = rng.random(len(who), np.float32) < self._novelty[age + self.world.size.days]
        item[pending[accepted]] = found[accepted]
        refused: Ints = pending[~accepted]
        return refused

    def _in_order_of_time(
        self,
        rng: np.random.Generator,
        user: Indices,
        day: Indices,
        item: Indices,
    ) -> tuple[Indices, Indices, Ints]:
        hour: Doubles = np.interp(rng.random(len(user)), self._hours, np.arange(25))
        of_day = np.minimum((hour * 3600).astype(np.int64), SECONDS_A_DAY - 1)
        second = day.astype(np.int64) * SECONDS_A_DAY + of_day
        order = np.sort((second * len(user) + np.arange(len(user)))[item >= 0]) % max(1, len(user))
        user, item, second = user[order], item[order], second[order]
        again = _twice(user, item, second)
        return np.delete(user, again), np.delete(item, again), np.delete(second, again)

    def _with_dirt(
        self,
        rng: np.random.Generator,
        user: Indices,
        item: Indices,
        second: Ints,
        dirt: dict[str, int],
    ) -> tuple[Indices, Indices, Ints, npt.NDArray[np.bool_]]:
        """Add unusable copies of events, each with one fault, in order of time; `valid` is False where null."""
        copied = np.concatenate([rng.choice(len(user), dirt[kind], replace=False) for kind in DIRT])
        fault = np.repeat(np.arange(len(DIRT)), list(dirt.values()))
        bad_item, bad_second = item[copied], second[copied]
        bad_item[fault == DIRT.index("unknown item")] = self.world.size.items
        bad_second[fault == DIRT.index("implausible ts")] = _IMPLAUSIBLE - self._start
        nulls = np.stack(
            [fault == DIRT.index(kind) for kind in (f"missing {USER_ID}", f"missing {ITEM_ID}", "unreadable ts")]
        )
        place = np.argsort(np.concatenate([second, second[copied]]), kind="stable")
        valid = np.concatenate([np.ones((3, len(user)), bool), ~nulls], axis=1)
        return (
            np.concatenate([user, user[copied]])[place],
            np.concatenate([item, bad_item])[place],
            np.concatenate([second, bad_second])[place],
            valid[:, place],
        )

    def _store(
        self,
        block: Block,
        user: Indices,
        item: Indices,
        second: Ints,
        valid: npt.NDArray[np.bool_],
    ) -> None:
        names = ids("user-", block.first_user, block.end_user)
        table = pa.table(
            {
                USER_ID: pa.DictionaryArray.from_arrays(pa.array(user, mask=~valid[0]), names),
                ITEM_ID: pa.DictionaryArray.from_arrays(pa.array(item, mask=~valid[1]), self._items),
                TS: pa.array((second + self._start) * 1_000_000, pa.timestamp("us"), mask=~valid[2]),
            }
        )
        pq.write_table(
            table,
            self.folder / f"part-{block.number:04d}.parquet",
            row_group_size=_ROW_GROUP,
            compression="zstd",
            compression_level=1,
            use_dictionary=[USER_ID, ITEM_ID],
            column_encoding={TS: "DELTA_BINARY_PACKED"},
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            store_schema=False,  # readers see plain text, not dictionaries
        )


def _met_before(user: Indices, item: Indices, items: int) -> Ints:
    """Positions of events whose user has met the item in another; the event that comes first in the arrays stays."""
    chosen = np.flatnonzero(item >= 0)
    pair = user[chosen].astype(np.int64) * items + item[chosen]
    # position in the lowest digits: one sort of numbers, several times as fast as sorting positions by pair
    pair, position = np.divmod(np.sort(pair * len(chosen) + np.arange(len(chosen))), max(1, len(chosen)))
    repeated: Ints = np.sort(chosen[position[1:][pair[1:] == pair[:-1]]])
    return repeated


def _twice(user: Indices, item: Indices, second: Ints) -> Ints:
    """Positions of events, sorted by time, that equal an earlier one."""
    same = second[1:] == second[:-1]
    close = np.flatnonzero(np.append(same, False) | np.append(False, same))
    order = close[np.lexsort((item[close], user[close], second[close]))]
    later, earlier = order[1:], order[:-1]
    equal = (second[later] == second[earlier]) & (user[later] == user[earlier]) & (item[later] == item[earlier])
    twice: Ints = later[equal]
    return twice


def ids(prefix: str, first: int, end: int) -> pa.Array:
    """`<prefix><number>` from `first` up to `end`."""
    return pc.binary_join_element_wise(prefix, pa.array(np.arange(first, end)).cast(pa.string()), "")
