"""What `recommender features` prints: the listing, the catalogue, one user and one item, and what is wrong."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from recommender.cli import app, console
from recommender.config.settings import Settings
from recommender.features.store import apply, feature_store, materialize
from recommender.storage import embedded
from recommender.storage.postgres import libpq_url
from tests.features.inspected import SECOND, write_world


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, postgres_socket: str) -> Iterator[Settings]:
    """The tiny shop after its second night, materialized."""
    folder, name = tmp_path_factory.mktemp("listed"), f"features_{os.getpid()}"
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        patch.setenv("RECOMMENDER_DATABASE_URL", embedded.url(postgres_socket, name))
        patch.setenv("RECOMMENDER_PROFILE", str(folder / "shop.yaml"))
        settings = write_world(folder)
        store = feature_store(settings, libpq_url(settings))
        apply(store, settings.profile, settings.lake)
        materialize(store, SECOND)
        yield settings
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["features", *arguments])
    return result.exit_code, result.output


def printed(monkeypatch: pytest.MonkeyPatch, *arguments: str, width: int = 140) -> str:
    monkeypatch.setattr(console.out, "_width", width)
    code, text = run(*arguments)
    assert code == 0, text
    return text


def as_json(*arguments: str) -> list[dict[str, Any]]:
    code, text = run(*arguments, "--json")
    assert code == 0, text
    found: list[dict[str, Any]] = json.loads(text)
    return found


def line(text: str, start: str) -> list[str]:
    """The words of the first line that starts like this."""
    return next(row.split() for row in text.splitlines() if row.startswith(start))


def test_the_listing(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch)
    assert "user_features, snapshot of 2020-01-09, 3 rows" in text
    assert line(text, "feature ")[:6] == ["feature", "type", "values", "missing", "distribution", "from"]
    row = line(text, "events_7d ")
    assert row[:5] == ["events_7d", "number", "≥", "0", "events"]
    assert row[-4:-1] == ["events,", "7", "days"]
    assert line(text, "age ")[4:6] == ["99", "33.3%"]
    assert line(text, "taste_energy *")[0] == "taste_energy"
    assert "* not declared" in text
    assert "!" not in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_listing_fits_a_terminal(shop: Settings, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = printed(monkeypatch, width=width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    versions = [one["feature"]["version"] for table in as_json() for one in table["features"]]
    assert all((version in text) == (width >= 110) for version in versions)
    for table in as_json():
        assert all(line(text, one["feature"]["name"]) for one in table["features"])


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_cuts_no_word(shop: Settings, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    listed = [f"{one['feature']['name']} {one['source']}" for table in as_json() for one in table["features"]]
    assert set(" ".join(listed).split()) <= set(printed(monkeypatch, width=width).split())
    entries = [f"{one['name']} {one['meaning']}" for one in as_json("--catalogue")]
    assert set(" ".join(entries).split()) <= set(printed(monkeypatch, "--catalogue", width=width).split())
    shown = printed(monkeypatch, "--user", "ann", "--item", "lamp", width=width).split()
    assert {"country_category_affinity_30d", "Zanzibarland,", "items.creator", "2020-01-03"} <= set(shown)


def test_no_value_of_a_personal_column_is_listed(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch) + printed(monkeypatch, "--catalogue") + json.dumps(as_json())
    assert "Zanzibarland" not in shown
    [users] = [table for table in as_json() if table["table"] == "user_features"]
    [age] = [one for one in users["features"] if one["feature"]["name"] == "age"]
    assert (age["distribution"]["low"], age["distribution"]["high"]) == (None, None)
    assert "low" in users["features"][0]["distribution"]


def test_the_catalogue(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, "--catalogue")
    assert line(text, "● ")[:2] == ["●", "events_{w}d"]
    assert "   tenure_days" in text
    assert {entry["subject"] for entry in as_json("--catalogue")} == {"user", "item", "pair"}


def test_one_user(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, "--user", "ann")
    assert "user_features, snapshot of 2020-01-09: what was known at 2020-01-10 00:00 UTC" in text
    assert " ".join(line(text, "events_7d")) == "events_7d 2 events, 7 days 2 events, 2020-01-03 to 2020-01-09"
    assert " ".join(line(text, "country")) == "country Zanzibarland users.country table of 2020-01-09"
    assert " ".join(line(text, "age")) == "age 34 users.age table of 2020-01-09"
    assert "the online store holds the same night: all 7 values are equal" in text
    assert "missing" in line(printed(monkeypatch, "--user", "bob"), "age")
    earlier = printed(monkeypatch, "--user", "ann", "--ds", "2020-01-04")
    assert " ".join(line(earlier, "events_7d")) == "events_7d 1 events, 7 days 1 event, on 2020-01-01"
    assert "the online store holds another night, what was known at 2020-01-10 00:00 UTC" in earlier


def test_missing_and_empty_values_are_equal_online(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (("--user", "bob"), ("--user", "cat"), ("--item", "sofa"), ("--item", "desk")):
        assert "values are equal" in printed(monkeypatch, *arguments)


def test_a_user_and_an_item(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, "--user", "ann", "--item", "lamp")
    assert " ".join(line(text, "taste_gap_energy")) == (
        "taste_gap_energy 0.25 user's taste_energy 0.5, item's energy 0.75"
    )
    assert [part["table"] for part in as_json("--user", "ann", "--item", "lamp")] == [
        "user_features", "item_features", "pairs"
    ]  # fmt: skip


def test_a_changed_definition_is_marked(shop: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "shop.yaml"
    other.write_text(shop.profile_path.read_text().replace("column: a,", "column: b,"))
    text = printed(monkeypatch, "--profile", str(other))
    assert line(text, "age !")[:2] == ["age", "!"]
    assert "`recommender run features --ds …` anew" in text
    assert line(printed(monkeypatch, "--user", "ann", "--profile", str(other)), "age !")[:2] == ["age", "!"]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("  pair: [taste_gap_enrgy]", "no feature named 'taste_gap_enrgy'; did you mean 'taste_gap_energy'?"),
        ("  pair: [gender_category_affinity_30d]", "no feature named 'gender_category_affinity_30d'"),
        ("model: {kind: ease, side_features: [catgory]}", "ease: side_features names 'catgory', which is no declared"),
        ("rivals: [{kind: popularity, segments: [nope]}]", "popularity: segments names 'nope', which is no declared"),
        ("model: {kind: ranking, candidates: {t: {align_by: nope}}}", "ranking: align_by names 'nope', which is no"),
    ],
)
def test_check_refuses_what_does_not_exist(
    shop: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str, message: str
) -> None:
    (tmp_path / "shop.yaml").write_text(shop.profile_path.read_text().partition("  pair: ")[0] + f"{end}\n")
    for name, header in (("e", "u,i,t"), ("u", "u,c,a"), ("i", "i,t,m,k,e")):
        (tmp_path / f"{name}.csv").write_text(header + "\n")
    result = CliRunner().invoke(
        app, ["check", "--profile", str(tmp_path / "shop.yaml"), "--data", str(tmp_path), "--json"]
    )
    assert result.exit_code == 2
    assert any(message in problem for problem in json.loads(result.output)["problems"])


def test_without_a_snapshot(shop: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECOMMENDER_HOME", str(tmp_path))
    text = printed(monkeypatch, "--profile", str(shop.profile_path))
    assert "missing" not in text
    assert "no snapshot yet: `recommender run features --ds …` makes the first" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--user", "a-private-id"), "has no such user"),
        (("--item", "chair"), "has no item 'chair'"),
        (("--ds", "2019-01-01"), "the first snapshot of user_features is that of 2020-01-01"),
        (("--ds", "soon"), "ds must be a date"),
        (("--catalogue", "--user", "ann"), "--catalogue lists what may be declared"),
    ],
)
def test_what_is_wrong_is_one_line(shop: Settings, arguments: tuple[str, ...], message: str) -> None:
    code, text = run(*arguments)
    assert code == 2
    assert text.startswith("error: ")
    assert message in " ".join(text.split())
    assert "private" not in text


def test_the_table_of_a_new_affinity_has_no_snapshot_yet(
    shop: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    more = shop.profile_path.read_text().replace("hour_of_day]", "hour_of_day, age_band_category_affinity_30d]")
    (tmp_path / "shop.yaml").write_text(more)
    text = printed(monkeypatch, "--profile", str(tmp_path / "shop.yaml"))
    assert "age_band_category_affinity, no snapshot yet" in text
    assert "no snapshot yet: `recommender run features --ds …` makes the first" in text
    assert "country_category_affinity, snapshot of 2020-01-09" in text
