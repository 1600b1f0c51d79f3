"""[7] What people are is used for features and shown nowhere: not in logs, reports, Data Docs or tables."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from recommender.config.settings import load_settings
from recommender.errors import ConfigError
from recommender.storage.lake import Lake
from recommender.storage.postgres import libpq_url
from tests.e2e.people import MARKS, PLAIN, SECOND, THIRD, People, write_people

ALLOWED_IDS = ("recommendation_lists", "recommendations", "erasure_requests")
"""Of schema reco: tables that are about single users; their ids are looked up there, nothing else is."""


def leaks(text: str, marks: tuple[str, ...] = MARKS) -> list[str]:
    lowered = text.lower()
    return [lowered[max(0, at - 60) : at + 60] for mark in marks if (at := lowered.find(mark)) >= 0]


def texts(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes().decode("utf-8", errors="ignore")


def test_the_values_are_really_used(people: People) -> None:
    """Else the other tests here would prove nothing."""
    users = Lake(people.settings.lake).read("users", SECOND).to_csv()
    encoders = " ".join(text for _, text in texts(people.settings.artifacts))
    assert all(leaks(users, (mark,)) for mark in MARKS if mark != "1718.25"), "that one is out of range"
    assert leaks(encoders, ("zanzibarland",))


@pytest.mark.parametrize("folder", ["reports", "data_docs", "great_expectations"])
def test_no_report_shows_a_person(people: People, folder: str) -> None:
    found = {path.name: leaks(text) for path, text in texts(people.settings.world / folder)}
    assert len(found) > 2
    assert {name: leak for name, leak in found.items() if leak} == {}


def test_the_drift_report_is_there_and_shows_what_is_not_personal(people: People) -> None:
    (page,) = people.settings.reports.glob(f"ds={SECOND}/drift_user.html")
    assert all(value in page.read_text() for value in (*PLAIN, "country", "value 1"))


def test_no_command_prints_a_person(people: People) -> None:
    assert "country" in people.run("check", "--data", str(people.folder))
    people.run("status")
    expectations = people.folder / "expectations" / "users.yaml"
    warnings = expectations.read_text()
    expectations.write_text(warnings.replace("severity: warn", "severity: fail"))
    refused = people.run("run", "ingest", "--ds", str(THIRD), expect=2)
    expectations.write_text(warnings)
    assert "failed 4 expectations" in refused
    assert "country" in "".join(people.said)  # the warnings name the column
    assert [leak for said in people.said for leak in leaks(said)] == []


def test_a_profile_whose_sql_breaks_on_a_value_does_not_quote_it(people: People, tmp_path: Path) -> None:
    path = write_people(tmp_path)
    path.write_text(path.read_text().replace("gender: g", "gender: {sql: cast(c as integer), type: integer}"))
    for command in (("run", "ingest", "--ds", str(THIRD)), ("check",)):
        said = people.run(*command, "--profile", str(path), "--data", str(tmp_path), expect=2)
        assert "users" in said
        assert leaks(said) == []


def test_no_table_holds_a_person_but_the_id_that_is_looked_up(people: People) -> None:
    with psycopg.connect(libpq_url(people.settings)) as connection:
        tables = connection.execute(
            """select relname from pg_class
               where relnamespace = 'reco'::regnamespace and relkind in ('r', 'p', 'v', 'm')"""
        ).fetchall()
        rows = 0
        for (table,) in tables:
            about_users = table.startswith(ALLOWED_IDS)
            marks = tuple(mark for mark in MARKS if not (about_users and mark == "qzuser"))
            for (row,) in connection.execute(
                sql.SQL("select to_jsonb(t)::text from {} as t").format(sql.Identifier("reco", table))
            ):
                rows += 1
                assert leaks(row, marks) == [], table
    assert rows > 100


@pytest.mark.parametrize("column", ["title", "creator", "item_id"])
def test_what_is_published_of_an_item_cannot_be_personal(tmp_path: Path, column: str) -> None:
    path = write_people(tmp_path)
    old = {"item_id": "i", "title": "title", "creator": "creator"}[column]
    path.write_text(path.read_text().replace(f"{column}: {old},", f"{column}: {{column: {old}, personal: true}},"))
    with pytest.raises(ConfigError, match=f"items.columns.{column} is published"):
        load_settings(str(path), tmp_path)
