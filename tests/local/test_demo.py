"""The demo's choice of nights, and how it fails."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from recommender.config.settings import load_settings
from recommender.local.demo import demo_nights, main

LONG_AFTER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("end", "now", "expected"),
    [
        ("null", LONG_AFTER, [date(2026, 3, 1), date(2026, 3, 2)]),
        ("2026-03-01", LONG_AFTER, [date(2026, 3, 1)]),
        ("null", datetime(2026, 3, 2, 23, 59, tzinfo=UTC), [date(2026, 3, 1)]),
        ("null", datetime(2026, 3, 3, tzinfo=UTC), [date(2026, 3, 1), date(2026, 3, 2)]),
        ("null", datetime(2026, 3, 1, 12, tzinfo=UTC), []),
    ],
)
def test_the_first_night_and_the_next_as_far_as_they_are_over_and_wanted(
    home: Path, monkeypatch: pytest.MonkeyPatch, end: str, now: datetime, expected: list[date]
) -> None:
    monkeypatch.setenv("RECOMMENDER__SCHEDULE__START_DATE", "2026-03-01")
    monkeypatch.setenv("RECOMMENDER__SCHEDULE__END_DATE", end)
    assert demo_nights(load_settings("synthetic"), now) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--profile", "nothing.yaml"], "profile 'nothing.yaml' not found"),
        (["--profile", "music"], "profile 'music' needs data"),
        (["--profile", "music", "--data", "/nowhere"], "data folder /nowhere does not exist"),
    ],
)
def test_bad_settings_end_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert said in errors[0]
    assert not home.exists()
