"""Check: exact figures of a tiny shop, the same reasons as ingest, and a cure for what is wrong."""

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.config.settings import Settings
from recommender.data.check import Report, check
from recommender.data.ingest import ingest
from recommender.errors import NotReadyError
from tests.data.shop import FIRST, ITEMS, PROFILE, write_shop

LENIENT = PROFILE + "quality: {max_rejected_share: 1.0}\n"
SHORT = "evaluation: {holdout_days: 1}\ntraining: {validation_days: 1}\n"


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Settings:
    return write_shop(tmp_path / "shop", profile=LENIENT)


def look(folder: Path, **parts: str) -> Report:
    return check(write_shop(folder / "shop", **{"profile": LENIENT, **parts}))


def said(report: Report) -> str:
    return "\n".join(report.advice)


def test_every_row_is_counted_once(shop: Settings) -> None:
    report = check(shop)
    users, items, events = report.tables
    assert (users.rows, users.kept, users.rejected) == (5, 3, {"duplicate user_id": 1, "missing user_id": 1})
    assert (items.rows, items.kept, items.rejected) == (3, 3, {})
    assert (events.rows, events.kept) == (12, 5)
    assert events.rejected == {
        "duplicate": 1, "implausible ts": 1, "missing item_id": 1, "missing user_id": 1, "unknown item": 1,
        "unknown user": 1, "unreadable ts": 1,
    }  # fmt: skip
    for table in report.tables:
        assert table.rows == table.kept + sum(table.rejected.values())
        assert [(file.path, file.bytes > 0) for file in table.files] == [(f"{table.table}.csv", True)]


def test_the_figures_of_the_events(shop: Settings) -> None:
    events = check(shop).events
    assert events is not None
    assert (events.events, events.users.ids, events.items.ids) == (5, 2, 3)
    assert events.per_day == ((date(2020, 1, 1), 1), (date(2020, 1, 2), 3), (date(2020, 1, 3), 1))
    assert events.density == pytest.approx(5 / 6)
    assert (events.users.median, events.users.max) == (2.5, 3)
    assert (events.items.median, events.items.max) == (2, 2)
    assert events.top_1_percent_share == pytest.approx(2 / 5)
    assert events.gini == pytest.approx(2 * (1 * 1 + 2 * 2 + 2 * 3) / (3 * 5) - 4 / 3)
    assert (events.unknown_items.rows, events.unknown_items.ids, events.unknown_items.examples) == (1, 1, ("rug",))
    assert (events.unknown_users.rows, events.unknown_users.ids, events.unknown_users.examples) == (1, 1, ())


def test_columns_tell_what_is_missing_and_out_of_range(shop: Settings) -> None:
    report = check(shop)
    users, items, _ = report.tables
    age, land, year = users.column("age"), users.column("country"), items.column("year")
    assert age is not None and land is not None and year is not None
    assert (age.missing, age.out_of_range, age.unreadable) == (1, 1, 0)
    assert (land.missing, land.distinct) == (1, 4)
    assert (land.personal, land.top) == (True, ())
    assert (year.missing, year.type) == (1, "integer")
    maker = items.column("creator")
    assert maker is not None and maker.top == (("oak", 2), ("lux", 1))


@pytest.mark.parametrize("night", [FIRST, date(2020, 1, 3)])
def test_the_night_is_judged_as_ingest_judges_it(shop: Settings, monkeypatch, night: date) -> None:
    monkeypatch.setattr("recommender.data.ingest.validate", lambda *_: [])
    report = check(shop, night)
    result = ingest(shop, night)
    assert report.events is not None
    assert report.events.ds_rows - report.events.ds_rejected == result.events
    aside = sum(sum(table.rejected.values()) for table in report.tables if table.table != "events")
    assert report.events.ds_rejected + aside == sum(result.quarantined.values())


def test_the_split_of_the_night(home: Path, tmp_path: Path) -> None:
    settings = write_shop(tmp_path / "shop", profile=LENIENT + SHORT)
    report = check(settings, date(2020, 1, 3))
    assert report.events is not None
    split = report.events.split
    assert (split.trained_to, split.judged_at, split.ds) == (date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3))
    assert (split.training_events, split.validation_events, split.holdout_events) == (1, 3, 1)
    assert (split.holdout_users, split.known_holdout_users) == (1, 1)
    assert report.ready


def test_a_night_without_training_data_is_a_problem(shop: Settings) -> None:
    report = check(shop)
    assert report.ds == date(2020, 1, 3)
    assert not report.ready
    assert "no event before 2019-11-23 to train on: events run from 2020-01-01 to 2020-01-03" in report.problems[0]


def test_too_many_bad_rows_are_a_problem(home: Path, tmp_path: Path) -> None:
    report = look(tmp_path, profile=PROFILE + SHORT)
    assert "58.3% of the events up to 2020-01-03 would be put aside, quality.max_rejected_share" in report.problems[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"items": ITEMS.replace("maker", "makers")}, "has no column 'maker'"),
        ({"events": "who,what,when\n"}, "events.csv holds no event"),
        ({"events": "who,what,when\nann,lamp,soon\n"}, "none of the 1 events is usable"),
        ({"profile": LENIENT.replace("users.csv", "people.csv")}, "no file matches"),
    ],
)
def test_what_would_stop_the_night(home: Path, tmp_path: Path, change: dict, problem: str) -> None:
    report = look(tmp_path, **change)
    assert any(problem in line for line in report.problems), report.problems
    assert all("\n" not in line for line in report.problems)


