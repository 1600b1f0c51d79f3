"""A generated world for fresh machines: latent tastes, demographics, popularity skew, drift, a little dirt.

Users belong to taste groups that go with country and age; items inherit from creators, creators from
categories. A user meets each item at most once. The same parameters give the same files.
"""

import json
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.config.profile import SyntheticWorld
from recommender.data.dataset import SECONDS_A_DAY
from recommender.progress import Progress, quiet

_CATEGORIES = (
    "ambient",
    "blues",
    "chanson",
    "dub",
    "electro",
    "folk",
    "gospel",
    "house",
    "indie",
    "jazz",
    "klezmer",
    "latin",
)
_COUNTRIES = ("BR", "DE", "FR", "JP", "PL", "SE", "UK", "US")
_FIRST = (
    "Amber Blue Crystal Distant Electric Fading Golden Hollow Iron Jade Lonely Midnight Northern Open Paper Quiet "
    "Restless Silver Tender Velvet Wild Young"
).split()
_SECOND = (
    "Avenue Bridge Canyon Dawn Echo Fields Garden Harbour Island Journey Kingdom Letters Mirror Nights Ocean Parade "
    "Rain Shadows Tides Voices Windows Years"
).split()
_SYLLABLES = ("ba", "do", "fi", "ka", "lu", "ma", "no", "ri", "se", "ta", "vo", "zen")
_LATENT = 12
_TASTE_SHARPNESS = 5.0
_POPULARITY_SHARPNESS = 0.9
_DIRTY_SHARE = 0.002
_MARKER = "world.json"


