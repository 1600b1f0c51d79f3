"""The command that generates a world of any size."""

import re
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from recommender.cli.console import app, err, expected_failures, out, print_table
from recommender.errors import ConfigError

_SUFFIXES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_EVENTS_A_USER = 100
_MEASURED_EVENTS = 2_000_000
"""Up to this many, the best reachable recall is worked out too."""
_JUDGED_DAYS = 28
_PROFILES = {"music": "synthetic", "books": "books"}


@app.command(rich_help_panel="Data")
@expected_failures
def synthesize(
    output: Annotated[Path, typer.Option("--output", help="A new folder, or a generated one to replace.")],
    events: Annotated[str, typer.Option("--events", help="About how many, such as 500k or 100M.")] = "1M",
    users: Annotated[int | None, typer.Option(min=10, help="Default: one for every 100 events.")] = None,
    items: Annotated[int | None, typer.Option(min=10, help="Default: 10 times the root of the events.")] = None,
    days: Annotated[int, typer.Option(min=30, help="How many days the events cover.")] = 365,
    domain: Annotated[Literal["music", "books"], typer.Option(help="What the items are.")] = "music",
    seed: Annotated[int, typer.Option(min=0, help="The same options give the same files.")] = 7,
    repeats: Annotated[bool, typer.Option(help="Whether users choose an item again.")] = False,
    dirty_share: Annotated[float, typer.Option(min=0, max=0.5, help="Unusable rows for every usable one.")] = 0.002,
) -> None:
    """Generate a world with a known truth: users, items, events, and a profile that reads them."""
    from recommender.config.profile import SyntheticWorld
    from recommender.data.synthetic import Skew, Truth, write_world

    wanted = _number(events)
    people = users or max(10, wanted // _EVENTS_A_USER)
    size = SyntheticWorld(
        domain=domain,
        users=people,
        items=items or min(1_000_000, max(100, round(10 * wanted**0.5))),
        days=days,
        events_per_user=wanted / people,
        seed=seed,
        repeats=repeats,
        dirty_share=dirty_share,
    )
    folder = output.absolute()
    started = time.monotonic()
    columns = (TextColumn("files of events"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        summary = write_world(size, folder, wrote=lambda done, due: bar.update(task, completed=done, total=due))
    seconds = time.monotonic() - started
    profile, night = _write_profile(folder, domain)
    rows = [
        ("rows of events", f"{summary.rows:,} in {seconds:.1f} s, {summary.rows / seconds:,.0f}/s"),
        ("unusable among them", f"{sum(summary.dirt['events'].values()):,}"),
        ("users, items, days", f"{size.users:,}, {size.items:,}, {size.days:,}"),
    ]
    for name, counts in (("items", summary.item_events), ("users", summary.user_events)):
        skew = Skew.of(counts)
        figures = f"top 1% {skew.top_1_percent:.1%}, top 10% {skew.top_10_percent:.1%}, Gini {skew.gini:.2f}"
        rows.append((f"skew over {name}", figures))
    if summary.events <= _MEASURED_EVENTS:
        recall = Truth.read(folder).best_recall(size.last_day - timedelta(days=_JUDGED_DAYS), _JUDGED_DAYS)
        figures = f"true preferences {recall['oracle']:.3f}, popularity {recall['popularity']:.3f}"
        rows.append((f"recall@20, last {_JUDGED_DAYS} days", figures))
    print_table("", ("what", "figure"), [*rows])
    command = f"recommender nightly --profile {profile} --data {folder} --ds {night}"
    out.print(f"a night on it: {command}", highlight=False, soft_wrap=True, markup=False)


def _number(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)", text.strip().lower().replace(",", "").replace("_", ""))
    number = 0 if match is None else round(float(match[1]) * _SUFFIXES[match[2]])
    if number < 1:
        raise ConfigError(f"--events must be a number such as 500000, 500k or 100M, not {text!r}")
    return number


def _write_profile(folder: Path, domain: str) -> tuple[Path, date]:
    """The shipped profile of such a world, reading this folder as it would any other; and its first night."""
    import yaml

    from recommender.config.settings import PROFILES
    from recommender.config.yaml12 import read_yaml

    profile = read_yaml(PROFILES / f"{_PROFILES[domain]}.yaml")
    del profile["synthetic"]
    profile["name"] = f"generated_{re.sub(r'[^a-z0-9]+', '_', folder.name.lower())}"[:40]
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
    first_night: date = profile["schedule"]["start_date"]
    return path, first_night
