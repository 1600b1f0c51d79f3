"""The files of the generated world: users, items, events and the truth, written beside the final folder."""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from recommender.columns import (
    AGE,
    CATEGORY,
    COUNTRY,
    CREATOR,
    GENDER,
    ITEM_ID,
    REGISTERED,
    TITLE,
    USER_ID,
)
from recommender.config.profile import SyntheticWorld
from recommender.data.dataset import SECONDS_A_DAY
from recommender.data.synthetic import books, music
from recommender.data.synthetic.events import DIRT, EventWriter, blocks, ids
from recommender.data.synthetic.naming import creators as creator_names
from recommender.data.synthetic.summary import Summary
from recommender.data.synthetic.truth import DIRT_FILE, TRUTH, write_truth
from recommender.data.synthetic.world import COUNTRIES, GENDERS, World, build, generator
from recommender.errors import ConfigError
from recommender.progress import Progress, quiet

_DOMAINS = {"music": music, "books": books}
_MARKER = "world.json"
_IMPOSSIBLE_AGES = (0, 140)
_MAX_THREADS = 4
"""Each holds one file's events in memory, some 250 MB."""


def is_somebodys(folder: Path) -> bool:
    """True for a folder with files that no generated world is made of."""
    return folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).is_file()


def ensure_world(size: SyntheticWorld, folder: Path, progress: Progress = quiet) -> None:
    """Generate the world's source files in `folder` unless the same world is there already."""
    marker = folder / _MARKER
    if marker.is_file() and marker.read_text() == size.model_dump_json():
        return
    progress(f"generating a world of {size.users:,} users, {size.items:,} items, {size.days} days")
    write_world(size, folder)


def write_world(
    size: SyntheticWorld,
    folder: Path,
    *,
    threads: int | None = None,
    wrote: Callable[[int, int], None] = lambda _done, _due: None,
) -> Summary:
    """Write `users.csv`, `items.csv`, `events/part-*.parquet` and `truth/`; the folder appears when all is there.

    Parameters
    ----------
    threads
        How many files of events are made at a time, all cores up to four when None; the files are the same.
    wrote
        Told, after each file of events, how many of them are written and how many there will be.

    Raises
    ------
    ConfigError
        The folder holds something else than a generated world.
    """
    if is_somebodys(folder):
        raise ConfigError(f"{folder} holds other files, which a generated world would replace: name another folder")
    scratch = folder.parent / f".writing-{folder.name}-{uuid.uuid4().hex[:8]}"
    (scratch / "events").mkdir(parents=True)
    try:
        summary = _write(build(size), scratch, threads or min(_MAX_THREADS, os.cpu_count() or 1), wrote)
        (scratch / _MARKER).write_text(size.model_dump_json())
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return summary


def _write(world: World, folder: Path, threads: int, wrote: Callable[[int, int], None]) -> Summary:
    dirt = {"users": _write_users(world, folder)}
    names, dirt["items"] = _write_items(world, folder)
    writer, todo = EventWriter(world, folder / "events"), blocks(world)
    item_events, user_events = np.zeros(world.size.items, np.int64), []
    planted = dict.fromkeys(DIRT, 0)
    with ThreadPoolExecutor(threads) as pool:
        for number, part in enumerate(pool.map(writer.write, todo)):
            item_events += part.item_events
            user_events.append(part.user_events)
            planted = {kind: planted[kind] + part.dirt[kind] for kind in DIRT}
            wrote(number + 1, len(todo))
    dirt["events"] = planted
    summary = Summary(int(item_events.sum()), dirt, item_events, np.concatenate(user_events))
    write_truth(world, names, folder / TRUTH)
    (folder / TRUTH / DIRT_FILE).write_text(json.dumps({**dirt, "usable events": summary.events}, indent=1) + "\n")
    return summary


def _write_users(world: World, folder: Path) -> dict[str, int]:
    """Write users.csv; returns what is unusable in it."""
    size, people = world.size, world.population
    rng = generator(size.seed, 2)
    start = int(datetime.combine(world.first_day, datetime.min.time(), UTC).timestamp())
    age = people.age.copy()
    impossible = rng.choice(size.users, round(size.users * size.dirty_share), replace=False)
    age[impossible] = np.resize(_IMPOSSIBLE_AGES, len(impossible))
    missing_age = _missing(rng, size)
    missing_age[impossible] = False
    table = pa.table(
        {
            USER_ID: ids("user-", 0, size.users),
            COUNTRY: pa.array(np.asarray(COUNTRIES, object)[people.country], pa.string(), mask=_missing(rng, size)),
            AGE: pa.array(age, mask=missing_age),
            GENDER: pa.array(np.asarray(GENDERS, object)[people.gender], pa.string(), mask=_missing(rng, size)),
            REGISTERED: pa.array(start + people.joined * SECONDS_A_DAY),
        }
    )
    unusable = _write_csv(rng, size, table, USER_ID, folder / "users.csv")
    return {**unusable, "age out of range": len(impossible)}


def _write_items(world: World, folder: Path) -> tuple[list[str], dict[str, int]]:
    """Write items.csv; returns the creators' proper names, and what is unusable in it."""
    size, catalogue = world.size, world.catalogue
    rng = generator(size.seed, 3)
    domain = _DOMAINS[size.domain]
    creators = creator_names(rng, int(catalogue.creator.max()) + 1)
    names = np.asarray(creators, object)[catalogue.creator]
    spelt = names.copy()
    misspelt = np.sort(rng.choice(size.items, round(size.items * size.misspelt_share), replace=False))
    for kind, item in enumerate(misspelt.tolist()):
        spelt[item] = domain.misspell(names[item], creators[(catalogue.creator[item] + 1) % len(creators)], kind)
    missing_creator = _missing(rng, size, size.items)
    missing_creator[misspelt] = False
    released = np.datetime64(world.first_day, "D") + catalogue.released
    numbers = domain.attributes(rng, catalogue.vector, released.astype("datetime64[Y]").astype(np.int64) + 1970)
    table = pa.table(
        {
            ITEM_ID: ids("item-", 0, size.items),
            TITLE: domain.titles(rng, size.items),
            CREATOR: pa.array(spelt, pa.string(), mask=missing_creator),
            CATEGORY: pa.array(
                np.asarray(domain.CATEGORIES, object)[catalogue.category],
                pa.string(),
                mask=_missing(rng, size, size.items),
            ),
            "released": pa.array(released),
            **{name: pa.array(values, mask=_missing(rng, size, size.items)) for name, values in numbers.items()},
        }
    )
    unusable = _write_csv(rng, size, table, ITEM_ID, folder / "items.csv")
    return names.tolist(), {**unusable, "misspelt creator": len(misspelt)}


def _write_csv(rng: np.random.Generator, size: SyntheticWorld, table: pa.Table, key: str, path: Path) -> dict[str, int]:
    """Write the table with unusable rows at its end; returns how many of each kind."""
    unusable = round(table.num_rows * size.dirty_share)
    copied = table.take(rng.choice(table.num_rows, unusable, replace=False))
    twice = unusable - unusable // 2
    nameless = copied.slice(twice)
    nameless = nameless.set_column(0, key, pa.nulls(nameless.num_rows, pa.string()))
    csv.write_csv(pa.concat_tables([table, copied.slice(0, twice), nameless]), path)
    return {f"duplicate {key}": twice, f"missing {key}": unusable - twice}


def _missing(rng: np.random.Generator, size: SyntheticWorld, count: int | None = None) -> npt.NDArray[np.bool_]:
    missing: npt.NDArray[np.bool_] = rng.random(size.users if count is None else count) < size.missing_share
    return missing