def ensure_world(world: SyntheticWorld, folder: Path, progress: Progress = quiet) -> None:
    """Generate the world's source files in `folder` unless the same world is there already."""
    wanted = world.model_dump_json()
    marker = folder / _MARKER
    if marker.is_file() and marker.read_text() == wanted:
        return
    progress(f"generating a world of {world.users:,} users, {world.items:,} items, {world.days} days")
    scratch = folder.parent / f".writing-{folder.name}-{uuid.uuid4().hex[:8]}"
    (scratch / "events").mkdir(parents=True)
    try:
        _generate(world, scratch)
        (scratch / _MARKER).write_text(wanted)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _generate(world: SyntheticWorld, folder: Path) -> None:
    rng = np.random.default_rng(world.seed)
    creators = max(10, world.items // 8)
    category_taste = rng.normal(size=(len(_CATEGORIES), _LATENT))
    creator_category = rng.integers(len(_CATEGORIES), size=creators)
    creator_taste = category_taste[creator_category] + 0.6 * rng.normal(size=(creators, _LATENT))
    item_creator = np.minimum((rng.pareto(1.2, world.items) * creators / 8).astype(int), creators - 1)
    item_taste = _unit(creator_taste[item_creator] + 0.5 * rng.normal(size=(world.items, _LATENT)))
    released = np.where(rng.random(world.items) < 0.8, 0, rng.integers(world.days, size=world.items))
    appeal = _POPULARITY_SHARPNESS * rng.gumbel(size=world.items)

    country = rng.choice(len(_COUNTRIES), world.users, p=_skewed(len(_COUNTRIES)))
    age = np.clip(rng.gamma(6, 4.5, world.users) + 8, 13, 80).astype(int)
    country_taste = rng.normal(size=(len(_COUNTRIES), _LATENT))
    age_taste = rng.normal(size=(7, _LATENT))
    user_taste = _unit(
        0.6 * country_taste[country]
        + 0.6 * age_taste[np.minimum(age // 10 - 1, 6)]
        + 1.6 * rng.normal(size=(world.users, _LATENT))
    )
    drift = _unit(user_taste + 0.5 * rng.normal(size=user_taste.shape))
    joined = np.where(rng.random(world.users) < 0.6, 0, rng.integers(world.days - 2, size=world.users))

    users, items, days = [], [], []
    activity = rng.lognormal(np.log(world.events_per_user), 0.6, world.users)
    for user in range(world.users):
        share = (world.days - joined[user]) / world.days
        wanted = int(np.clip(activity[user] * share, 1, world.items * 0.5))
        first_half = wanted // 2
        for part, taste in ((slice(0, first_half), user_taste[user]), (slice(first_half, wanted), drift[user])):
            count = part.stop - part.start
            logits = _TASTE_SHARPNESS * 2 * (item_taste @ taste) + appeal + rng.gumbel(size=world.items)
            chosen = np.argsort(-logits)[:count]
            span = world.days - joined[user]
            offset = 0 if part.start == 0 else span // 2
            day = joined[user] + offset + rng.integers(max(1, span // 2), size=count)
            users.append(np.full(count, user))
            items.append(chosen)
            days.append(np.sort(np.minimum(day, world.days - 1)))
    events = pd.DataFrame({"user": np.concatenate(users), "item": np.concatenate(items), "day": np.concatenate(days)})
    events = events[events["day"] >= released[events["item"]]].drop_duplicates(["user", "item"])
    second = _listening_second(rng, len(events))
    start = datetime.combine(world.last_day - timedelta(days=world.days - 1), datetime.min.time(), UTC)
    events["ts"] = int(start.timestamp()) + events["day"] * SECONDS_A_DAY + second
    _write(world, folder, rng, events, country, age, joined, int(start.timestamp()), item_creator, creator_category)


def _write(
    world: SyntheticWorld,
    folder: Path,
    rng: np.random.Generator,
    events: pd.DataFrame,
    country: npt.NDArray[np.int64],
    age: npt.NDArray[np.int64],
    joined: npt.NDArray[np.int64],
    start: int,
    item_creator: npt.NDArray[np.int64],
    creator_category: npt.NDArray[np.int64],
) -> None:
    dirty = rng.random(world.users)
    pd.DataFrame(
        {
            "user_id": [f"user-{n}" for n in range(world.users)],
            "country": np.where(dirty < 0.05, "", np.asarray(_COUNTRIES, object)[country]),
            "age": np.where(dirty > 0.97, 0, age),
            "gender": rng.choice(["F", "M", "X", ""], world.users, p=[0.44, 0.46, 0.03, 0.07]),
            "registered": start + joined * SECONDS_A_DAY,
        }
    ).to_csv(folder / "users.csv", index=False)
    names = ["".join(rng.choice(_SYLLABLES, rng.integers(2, 4))).title() for _ in range(len(creator_category))]
    pd.DataFrame(
        {
            "item_id": [f"item-{n}" for n in range(world.items)],
            "title": [f"{rng.choice(_FIRST)} {rng.choice(_SECOND)}" for _ in range(world.items)],
            "creator": np.asarray(names, object)[item_creator],
            "category": np.asarray(_CATEGORIES, object)[creator_category[item_creator]],
        }
    ).to_csv(folder / "items.csv", index=False)
    table = pd.DataFrame(
        {
            "user_id": "user-" + events["user"].astype(str),
            "item_id": "item-" + events["item"].astype(str),
            "ts": pd.to_datetime(events["ts"], unit="s"),
        }
    ).sort_values(["ts", "user_id", "item_id"])
    unknown = rng.random(len(table)) < _DIRTY_SHARE
    table.loc[unknown, "item_id"] = "item-withdrawn"
    for month, part in table.groupby(table["ts"].dt.strftime("%Y-%m")):
        part.to_parquet(folder / "events" / f"{month}.parquet", index=False, coerce_timestamps="us")
    (folder / "README.txt").write_text(json.dumps(world.model_dump(mode="json"), indent=1) + "\n")


def _listening_second(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Second of the day, more in the evening."""
    hour = np.mod(rng.normal(19, 4, count), 24)
    return (hour * 3600).astype(np.int64) % SECONDS_A_DAY


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _skewed(count: int) -> npt.NDArray[np.float64]:
    weights = 1 / np.arange(1, count + 1)
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares
