"""Publishing a night of a million users and a hundred thousand items: seconds, users a second, and memory.

python -m benchmarks.scale --folder /path/with/40/GB --kind vectors
python -m benchmarks.scale --folder /path/with/40/GB --kind ranking --users 50000 --items 10000

The world is generated, taken in and given its features as the real stages do it, once a folder and size. The champion
is fitted for a single epoch on the events of the last day and its learners on few users: that is no measure of
quality, but what it costs to rank with it doesn't depend on how long it learned. Timed is the stage `publish` in one
process that has done nothing else; memory is that of this process and its children, PostgreSQL's among them.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measurement
from recommender import pipeline
from recommender.config.settings import PROFILES, Settings, load_settings
from recommender.storage import embedded, registry
from recommender.storage.artifacts import checksum
from recommender.storage.postgres import connect, libpq_url

DS = date(2026, 3, 31)
MINUTES_AT_MOST = {"vectors": 10.0, "ranking": 40.0}
MEMORY_AT_MOST = 12.0
DIMENSION, LABEL_DAYS, LABEL_USERS = 64, 14, 2000
SNAPSHOT_DAYS = 365
"""Past snapshots are those of the cuts alone."""
SAMPLE_SECONDS = 0.5
TOWER = {"kind": "two_tower", "dimension": DIMENSION, "max_epochs": 1, "batch_size": 1024, "user_ids": False}
RANKING = {
    "kind": "ranking",
    "candidates": {"tower": TOWER, "ials": {"kind": "ials", "dimension": DIMENSION, "iterations": 2}},
    "label_days": LABEL_DAYS,
    "label_users": LABEL_USERS,
}
"""Its tower is the model of which there are `vectors` alone."""


@dataclass
class Run:
    """What publishing took."""

    seconds: float = 0.0
    memory: float = 0.0
    """GiB at most."""
    steps: list[tuple[float, str]] = field(default_factory=list)
    """Seconds after the start, and what began then."""


def main() -> None:
    arguments = _arguments()
    os.environ["RECOMMENDER_HOME"] = str(arguments.folder.absolute())
    settings = load_settings(str(_profile(arguments)))
    if arguments.prepare:
        prepare(settings)
        return
    if not _is_prepared(settings):
        subprocess.run([sys.executable, "-m", "benchmarks.scale", *sys.argv[1:], "--prepare"], check=True)
    try:
        run = published(settings, arguments.kind)
        _print(arguments, run)
    finally:
        embedded.stop(settings.postgres)


def measurements(users: int, kind: str, run: Run) -> Iterator[Measurement]:
    """The run beside what is asked of a million users; fewer users get a like share of the time."""
    name = f"publish {users:,} users, {kind}"
    yield Measurement(name, users / run.seconds, "users/s", "asked", 1e6 / (60 * MINUTES_AT_MOST[kind]))
    yield Measurement(f"{name}: memory", run.memory, "GiB", "asked at most", MEMORY_AT_MOST)


def prepare(settings: Settings) -> None:
    """Everything that the night has when publishing begins."""
    from recommender.data.synthetic import ensure_world

    progress = _Clock().tell
    if settings.profile.synthetic is None:
        raise ValueError("the profile generates no world")
    ensure_world(settings.profile.synthetic, settings.data, progress)
    progress(pipeline.ingest(settings, DS, progress).summary)
    _build_features(settings, progress)
    _fit(settings, progress)
    embedded.stop(settings.postgres)


def published(settings: Settings, kind: str) -> Run:
    """Publish the night by the model of this kind, whether it is live already or not."""
    with connect(settings) as connection:
        connection.execute("update reco.publications set fingerprint = 'measured before'")
        connection.execute("update reco.models set status = 'candidate' where status = 'champion'")
        connection.execute("update reco.models set status = 'champion' where model_version = %s", [_version(kind)])
    clock, run = _Clock(), Run()
    with _Memory() as memory:
        pipeline.publish(settings, DS, clock.tell)
    run.seconds, run.memory, run.steps = clock.seconds, memory.most / 2**30, clock.steps
    return run


def _build_features(settings: Settings, progress: Any) -> None:
    """The stage `features` less the online store, which publishing doesn't read."""
    from recommender.features.definitions import feature_tables
    from recommender.features.snapshots import build_snapshots
    from recommender.features.store import apply, feature_store
    from recommender.storage.lake import Lake

    lake, profile = Lake(settings.lake), settings.profile
    nights = [DS - timedelta(days=days) for days in (LABEL_DAYS + 1, LABEL_DAYS, 1, 0)]
    build_snapshots(lake, profile, dict.fromkeys(feature_tables(profile), nights), known=DS, progress=progress)
    progress("Feast: apply")
    apply(feature_store(settings, libpq_url(settings)), profile, settings.lake, progress)


def _fit(settings: Settings, progress: Any) -> None:
    from recommender.features.loading import load_dataset, training_rows
    from recommender.features.store import feature_store
    from recommender.models.base import Support
    from recommender.models.ranking.model import Ranking
    from recommender.models.registry import new_model
    from recommender.nightly.past import LakePast
    from recommender.storage.artifacts import writing
    from recommender.storage.lake import Lake

    lake, profile = Lake(settings.lake), settings.profile
    store = feature_store(settings, libpq_url(settings))
    dataset = load_dataset(lake, profile, DS, known=DS)
    progress("training rows")
    rows = training_rows(store, profile, dataset)
    model = new_model(profile.model, profile)
    model.fit(
        dataset, rows, epochs=1, progress=progress, support=Support(past=LakePast(lake, profile, store, DS, known=DS))
    )
    if not isinstance(model, Ranking):
        raise TypeError("the profile's model is no ranking")
    for kind, one in {"ranking": model, "vectors": model.parts["tower"]}.items():
        folder = settings.artifacts / _version(kind)
        with writing(folder) as scratch:
            one.save(scratch)
        with connect(settings) as connection:
            registry.register(connection, _version(kind), one.kind, DS, folder, checksum(folder), {}, {})


def _version(kind: str) -> str:
    return f"{kind}-{DS}"


def _is_prepared(settings: Settings) -> bool:
    with connect(settings) as connection:
        return set(registry.versions(connection)) >= {_version(kind) for kind in MINUTES_AT_MOST}


def _profile(arguments: argparse.Namespace) -> Path:
    """The synthetic profile with a world of this size, one model, and few nights of snapshots."""
    with (PROFILES / "synthetic.yaml").open(encoding="utf-8") as file:
        profile: dict[str, Any] = yaml.safe_load(file)
    profile["name"] = f"scale_{arguments.users}_{arguments.items}_{arguments.events}"
    profile["synthetic"] |= {
        "users": arguments.users,
        "items": arguments.items,
        "events_per_user": float(arguments.events),
        "dirty_share": 0.0,
    }
    profile["features"]["snapshot_every_days"] = SNAPSHOT_DAYS
    profile["training"] = {"window_days": 1, "validation_days": 1}
    profile["evaluation"] = {"holdout_days": 1}
    profile["model"] = RANKING
    path: Path = arguments.folder / f"{profile['name']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
    return path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where worlds are kept, one for each size")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=20, help="a user, on average")
    parser.add_argument("--kind", choices=sorted(MINUTES_AT_MOST), default="vectors")
    parser.add_argument("--prepare", action="store_true", help="only make the world, and fit the champion")
    return parser.parse_args()


def _print(arguments: argparse.Namespace, run: Run) -> None:
    console = Console(highlight=False)
    steps = Table("after", "began", box=None)
    for second, line in run.steps:
        steps.add_row(f"{second:,.1f} s", line)
    table = Table("what", "measured", "unit", "asked", box=None)
    table.add_row("publish", f"{run.seconds:,.1f}", "s", "")
    for row in measurements(arguments.users, arguments.kind, run):
        table.add_row(row.name, f"{row.value:,.1f}", row.unit, f"{row.peer_value:,.0f}")
    console.print(steps)
    console.print(table)


class _Clock:
    """Lines of progress with the seconds since the first was to be expected."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.steps: list[tuple[float, str]] = []

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def tell(self, line: str) -> None:
        self.steps.append((self.seconds, line))
        print(f"{self.seconds:8.1f} s  {line}", file=sys.stderr, flush=True)


class _Memory:
    """The most bytes that this process and its children held while it was entered, shared ones counted once."""

    def __init__(self) -> None:
        self.most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        while not self._done.wait(SAMPLE_SECONDS):
            held = 0
            for process in [me := psutil.Process(), *me.children(recursive=True)]:
                try:
                    held += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.most = max(self.most, held)


if __name__ == "__main__":
    main()