def test_a_broken_table_hides_none_of_the_others(home: Path, tmp_path: Path) -> None:
    report = look(tmp_path, items="")
    assert [table.table for table in report.tables] == ["users", "events"]
    events = report.table("events")
    assert events is not None and "unknown item" not in events.rejected


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (
            {"events": "who,what,when\nann,lamp,1577836800000\nbob,desk,1577836900000\n",
             "profile": LENIENT.replace("ts: when", "ts: {column: when, unit: seconds}")},
            "events.columns.ts looks like milliseconds: say ts: {column: when, unit: milliseconds}",
        ),
        (
            {"events": "who,what,when\nann,lamp,31.01.2020 10:00\n"},
            'events.columns.ts looks like %d.%m.%Y %H:%M: say ts: {column: when, format: "%d.%m.%Y %H:%M"}',
        ),
        ({"events": "who,what,when\nann,lamp,x\nbob,lamp,y\n"}, "most values of 'when' are no times"),
        ({"users": "id,land,age,since\nann,UK,30,1577836800\nbob,UK,30,1577836900\n",
          "profile": LENIENT.replace("country: land", "country: land, registered: since")},
         "users.columns.registered looks like seconds: say registered: {column: since, unit: seconds}"),
        ({}, "8% of the events name 1 unknown items, such as rug: deliver them in `items`"),
        ({}, "8% of the events name 1 unknown users: deliver them in `users`"),
        ({}, "8% of the events repeat user, item, time and type"),
        ({}, "users: 1 of 5 rows repeat a user_id"),
        ({}, "events end on 2020-01-03, and schedule.start_date is 2026-01-01: say schedule: {start_date: 2020-01-01"),
        ({"users": "id,land,age\nann,,34\nbob,,25\neve,UK,30\n"}, "users: country is missing for 67%: drop it from "
                                                                  "features.user"),
        ({"users": "id,land,age\nann,,0\nbob,,98\neve,UK,30\n",
          "profile": LENIENT.replace("{column: age, min: 10, max: 99}", "age")},
         "users.columns.age: 2 ages are under 10 or over 95: set min: 10, max: 95"),
        ({"items": ITEMS.replace("1999-05-01", "old"),
          "profile": LENIENT.replace('{sql: "substr(made, 1, 4)"}', "made")},
         "items.columns.year: 2 of 3 values are not integers, such as '2001-01-01', 'old': try {sql: …}"),
        ({"items": ITEMS + "rug,Rug,wool,soft,2000,too,many\n"}, "items: 1 lines can't be split into columns"),
    ],
)  # fmt: skip
def test_advice_names_the_key_and_the_cure(home: Path, tmp_path: Path, change: dict, advice: str) -> None:
    report = look(tmp_path, **change)
    assert advice in said(report), said(report)


def test_a_file_in_another_encoding_is_named_with_the_cure(home: Path, tmp_path: Path) -> None:
    settings = write_shop(tmp_path / "shop", profile=LENIENT)
    (settings.data / "items.csv").write_bytes(ITEMS.replace("Lamp", "Lämp").encode("latin-1"))
    report = check(settings)
    assert any("items.csv" in line and "latin-1" in line for line in report.problems), report.problems


def test_no_user_is_named(shop: Settings) -> None:
    told = json.dumps(check(shop).as_dict())
    for name in ("ann", "bob", "eve", "cat", "FR", "UK"):
        assert f'"{name}"' not in told and f"'{name}'" not in told
    assert json.loads(told)["ready"] is False


def test_without_users_and_items_everything_that_happened_counts(home: Path, tmp_path: Path) -> None:
    profile = "name: bare\nevents:\n  path: events.csv\n  columns: {user_id: who, item_id: what, ts: when}\n"
    report = check(write_shop(tmp_path / "shop", profile=profile + "features: {item: [events_7d]}\n"))
    (events,) = report.tables
    assert events.rejected == {
        "duplicate": 1, "implausible ts": 1, "missing item_id": 1, "missing user_id": 1, "unreadable ts": 1,
    }  # fmt: skip


def test_weights_that_are_no_numbers_are_told(home: Path, tmp_path: Path) -> None:
    events = "who,what,when,n\nann,lamp,2020-01-01,3\nbob,desk,2020-01-02,many\nbob,sofa,2020-01-02,\n"
    report = look(tmp_path, events=events, profile=LENIENT.replace("ts: when", "ts: when, weight: n"))
    table = report.table("events")
    assert table is not None
    weight = table.column("weight")
    assert weight is not None and (weight.missing, weight.unreadable, weight.examples) == (2, 1, ("many",))


def test_a_generated_world_is_checked_after_its_first_night(home: Path, tmp_path: Path) -> None:
    synthetic = LENIENT + "synthetic: {}\n"
    settings = write_shop(tmp_path / "shop", profile=synthetic)
    with pytest.raises(NotReadyError, match="makes its files on its first night"):
        check(Settings(settings.profile, settings.profile_path, tmp_path / "none", settings.home, None))


rows = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "eve", "", " "]),
        st.sampled_from(["lamp", "desk", "rug", ""]),
        st.sampled_from(["2020-01-01T10:00:00", "2020-01-02", "1956-11-01", "soon", "", "2020-01-03T01:00:00Z"]),
    ),
    max_size=30,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows)
def test_rows_are_usable_or_have_a_reason(home: Path, tmp_path_factory, source: list) -> None:
    lines = "".join(f'"{who}","{what}","{when}"\n' for who, what, when in source)
    report = look(tmp_path_factory.mktemp("rows"), events="who,what,when\n" + lines)
    table = report.table("events")
    assert table is not None
    assert table.rows == len(source) == table.kept + sum(table.rejected.values())
    if report.events is not None:
        assert report.events.events == table.kept == sum(count for _, count in report.events.per_day)
        assert report.events.beyond_ds == 0
        assert 0 <= report.events.gini < 1
