"""What every command shares: the application, its options, how it prints and how it fails."""

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recommender.config.settings import Settings, load_settings, parse_ds
from recommender.data.dataset import night_end
from recommender.errors import ConfigError, RecommenderError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Nightly recommendations: bring data, run nights, ask for answers, look at what is live, roll back.",
)
_PIPED_WIDTH = 160
"""Of what goes into a file or another program: wider than a terminal's default, so that no column is cut."""
_ONE_OF_SEVERAL = os.environ.get("RANK", "0") != "0"
"""True in the processes that `torchrun` starts beside the first one: only their errors are printed."""
out = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, quiet=_ONE_OF_SEVERAL)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Ds = Annotated[str, typer.Option("--ds", help="The night: a UTC day such as 2014-04-30.", metavar="YYYY-MM-DD")]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", help="A shipped profile's name, or a YAML file. Default: the one used last here."),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="The folder of the profile's source files.")]
_BARS = "▁▂▃▄▅▆▇█"
K = Annotated[int, typer.Option("-k", min=1, max=1000, help="How many rows.")]


def expected_failures(command: Callable[..., None]) -> Callable[..., None]:
    """An expected failure is one line on stderr and exit code 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except RecommenderError as error:
            fail(str(error))
        except KeyboardInterrupt:
            fail("interrupted; running the same command again continues cleanly")

    return run


def fail(message: str) -> NoReturn:
    err.print(Text.assemble(("error: ", "red"), " ".join(message.split())))
    raise typer.Exit(2)


def settings_of(profile: str | None, data: Path | None) -> Settings:
    return load_settings(profile, data)


def world_of(profile: str | None) -> Settings:
    """Settings of a command that only asks for what nights have left."""
    return load_settings(profile, reads_sources=False)


def parse_night(ds: str) -> date:
    night = parse_ds(ds)
    if night_end(night) > datetime.now(UTC):
        raise ConfigError(f"night {night} is not over yet: the newest that can run is yesterday's")
    return night


def progress(line: str) -> None:
    if not _ONE_OF_SEVERAL:
        err.print(f"  {line}", style="dim", markup=False)


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    if title:
        out.print(title, style="italic", markup=False)  # a table's own title is wrapped to its width
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("–" if value is None else str(value).replace("[", "\\[") for value in row))
    out.print(table)


def sparkline(counts: Sequence[float]) -> str:
    """A bar a count, as high as its part of the largest; a blank for 0."""
    peak = max(counts, default=0)
    return "".join(" " if count == 0 else _BARS[min(7, int(count / peak * 8))] for count in counts)
