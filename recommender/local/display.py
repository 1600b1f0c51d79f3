"""What a person sees while nights run: a live table on a terminal, else one line a finished task."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from recommender.local.client import TaskRun

_STYLES = {"success": "green", "running": "cyan", "failed": "red", "up_for_retry": "yellow", "upstream_failed": "red"}
_WORDS = {"success": "done", "upstream_failed": "not run", "up_for_retry": "will retry", None: "waiting"}
_PROGRESS_EVERY_SECONDS = 30.0
"""Without a terminal: how often a long task says how far it is."""
_TAIL_BYTES = 65_536


@dataclass(frozen=True)
class Row:
    """One task of a night, in words."""

    name: str
    run: TaskRun | None
    line: str
    """Its summary, its newest progress, or the reason it failed."""

    @property
    def state(self) -> str | None:
        return self.run.state if self.run else None

    @property
    def word(self) -> str:
        return _WORDS.get(self.state) or str(self.state)

    @property
    def seconds(self) -> str:
        if self.run is None or self.run.seconds is None or self.state not in ("success", "failed", "running"):
            return ""
        return f"{self.run.seconds:.1f} s"


class Display:
    """Shows nights, one under the other."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._nights: dict[date, list[Row]] = {}
        self._told: set[tuple[date, str, str]] = set()
        self._progress, self._progress_at = "", time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._tables)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, ds: date, rows: list[Row]) -> None:
        """Replace what is shown of a night."""
        self._nights[ds] = rows
        if not self._console.is_terminal:
            for row in rows:
                self._tell(ds, row)

    def _tell(self, ds: date, row: Row) -> None:
        if row.state == "running":
            if row.line != self._progress and time.monotonic() - self._progress_at > _PROGRESS_EVERY_SECONDS:
                self._progress, self._progress_at = row.line, time.monotonic()
                self._print(f"{ds}  {row.name:<9} {'…':>8}  {row.line}")
            return
        told = (ds, row.name, row.word)
        if row.state in ("success", "failed", "up_for_retry", "upstream_failed") and told not in self._told:
            self._told.add(told)
            self._progress_at = time.monotonic()
            word = "" if row.state == "success" else f"{row.word}: "
            self._print(f"{ds}  {row.name:<9} {row.seconds:>8}  {word}{row.line}".rstrip(": "))

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def _tables(self) -> Group:
        return Group(*(self._table(ds, rows) for ds, rows in self._nights.items()))

    def _table(self, ds: date, rows: list[Row]) -> Table:
        table = Table(title=f"Night {ds}", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for heading, width in (("task", 9), ("state", 10), ("time", 8)):
            table.add_column(heading, width=width, header_style="dim", justify="right" if heading == "time" else "left")
        table.add_column("", header_style="dim", overflow="ellipsis", no_wrap=True)
        for row in rows:
            style = _STYLES.get(row.state or "", "dim")
            table.add_row(row.name, Text(row.word, style=style), row.seconds, Text(row.line))
        return table


@dataclass(frozen=True)
class TaskLog:
    """The log Airflow keeps of one try of a task: one JSON object a line."""

    path: Path

    @staticmethod
    def of(home: Path, dag_id: str, run_id: str, task: TaskRun) -> "TaskLog":
        folder = home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task.task_id}"
        return TaskLog(folder / f"attempt={task.try_number}.log")

    def progress(self, logger: str) -> str:
        """The newest line of one logger; empty before the first."""
        return next((str(entry["event"]) for entry in self._newest() if entry.get("logger") == logger), "")

    def reason(self) -> str:
        """Why the try failed, in one line."""
        for entry in self._newest():
            for error in entry.get("error_detail") or []:
                kind, text = error.get("exc_type", ""), " ".join(str(error.get("exc_value", "")).split())
                return text if kind == "AirflowFailException" else f"{kind}: {text}"
        return "its process was killed or stopped without a word"

    def _newest(self) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return
        for line in reversed(lines):
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut off by the seek, or half written
            if isinstance(entry, dict):
                yield entry
