"""`make demo`: a real Airflow runs a bootstrap night and the next one, and SQL reads the recommendations back."""

import argparse
import os
import signal
import sys
import time
from datetime import UTC, date, datetime, timedelta
from types import FrameType

from rich.console import Console
from rich.text import Text

from recommender.config.settings import DEFAULT_PROFILE, Settings, load_settings, select
from recommender.data.dataset import night_end
from recommender.errors import ConfigError, NotReadyError, RecommenderError
from recommender.local.airflow import LocalAirflow
from recommender.local.answers import show_answers, show_evaluation
from recommender.local.display import Display
from recommender.local.nights import Failure, run_nights

DAILY = "0 2 * * *"
EVALUATED_DAYS = 31
_EXPECTED_FAILURE = 2
_INTERRUPTED = 130
_FILE_WIDTH = 120
"""Columns where the output is no terminal."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--profile", help="a shipped profile's name, or a YAML file (PROFILE=)")
    parser.add_argument("--data", help="folder of the source files (DATA=)")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    try:
        profile = options.profile or os.environ.get("RECOMMENDER_PROFILE") or DEFAULT_PROFILE
        settings = load_settings(profile, options.data or None)
        return _demo(settings, console)
    except RecommenderError as error:
        Console(stderr=True, highlight=False).print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return _EXPECTED_FAILURE
    except KeyboardInterrupt:
        console.print("stopped")
        return _INTERRUPTED


def demo_nights(settings: Settings, now: datetime) -> list[date]:
    """The profile's first night and the one after it, as far as they are over and wanted."""
    schedule = settings.profile.schedule
    nights = [schedule.start_date, schedule.start_date + timedelta(days=1)]
    return [ds for ds in nights if night_end(ds) <= now and (schedule.end_date is None or ds <= schedule.end_date)]


def _demo(settings: Settings, console: Console) -> int:
    started = time.monotonic()
    select(settings)
    nights = demo_nights(settings, datetime.now(UTC))
    if not nights:
        first = settings.profile.schedule.start_date
        raise ConfigError(f"{settings.profile_path}: schedule.start_date: night {first} is not over yet")
    about = f"profile {settings.profile.name}, data {settings.data}, everything kept in {settings.world}"
    console.print(Text(about), soft_wrap=True)
    console.print("starting PostgreSQL and Airflow …")
    overrides = {"RECOMMENDER__SCHEDULE__CRON": DAILY, "RECOMMENDER__SCHEDULE__END_DATE": nights[-1].isoformat()}
    with LocalAirflow(settings, overrides) as airflow:
        console.print(
            f"Airflow is up after {time.monotonic() - started:.0f} s; it runs {' and '.join(map(str, nights))}"
        )
        with Display(console) as display:
            failures = run_nights(airflow, nights, display)
    if failures:
        _show_failures(failures)
        return 1
    show_answers(settings, console)
    _evaluate(settings, nights[0], console)
    console.print(f"\nall of it took {time.monotonic() - started:.0f} s. What next:")
    console.print("  make up                                   Airflow's UI")
    console.print('  psql "$(.venv/bin/recommender db-url)"    SQL')
    console.print("  make down                                 stop PostgreSQL")
    console.print(Text(f"  {settings.data_docs / 'index.html'}   data quality, night by night"), soft_wrap=True)
    report = settings.reports / f"ds={nights[-1]}" / "report.html"
    console.print(Text(f"  {report}   what the gate found, and why it decided so"), soft_wrap=True)
    return 0


def _evaluate(settings: Settings, ds: date, console: Console) -> None:
    """Judge the first night's lists on the days after it, where the source has any."""
    from recommender import pipeline  # seconds of import, while Airflow is not waiting for this process

    try:
        figures = pipeline.evaluate(settings, ds, EVALUATED_DAYS)
    except NotReadyError:  # the data ends here, or the first night published nothing of its own
        return
    show_evaluation(console, f"the lists of night {ds}, judged on what people chose in the days after it", figures)


def _show_failures(failures: list[Failure]) -> None:
    errors = Console(stderr=True, highlight=False)
    for failure in failures:
        errors.print(Text(f"error: night {failure.ds}, {failure.task}: {failure.reason}", style="red"), soft_wrap=True)
        errors.print(Text(f"       log: {failure.log}"), soft_wrap=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first Ctrl-C stops everything in order; further ones do not disturb that."""
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
