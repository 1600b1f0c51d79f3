"""What the generated world was drawn from, to measure against: who likes what on which day."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from recommender.columns import CREATOR, ITEM_ID, USER_ID
from recommender.config.profile import SyntheticWorld
from recommender.data.synthetic.events import WITHDRAWN, ids
from recommender.data.synthetic.world import (
    LATENT,
    TASTES_A_USER,
    Doubles,
    Floats,
    Ints,
    World,
    choice_probabilities,
    drifted,
    novelty,
)

TRUTH = "truth"
"""Folder of the truth inside the world's; no profile names it as a source."""
DIRT_FILE = "dirt.json"
_WHEN = ("before", "after")
"""The drift."""
_BATCH = 1000
_POPULARITY_DAYS = 60


def write_truth(world: World, creators: list[str], folder: Path) -> None:
    """Write `users.parquet`, `items.parquet`, `tastes.parquet` and the parameters."""
    folder.mkdir(exist_ok=True)
    people, catalogue = world.population, world.catalogue
    users = {
        USER_ID: ids("user-", 0, world.size.users),
        "joined": _days(world, people.joined),
        "left": _days(world, people.left),
    }
    for number, when in enumerate(_WHEN):
        users[f"tastes_{when}"] = _lists(people.tastes[:, number])
        users[f"shares_{when}"] = _lists(people.shares[:, number])
    items = {
        ITEM_ID: ids("item-", 0, world.size.items),
        "released": _days(world, catalogue.released),
        CREATOR: creators,
        "creator_number": catalogue.creator,
        "category_number": catalogue.category,
        "appeal": catalogue.appeal,
        "vector": _lists(catalogue.vector),
    }
    tables = {"users": users, "items": items, "tastes": {"vector": _lists(world.tastes)}}
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", compression="zstd")
    (folder / "parameters.json").write_text(world.size.model_dump_json(indent=1) + "\n")


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of a generated world; user and item `n` are `user-n` and `item-n`."""

    size: SyntheticWorld
    folder: Path
    """Of the world."""
    tastes: npt.NDArray[np.uint8]
    """(users, 2, 3) before and after the drift"""
    shares: Floats
    """(users, 2, 3)"""
    released: Ints
    """(items,) day, 0 the first"""
    likings: Doubles
    """(tastes, items) how likely each taste chooses each item, newness aside"""

    @classmethod
    def read(cls, folder: Path) -> "Truth":
        """Read the truth of the world in `folder`."""
        truth = folder / TRUTH
        users, items = pq.read_table(truth / "users.parquet"), pq.read_table(truth / "items.parquet")
        tastes, vectors = (
            _flat(table, "vector").reshape(-1, LATENT) for table in (pq.read_table(truth / "tastes.parquet"), items)
        )
        size = SyntheticWorld.model_validate_json((truth / "parameters.json").read_text())
        first = np.datetime64(size.last_day - timedelta(days=size.days - 1), "D")
        return cls(
            size=size,
            folder=folder,
            tastes=np.stack([_flat(users, f"tastes_{when}").reshape(-1, TASTES_A_USER) for when in _WHEN], axis=1),
            shares=np.stack([_flat(users, f"shares_{when}").reshape(-1, TASTES_A_USER) for when in _WHEN], axis=1),
            released=(items["released"].to_numpy() - first).astype(np.int64),
            likings=choice_probabilities(tastes, vectors, items["appeal"].to_numpy()),
        )

    @cached_property
    def dirt(self) -> dict[str, Any]:
        """Unusable rows and values that were planted, by table and kind; and the number of usable events."""
        planted: dict[str, Any] = json.loads((self.folder / TRUTH / DIRT_FILE).read_text())
        return planted

    def day(self, day: date) -> int:
        """Number of a day, 0 the first."""
        return (day - self.size.last_day).days + self.size.days - 1

    def preferences(self, users: npt.ArrayLike, day: date, days: int = 1) -> Floats:
        """(users, items) how likely each user chooses each item next, on average over `days` from `day`.

        Rows sum to 1 over the items that are out. Where the world has no repeats, what a user has met already
        is for the caller to leave out.
        """
        numbers = np.asarray(users, np.int64)
        first = self.day(day)
        when = np.arange(first, first + days)
        new = novelty(when[:, None] - self.released[None, :]).astype(np.float64)
        later = drifted(self.size, when)[:, None]
        before, after = (self._mixtures(numbers, part) @ self.likings for part in (0, 1))
        scores: Doubles = before * ((1 - later) * new).sum(axis=0) + after * (later * new).sum(axis=0)
        preferences: Floats = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        return preferences

    def _mixtures(self, users: Ints, part: int) -> Doubles:
        """(users, tastes)"""
        mixtures = np.zeros((len(users), len(self.likings)))
        np.add.at(mixtures, (np.arange(len(users))[:, None], self.tastes[users, part]), self.shares[users, part])
        return mixtures

    def best_recall(self, known: date, days: int, k: int = 20) -> dict[str, float]:
        """Mean recall@k of the next `days` after `known`, over the users with an item they had not met before.

        `oracle` ranks by the true preferences: no model can expect more. `popularity` ranks by the events of the
        last 60 days. Both leave out what a user has met. Needs memory for users x items of the events.
        """
        seen, future, recent = self._events(known, days)
        future = (future.astype(np.int8) - future.multiply(seen).astype(np.int8)).tocsr()
        future.eliminate_zeros()
        asked = np.flatnonzero(np.diff(future.indptr))
        popular = np.asarray(recent, np.float32)[None, :]
        found = {"oracle": 0.0, "popularity": 0.0}
        k = min(k, self.size.items)
        for start in range(0, len(asked), _BATCH):
            users = asked[start : start + _BATCH]
            met, wanted = seen[users].toarray() > 0, future[users].toarray() > 0
            scores = {"oracle": self.preferences(users, known + timedelta(days=1), days), "popularity": popular}
            for name, score in scores.items():
                top = np.argpartition(-np.where(met, -1.0, score), k - 1, axis=1)[:, :k]
                hits = np.take_along_axis(wanted, top, axis=1).sum(axis=1)
                found[name] += float((hits / wanted.sum(axis=1)).sum())
        return {"users": float(len(asked)), **{name: value / max(1, len(asked)) for name, value in found.items()}}

    def _events(self, known: date, days: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix, Ints]:
        """What users had met by the end of `known`, what they met in the days after, and the items' recent events."""
        first = self.size.last_day - timedelta(days=self.size.days - 1)
        with duckdb.connect() as connection:
            rows = connection.execute(
                """select user_id[6:]::integer as u, item_id[6:]::integer as i, (ts::date - ?::date)::integer as day
                   from read_parquet(?) where ts >= ?::date and user_id is not null and item_id <> ?""",
                [first, str(self.folder / "events" / "*.parquet"), first, WITHDRAWN],
            ).fetchnumpy()
        shape, last = (self.size.users, self.size.items), self.day(known)
        user, item, day = (np.asarray(rows[name], np.int64) for name in ("u", "i", "day"))
        known_, future = day <= last, (day > last) & (day <= last + days)
        met, next_ = (
            sparse.csr_matrix((np.ones(int(part.sum()), bool), (user[part], item[part])), shape=shape)
            for part in (known_, future)
        )
        recent = np.bincount(item[known_ & (day > last - _POPULARITY_DAYS)], minlength=self.size.items)
        return met, next_, recent


def _lists(rows: npt.NDArray[np.generic]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(rows).ravel()), rows.shape[1])


def _flat(table: pa.Table, column: str) -> npt.NDArray[Any]:
    flat: npt.NDArray[Any] = table[column].combine_chunks().flatten().to_numpy()
    return flat


def _days(world: World, days: Ints) -> pa.Array:
    return pa.array(np.datetime64(world.first_day, "D") + days)
