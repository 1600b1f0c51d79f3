"""`recommender synthesize` makes a world of the size asked for, with a profile that reads it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender.cli import app, console
from recommender.config.settings import load_settings


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "_width", 200)
    monkeypatch.setattr(console.err, "_width", 200)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["synthesize", *arguments])
    return result.exit_code, result.output


def test_it_says_what_it_made_and_how_to_use_it(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    code, said = run("--events", "5k", "--items", "200", "--days", "60", "--output", str(folder))
    assert code == 0, said
    for words in ("rows of events", "50, 200, 60", "skew over items", "true preferences"):
        assert words in said
    assert f"--profile {folder}/profile.yaml --data {folder} --ds 2026-03-28" in said
    settings = load_settings(str(folder / "profile.yaml"), folder)
    assert settings.profile.synthetic is None
    assert settings.profile.name == "generated_world"
    assert all((folder / name).exists() for name in ("events", "users.csv", "items.csv", "truth/dirt.json"))


@pytest.mark.parametrize("events", ["many", "-5", "0", "5x"])
def test_a_number_it_cannot_read_is_one_line(tmp_path: Path, events: str) -> None:
    code, said = run(f"--events={events}", "--output", str(tmp_path / "world"))
    assert code == 2
    assert f"--events must be a number such as 500000, 500k or 100M, not '{events}'" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_yours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").touch()
    code, said = run("--events", "1k", "--output", str(tmp_path))
    assert code == 2
    assert "holds other files" in said
