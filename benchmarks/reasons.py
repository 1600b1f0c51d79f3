"""What reasons cost: a publication ranked, told, loaded and made live, beside the same without a reason.

Of a world's model it is all that the stage does but reading the night's data: the model is read anew too.

python -m benchmarks.reasons                       # two towers on a random world
python -m benchmarks.reasons WORLD ARTIFACT        # a model of a world, its folder below RECOMMENDER_HOME
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import Measurement
from benchmarks.scratch import scratch_world
from recommender.columns import CATEGORY, COUNTRY, CREATOR, ITEM_ID, TITLE, USER_ID
from recommender.config.profile import Profile
from recommender.config.settings import Settings, load_settings
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows, night_end
from recommender.features.definitions import Feature
from recommender.features.loading import load_dataset
from recommender.models.base import Model
from recommender.models.explaining.reasons import Phrases
from recommender.models.registry import load_model
from recommender.models.two_tower import TwoTower
from recommender.publishing.content import build_content
from recommender.publishing.publication import publish
from recommender.storage import registry
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect

USERS, ITEMS, EVENTS, CREATORS, LEARNT = 20_000, 5_000, 50, 600, 20_000
ROUNDS = 3
DS = date(2026, 3, 31)


def run(rounds: int = ROUNDS) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as folder, scratch_world() as settings:
        dataset = _world()
        tables = _tables(dataset, Path(folder))
        model = _towers(dataset)
        yield from _measured(settings, lambda: model, tables, settings.profile, rounds)


def of_world(world: str, artifact: Path, rounds: int = ROUNDS) -> Iterator[Measurement]:
    """The same for a model that a night of a world has left; the world is only read."""
    theirs = load_settings(world)
    content = json.loads((artifact / "model.json").read_text(encoding="utf-8"))
    lake = Lake(theirs.lake)
    ds = max(lake.nights("user_features"))
    dataset = load_dataset(lake, theirs.profile, ds, known=ds)

    def loaded() -> Model:
        model = load_model(content["kind"], artifact)
        model.attach(dataset)
        return model

    tables = lake.latest("users", ds), lake.latest("items", ds)
    with scratch_world() as settings:
        yield from _measured(settings, loaded, tables, theirs.profile, rounds)


def _measured(
    settings: Settings, make: Callable[[], Model], tables: tuple[Path, Path], profile: Profile, rounds: int
) -> Iterator[Measurement]:
    with connect(settings) as connection:
        registry.register(connection, "bench", "bench", DS, Path("none"), "0", {}, {})
    nights = (DS + timedelta(days=day) for day in range(1000))

    def publishes(phrases: Phrases | None) -> Callable[[], None]:
        def work() -> None:
            night = next(nights)
            with connect(settings, autocommit=True) as connection:
                publish(
                    connection,
                    night,
                    "bench",
                    str(night),
                    lambda: build_content(make(), *tables, profile.publish, phrases),
                    keep=1,
                )

        return work

    works = publishes(Phrases.of(profile)), publishes(None)
    taken: list[list[float]] = [[], []]
    for _ in range(rounds):
        for work, times in zip(works, taken, strict=True):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    # the best of each: whatever else the machine does only adds
    model = make()
    users, items = len(model.dataset.active_users), len(model.dataset.item_ids)
    name = f"publishing {users:,} users of {items:,} items by {model.kind}, with reasons"
    yield Measurement(name, min(taken[0]), "s", "without", min(taken[1]))


def _world() -> Dataset:
    rng = np.random.default_rng(0)
    appeal = 1 / np.arange(1, ITEMS + 1) ** 0.6
    user = np.repeat(np.arange(USERS, dtype=np.int32), EVENTS)
    item = rng.choice(ITEMS, len(user), p=appeal / appeal.sum()).astype(np.int32)
    ts = night_end(DS).timestamp() - rng.uniform(0, 240 * SECONDS_A_DAY, len(user))
    order = np.lexsort((ts, user))
    lists = [
        np.array([f"genre {n}" for n in rng.choice(20, rng.integers(1, 4), replace=False)], object)
        for _ in range(ITEMS)
    ]
    return Dataset(
        ds=DS,
        user_ids=np.array([f"user-{n:06}" for n in range(USERS)], object),
        item_ids=np.array([f"item-{n:06}" for n in range(ITEMS)], object),
        user=user[order],
        item=item[order],
        ts=ts[order].astype(np.int64),
        weight=np.ones(len(user), np.float32),
        user_features=pd.DataFrame(
            {
                "events_total": np.full(USERS, EVENTS, np.float32),
                "events_30d": rng.poisson(6, USERS).astype(np.float32),
                "taste_energy": rng.random(USERS),
                "taste_tempo": rng.random(USERS),
                "age": rng.integers(15, 80, USERS).astype(np.float32),
                COUNTRY: np.array([f"country {n}" for n in rng.integers(0, 30, USERS)], object),
            }
        ),
        item_features=pd.DataFrame(
            {
                "events_total": np.bincount(item, minlength=ITEMS).astype(np.float32),
                "days_since_first_event": rng.uniform(0, 300, ITEMS).astype(np.float32),
                "energy": rng.random(ITEMS),
                CREATOR: np.array([f"creator {n}" for n in rng.integers(0, CREATORS, ITEMS)], object),
                CATEGORY: pd.Series(lists, dtype=object),
            }
        ),
    )


def _towers(dataset: Dataset) -> TwoTower:
    features = {
        "user": [
            *(_number("user", name, name) for name in ("events_total", "events_30d")),
            *(_number("user", f"taste_{name}", "taste_{a}", name) for name in ("energy", "tempo")),
            _number("user", "age", "attribute"),
            Feature(COUNTRY, "user", "categorical", False, "attribute", None, ""),
        ],
        "item": [
            *(_number("item", name, name) for name in ("events_total", "days_since_first_event")),
            _number("item", "energy", "attribute"),
            Feature(CREATOR, "item", "categorical", False, "attribute", None, ""),
            Feature(CATEGORY, "item", "categories", False, "attribute", None, ""),
        ],
    }
    config = TwoTowerConfig(max_epochs=1)
    model = TwoTower(config, Training(device="cpu"), features["user"], features["item"])
    event = np.sort(np.random.default_rng(1).choice(len(dataset.user), LEARNT, replace=False))
    rows = TrainingRows(
        event,
        dataset.user_features.iloc[dataset.user[event]].reset_index(drop=True),
        dataset.item_features.iloc[dataset.item[event]].reset_index(drop=True),
    )
    model.fit(dataset, rows, epochs=1)
    return model


def _number(side: str, name: str, measure: str, of: str | None = None) -> Feature:
    return Feature(name, "user" if side == "user" else "item", "numeric", False, measure, None, "", of=of)


def _tables(dataset: Dataset, folder: Path) -> tuple[Path, Path]:
    users, items = folder / "users.parquet", folder / "items.parquet"
    pd.DataFrame({USER_ID: dataset.user_ids}).to_parquet(users)
    titles = [f"Title number {n}" for n in range(ITEMS)]
    creators = dataset.item_features[CREATOR]
    pd.DataFrame({ITEM_ID: dataset.item_ids, TITLE: titles, CREATOR: creators}).to_parquet(items)
    return users, items


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("world", nargs="?", help="profile of a world below RECOMMENDER_HOME")
    parser.add_argument("artifact", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    found = run(given.rounds) if given.world is None else of_world(given.world, given.artifact, given.rounds)
    for one in found:
        print(f"{one.name}: {one.value:.2f} s, {one.peer} {one.peer_value:.2f} s: {one.ratio - 1:+.1%}")
