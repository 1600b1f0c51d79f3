"""What a person sees while nights run, and what is read from a task's log."""

import io
import json
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from recommender.local.client import TaskRun
from recommender.local.display import Display, Row, TaskLog

DS = date(2026, 3, 28)


def row(state: str | None, line: str = "", seconds: float | None = 3.21) -> Row:
    return Row("train", None if state is None else TaskRun("train.train", state, seconds, 1), line)


def shown(*steps: list[Row], terminal: bool) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, color_system=None)
    with Display(console) as display:
        for rows in steps:
            display.show(DS, rows)
    return output.getvalue()


def test_without_a_terminal_a_finished_task_is_one_line() -> None:
    steps = [[row(None)], [row("running", "epoch 1")], [row("success", "8 epochs")], [row("success", "8 epochs")]]
    assert shown(*steps, terminal=False) == "2026-03-28  train        3.2 s  8 epochs\n"


def test_a_failed_task_says_why() -> None:
    assert shown([row("failed", "no events")], terminal=False) == "2026-03-28  train        3.2 s  failed: no events\n"


def test_a_retry_and_what_came_of_it_are_both_told() -> None:
    lines = shown([row("up_for_retry", "no connection", None)], [row("success", "done")], terminal=False).splitlines()
    assert lines == [
        "2026-03-28  train               will retry: no connection",
        "2026-03-28  train        3.2 s  done",
    ]


def test_on_a_terminal_the_night_is_a_table() -> None:
    text = shown([row("running", "epoch 3, recall 0.1")], terminal=True)
    assert "Night 2026-03-28" in text
    assert "epoch 3, recall 0.1" in text


def test_the_newest_progress_is_the_last_line_of_the_logger(tmp_path: Path) -> None:
    events = [
        {"event": "epoch 1", "logger": "recommender.nightly"},
        {"event": "epoch 2", "logger": "recommender.nightly"},
        {"event": "something else", "logger": "task"},
    ]
    log = tmp_path / "attempt=1.log"
    log.write_text("".join(json.dumps(event) + "\n" for event in events) + '{"event": "half writ')
    assert TaskLog(log).progress("recommender.nightly") == "epoch 2"
    assert TaskLog(log).progress("another") == ""


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("AirflowFailException", "no events:\n  look there", "no events: look there"),
        ("KeyError", "'user'", "KeyError: 'user'"),
    ],
)
def test_the_reason_of_a_failure_is_one_line(tmp_path: Path, kind: str, text: str, reason: str) -> None:
    log = tmp_path / "attempt=1.log"
    failure = {"event": "Task failed with exception", "error_detail": [{"exc_type": kind, "exc_value": text}]}
    log.write_text(json.dumps(failure) + "\n" + json.dumps({"event": "::endgroup::"}) + "\n")
    assert TaskLog(log).reason() == reason


def test_a_task_that_left_no_log_was_killed(tmp_path: Path) -> None:
    assert TaskLog(tmp_path / "attempt=1.log").reason() == "its process was killed or stopped without a word"
