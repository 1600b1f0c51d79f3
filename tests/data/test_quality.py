"""The shipped suites on good and bad tables, a profile's own suites, and what Data Docs show and don't."""

import logging
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.data import quality
from recommender.data.quality import CheckResult, data_docs
from recommender.errors import ConfigError, DataQualityError

DS = date(2026, 1, 10)


def make_settings(folder: Path, suites: str | None = None) -> Settings:
    profile = Profile.model_validate(
        {
            "name": "small",
            "events": {"path": "e.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
            "users": {"path": "u.csv", "columns": {"user_id": "u", "age": "a", "country": "c", "registered": "r"}},
            "items": {"path": "i.csv", "columns": {"item_id": "i"}},
            "quality": {"expectations": suites, "max_rejected_share": 0.02, "max_deleted_share": 0.03},
        }
    )
    return Settings(profile, folder / "small.yaml", folder, folder / "home", None)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One world for all tests that don't look at its files: its site is set up once."""
    return make_settings(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def fresh(tmp_path: Path) -> Settings:
    return make_settings(tmp_path)


def own_suite(folder: Path, text: str, table: str = "items") -> Settings:
    """Settings whose profile brings its own file for one table."""
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own" / f"{table}.yaml").write_text(text, encoding="utf-8")
    return make_settings(folder, "own")


def check(table: str, frame: pd.DataFrame, ds: date, settings: Settings) -> list[CheckResult]:
    with duckdb.connect() as connection:
        connection.register("rows", frame)
        return quality.check(table, connection, "rows", ds, settings)


def validate(table: str, frame: pd.DataFrame, ds: date, settings: Settings) -> list[CheckResult]:
    with duckdb.connect() as connection:
        connection.register("rows", frame)
        return quality.validate(table, connection, "rows", ds, settings)


def good(table: str) -> pd.DataFrame:
    end = pd.Timestamp("2026-01-11").as_unit("us")
    frames = {
        "events": {
            "user_id": ["ann", "ann", "bob"],
            "item_id": ["1", "2", "1"],
            "ts": pd.to_datetime(["2025-12-31", "2026-01-10 23:59:59", "1990-01-01"], format="ISO8601").as_unit("us"),
            "event_type": ["play"] * 3,
            "weight": pd.Series([1, 0, 2.5], dtype="float32"),
        },
        "users": {
            "user_id": ["ann", "bob", "cyd"],
            "age": [31, None, 120],
            "country": ["PT", "PT", None],
            "registered": pd.to_datetime(["2020-01-01", None, "2026-01-10"]),
        },
        "items": {"item_id": ["1", "2"], "title": ["One", "Two"], "year": pd.Series([1999, None], dtype="Int64")},
        "user_features": {
            "user_id": ["ann", "bob"],
            "event_timestamp": [end, end],
            "events_14d": pd.Series([3, 0], dtype="float32"),
            "events_total": pd.Series([3, None], dtype="float32"),
            "tenure_days": pd.Series([9, None], dtype="float32"),
            "country": ["PT", None],
        },
        "item_features": {
            "item_id": ["1", "2"],
            "event_timestamp": [end, end],
            "creator_events_90d": pd.Series([3, 0], dtype="float32"),
            "days_since_last_event": pd.Series([0, None], dtype="float32"),
        },
        "batch": {
            "rows_read": [100],
            "rows_kept": [99],
            "rows_rejected": [1],
            "rejected_share": [0.01],
            "deleted_share": [0.0],
            "unknown_items_share": [0.01],
            "unknown_users_share": [0.0],
            "volume_ratio": [1.1],
            "newest_event_age_hours": [0.5],
            "items_ratio": [1.0],
            "users_ratio": [None],
        },
    }
    return pd.DataFrame(frames[table])


def changed(table: str, row: int, **values: Any) -> pd.DataFrame:
    frame = good(table)
    for name, value in values.items():
        frame.loc[row, name] = value
    return frame


TABLES = ["events", "users", "items", "user_features", "item_features", "batch"]


@pytest.mark.parametrize("table", TABLES)
def test_good_tables_pass_the_shipped_suites(table: str, settings: Settings) -> None:
    results = validate(table, good(table), DS, settings)
    assert results
    assert all(result.success for result in results)
    assert all(result.table == table and result.detail for result in results)


def test_a_quiet_night_without_events_passes(settings: Settings) -> None:
    text = dict.fromkeys(["user_id", "item_id", "event_type"], "string")
    validate("events", good("events").head(0).astype(text), DS, settings)


@pytest.mark.parametrize(
    ("table", "frame", "words"),
    [
        (
            "events",
            changed("events", 1, ts=datetime(1956, 11, 1)),
            ["less than 2026-01-11", "1 of 3 rows, e.g. 1956-11-01"],
        ),
        ("events", changed("events", 1, ts=datetime(2026, 1, 11)), ["less than 2026-01-11", "e.g. 2026-01-11"]),
        (
            "events",
            changed("events", 0, weight=-2, item_id=None),
            ["item_id", "weight", "e.g. -2", "failed 2 expectations"],
        ),
        ("events", changed("events", 0, item_id=""), ["characters long", "e.g. ''"]),
        ("events", good("events").drop(columns="ts"), ["column ts is missing"]),
        ("events", good("events").assign(ts="yesterday"), ["ts values must be"]),
        ("users", changed("users", 1, user_id="ann"), ["user_id values must be unique (2 of 3 rows)"]),
        ("users", changed("users", 1, age=130), ["less than or equal to 120 (1 of 3 rows)"]),
        ("users", good("users").head(0), ["greater than or equal to 1 rows (found 0)"]),
        ("items", changed("items", 1, item_id="1"), ["must be unique (2 of 2 rows, e.g. 1)"]),
        ("user_features", changed("user_features", 0, user_id="bob"), ["user_id values must be unique (2 of 2 rows)"]),
        ("user_features", changed("user_features", 1, event_timestamp=datetime(2026, 1, 10)), ["event_timestamp"]),
        ("item_features", changed("item_features", 0, item_id=None), ["item_id values must never be null"]),
        (
            "batch",
            changed("batch", 0, rejected_share=0.0731),
            ["less than or equal to 0.02 (found 0.0731): so many unusable rows"],
        ),
        ("batch", changed("batch", 0, deleted_share=0.04), ["deleted_share", "less than or equal to 0.03"]),
        ("batch", changed("batch", 0, items_ratio=0.4), ["items_ratio values must be greater than or equal to 0.5"]),
        ("batch", changed("batch", 0, users_ratio=0.4), ["users_ratio values must be greater than or equal to 0.5"]),
        ("events", good("events").assign(weight=float("nan")), ["weight"]),
        ("events", good("events").assign(user_id=1), ["user_id values must be of type VARCHAR (found BIGINT)"]),
        ("events", good("events").drop(columns="event_type"), ["event_type"]),
        ("items", good("items").assign(year=[1999.5, 2000]), ["year values must be of type BIGINT (found DOUBLE)"]),
    ],
)
def test_a_bad_table_fails_with_one_clear_line(
    table: str, frame: pd.DataFrame, words: list[str], settings: Settings
) -> None:
    with pytest.raises(DataQualityError) as caught:
        validate(table, frame, DS, settings)
    message = str(caught.value)
    assert message.startswith(f"{table} for 2026-01-10 failed ")
    assert "\n" not in message
    for word in words:
        assert word in message
    assert (settings.data_docs / "index.html").is_file()


def test_a_warning_is_logged_and_does_not_stop(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    results = validate("items", changed("items", 0, title=None), DS, settings)
    assert [result.severity for result in results if not result.success] == ["warn"]
    assert "items for 2026-01-10: title values must not be null" in caplog.text


def test_results_come_in_the_order_of_the_suite(settings: Settings) -> None:
    results = check("batch", good("batch"), DS, settings)
    assert results[0] == CheckResult(
        table="batch",
        expectation="expect_column_values_to_be_between",
        column="rejected_share",
        severity="fail",
        success=True,
        observed="0 of 1 rows",
        detail="rejected_share values must be less than or equal to 0.02",
    )
    columns = [result.column for result in results]
    assert columns[:4] == ["rejected_share", "deleted_share", "rows_read", None]
    assert columns[-2:] == ["users_ratio", "users_ratio"]


@pytest.mark.parametrize(
    "unusual",
    [
        {"rows_read": 0, "rows_kept": 0},
        {"volume_ratio": 0.1},
        {"volume_ratio": 6},
        {"newest_event_age_hours": 49},
        {"items_ratio": 4},
        {"users_ratio": 4},
        {"unknown_items_share": 0.03},
        {"unknown_users_share": 0.03},
    ],
)
def test_an_unusual_night_warns_and_goes_on(unusual: dict[str, float], settings: Settings) -> None:
    results = validate("batch", changed("batch", 0, **unusual), DS, settings)
    assert [(result.column, result.severity) for result in results if not result.success] == [
        (next(iter(unusual)), "warn")
    ]


def test_the_first_night_has_nothing_to_compare_with(settings: Settings) -> None:
    history = ["volume_ratio", "newest_event_age_hours", "items_ratio", "users_ratio"]
    results = validate("batch", good("batch").assign(**dict.fromkeys(history)), DS, settings)
    assert all(result.success for result in results)


@pytest.mark.parametrize("age", [4711, "zebra-stripes"])  # out of range, and not a number at all
def test_personal_values_appear_nowhere(
    age: object, fresh: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    users = good("users").astype({"age": object})
    users["age"] = [age, age, age]
    users.loc[1:2, "user_id"] = "a-very-private-id"
    events = changed("events", 0, user_id="a-very-private-id" * 20)
    features = pd.concat([good("user_features")] * 2).assign(user_id="a-very-private-id", country="Atlantis")
    messages = []
    for table, frame in {"users": users, "events": events, "user_features": features}.items():
        with pytest.raises(DataQualityError) as caught:
            validate(table, frame, DS, fresh)
        messages.append(str(caught.value))
    written = [path.read_text(encoding="utf-8", errors="ignore") for path in fresh.world.rglob("*.[hj]*")]
    assert len(written) > 5
    for text in [*messages, *written, caplog.text, *capfd.readouterr()]:
        assert "a-very-private-id" not in text
        assert "zebra-stripes" not in text
        assert "Atlantis" not in text
    assert not any("4711" in text for text in messages)
    assert not any(">4711<" in text or " 4711" in text for text in written)


def test_data_docs_hold_the_last_nights_once_each(fresh: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_docs, "_NIGHTS", 2)
    for night in (8, 9, 10, 10):
        frame = good("batch").assign(rows_read=night * 1_000)
        validate("batch", frame, date(2026, 1, night), fresh)
    pages = sorted(
        path.relative_to(fresh.data_docs).parts[2] for path in fresh.data_docs.rglob("validations/**/*.html")
    )
    assert pages == ["2026-01-09", "2026-01-10"]
    index = (fresh.data_docs / "index.html").read_text(encoding="utf-8")
    assert "2026-01-09" in index
    assert "2026-01-10" in index
    assert "2026-01-08" not in index


def test_data_docs_need_no_network_and_report_to_nobody(fresh: Settings) -> None:
    check("events", changed("events", 0, weight=-2).assign(ts="yesterday"), DS, fresh)
    pages = list(fresh.data_docs.rglob("*.html"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "//" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL), page
        assert not re.search(r"url\(['\"]?http", text), page
        for local in re.findall(r"(?:src|href)=\"([^\"#?]+)", text):
            assert (page.parent / local).exists(), f"{page} links to {local}"


def test_great_expectations_is_quiet(
    settings: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    validate("events", good("events"), DS, settings)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("great_")] == []
    assert "".join(capfd.readouterr()) == ""


def test_a_profile_adds_to_the_shipped_suite(tmp_path: Path) -> None:
    settings = own_suite(
        tmp_path,
        """
        - {expect: expect_column_values_to_be_in_set, column: title, value_set: [One], severity: warn}
        - {expect: expect_column_values_to_not_be_null, column: composer, optional: true}
        - {expect: expect_compound_columns_to_be_unique, column_list: [item_id, title]}
        - {expect: expect_column_pair_values_a_to_be_greater_than_b, column_A: year, column_B: born, optional: true}
        """,
    )
    shipped = check("items", good("items"), DS, make_settings(tmp_path))
    results = check("items", good("items"), DS, settings)
    assert results[: len(shipped)] == shipped
    assert [(result.column, result.success) for result in results[len(shipped) :]] == [("title", False), (None, True)]
    assert check("batch", good("batch"), DS, settings) == check("batch", good("batch"), DS, make_settings(tmp_path))


def test_a_query_of_the_profile_shows_no_rows_of_personal_tables(tmp_path: Path) -> None:
    text = """
    - expect: unexpected_rows_expectation
      unexpected_rows_query: "select * from {batch} where age > 100"
      description: nobody is older than 100
    """
    settings = own_suite(tmp_path, text, "users")
    with pytest.raises(DataQualityError) as caught:
        validate("users", good("users"), DS, settings)
    assert str(caught.value) == "users for 2026-01-10 failed 1 expectation: nobody is older than 100"
    for path in settings.world.rglob("*.[hj]*"):
        assert "cyd" not in path.read_text(encoding="utf-8", errors="ignore")


def test_an_entry_of_the_profile_replaces_the_shipped_one(tmp_path: Path) -> None:
    settings = own_suite(
        tmp_path,
        """
        - {expect: expect_column_values_to_be_between, column: "y*r", max_value: 1900}
        - {expect: expect_column_values_to_not_be_null, column: title, severity: off}
        - {expect: expect_table_row_count_to_be_between, min_value: 2, severity: warn}
        - {expect: expect_column_values_to_be_between, column: "*_share", severity: off}
        """,
    )
    results = check("items", changed("items", 0, title=None), DS, settings)
    told = {(result.expectation, result.column): result for result in results}
    year = told["expect_column_values_to_be_between", "year"]
    assert (year.severity, year.success, year.detail) == (
        "fail",
        False,
        "year values must be less than or equal to 1900 (1 of 2 rows, e.g. 1,999)",
    )
    assert ("expect_column_values_to_not_be_null", "title") not in told
    assert told["expect_table_row_count_to_be_between", None].severity == "warn"
    assert len(results) == len(check("items", good("items"), DS, make_settings(tmp_path))) - 1


def test_a_bound_of_a_time_zone_aware_column_is_utc(tmp_path: Path) -> None:
    suite = '- {expect: expect_column_values_to_be_between, column: seen, max_value: "{ds_end}", strict_max: true}'
    settings = own_suite(tmp_path, suite)
    before = pd.to_datetime(["2026-01-10 23:59:59", "2026-01-10 00:00:00"], utc=True)
    validate("items", good("items").assign(seen=before), DS, settings)
    with pytest.raises(DataQualityError, match="seen"):
        validate("items", good("items").assign(seen=before + pd.Timedelta(seconds=1)), DS, settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "- expect: expect_column_values_to_be_uniqe\n  column: item_id",
            ["entry 1", "did you mean expect_column_values_to_be_unique"],
        ),
        ("- {expect: expect_column_to_exist, column: title}\n- {column: title}", ["entry 2", "expect", "required"]),
        (
            "- {expect: expect_column_values_to_be_between, column: year, minimum: 3}",
            ["entry 1", "minimum", "not permitted"],
        ),
        ("- {expect: expect_column_values_to_be_between, column: year}", ["entry 1", "cannot both be None"]),
        (
            "- {expect: expect_column_to_exist, column: title, severity: fatal}",
            ["entry 1", "severity", "'fail', 'warn' or 'off'"],
        ),
        ('- {expect: expect_column_to_exist, column: "{ds_ende}"}', ["entry 1", "did you mean {ds_end}?"]),
        ("- {expect: expect_column_to_exist, column: titel, severity: off}", ["entry 1", "no such expectation"]),
        ("expect: [", ["not valid YAML"]),
        ("expect: expect_column_to_exist", ["must hold a list"]),
    ],
)
def test_a_suite_that_makes_no_sense_names_file_and_entry(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check("items", good("items"), DS, own_suite(tmp_path, text))
    for word in [str(tmp_path / "own" / "items.yaml"), *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_suites_are_named(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"no expectations for podcasts: .*podcasts\.yaml does not exist"):
        check("podcasts", good("items"), DS, settings)
    with pytest.raises(ConfigError, match=r"small\.yaml: quality\.expectations: .*nowhere is not a folder"):
        check("items", good("items"), DS, make_settings(tmp_path, "nowhere"))


def test_the_front_page_shows_what_failed(fresh: Settings) -> None:
    check("events", good("events").assign(weight=-1.0), DS, fresh)
    check("users", good("users"), DS, fresh)
    page = (fresh.data_docs / "index.html").read_text(encoding="utf-8")
    assert 'class=bad><a href="validations/events/' in page
    assert "class=good" in page
    assert f"<th>{DS}</th>" in page
