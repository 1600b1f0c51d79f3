"""Ingest: every source row is kept or quarantined with its reason, and a night is idempotent."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.config.settings import Settings
from recommender.data.ingest import ingest
from recommender.errors import DataQualityError, SourceError
from recommender.storage.lake import Lake
from tests.data.shop import EVENTS, FIRST, ITEMS, PROFILE, USERS, write_shop

LENIENT = PROFILE + "quality: {max_rejected_share: 1.0}\n"
NEXT = FIRST + timedelta(days=1)


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Settings:
    return write_shop(tmp_path / "shop", profile=LENIENT)


def reasons(lake: Lake, table: str, ds: date) -> Counter:
    return Counter(lake.read(f"quarantine_{table}", ds)["reason"])


def test_a_bootstrap_takes_everything_up_to_its_end_and_explains_the_rest(shop: Settings) -> None:
    result = ingest(shop, FIRST)
    lake = Lake(shop.lake)
    kept = lake.read("events", FIRST)
    assert sorted(zip(kept["user_id"], kept["item_id"], kept["ts"].astype(str), strict=True)) == [
        ("ann", "desk", "2020-01-02 23:59:59"),
        ("ann", "lamp", "2020-01-01 10:00:00"),
        ("bob", "lamp", "2020-01-02 00:00:00"),
        ("bob", "sofa", "2020-01-02 10:00:00"),  # the source said 12:00 at +02:00
    ]
    assert kept["weight"].tolist() == [1.0] * 4
    assert reasons(lake, "events", FIRST) == {
        "duplicate": 1,
        "unknown item": 1,
        "unknown user": 1,
        "missing user_id": 1,
        "missing item_id": 1,
        "unreadable ts": 1,
        "implausible ts": 1,
    }
    assert reasons(lake, "users", FIRST) == {"duplicate user_id": 1, "missing user_id": 1}
    users = lake.read("users", FIRST).set_index("user_id")
    assert users.loc["cat", "country"] == "FR"
    assert pd.isna(users.loc["bob", "age"])
    assert users["age_band"].to_dict() == {"ann": "25-34", "bob": None, "cat": "under 18"}
    assert lake.read("items", FIRST)["year"].tolist()[:2] == [2001, 1999]
    assert result.taken_as_missing == {"users.age": 1}
    assert "9 rows quarantined" in result.summary


def test_a_night_takes_its_own_day_and_meets_no_reject_twice(shop: Settings) -> None:
    ingest(shop, FIRST)
    result = ingest(shop, NEXT)
    lake = Lake(shop.lake)
    assert lake.read("events", NEXT)["item_id"].tolist() == ["sofa"]
    assert (result.events, len(lake.read("quarantine_events", NEXT))) == (1, 0)


def test_the_same_night_twice_leaves_the_same_rows(shop: Settings) -> None:
    lake = Lake(shop.lake)
    first = ingest(shop, FIRST)
    before = {table: lake.read(table, FIRST) for table in ("events", "users", "items", "quarantine_events")}
    assert ingest(shop, FIRST) == first
    for table, rows in before.items():
        pd.testing.assert_frame_equal(lake.read(table, FIRST), rows)


def test_missed_nights_are_filled_and_running_them_later_changes_nothing(shop: Settings) -> None:
    ingest(shop, FIRST)
    late = FIRST + timedelta(days=3)
    assert ingest(shop, late).filled_nights == 2
    lake = Lake(shop.lake)
    assert lake.nights("events") == [FIRST + timedelta(days=n) for n in range(4)]
    assert lake.read("events", NEXT)["item_id"].tolist() == ["sofa"]
    ingest(shop, NEXT)
    assert lake.read("events", NEXT)["item_id"].tolist() == ["sofa"]


def test_a_night_without_events_lands_empty(shop: Settings) -> None:
    ingest(shop, FIRST)
    ingest(shop, NEXT)
    empty = NEXT + timedelta(days=1)
    result = ingest(shop, empty)
    assert result.events == 0
    assert len(Lake(shop.lake).read("events", empty)) == 0
    assert len(Lake(shop.lake).read("quarantine_events", empty)) == 0


def test_a_night_before_the_bootstrap_lands_no_event_twice(shop: Settings) -> None:
    ingest(shop, FIRST)
    assert ingest(shop, FIRST - timedelta(days=1)).kind == "covered by the bootstrap"
    assert Lake(shop.lake).nights("events") == [FIRST]


def test_a_failing_expectation_lands_nothing_and_keeps_the_batch(home: Path, tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", profile=LENIENT)
    ingest(shop, FIRST)
    strict = write_shop(tmp_path / "shop", events=EVENTS + "bob,nothing,2020-01-03T01:00:00Z\n", profile=PROFILE)
    with pytest.raises(DataQualityError, match="rejected_share") as caught:
        ingest(strict, NEXT)
    assert "\n" not in str(caught.value)
    lake = Lake(strict.lake)
    assert lake.nights("events") == [FIRST]
    assert lake.read("failed_events", NEXT)["item_id"].tolist() == ["sofa"]
    ingest(write_shop(tmp_path / "shop", profile=PROFILE), NEXT)
    assert lake.nights("events") == [FIRST, NEXT]
    assert lake.nights("failed_events") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": "who,what\nann,lamp\n"}, r"events.csv has no column 'when' \(events.columns.ts of profile shop\)"),
        ({"items": ITEMS.replace("maker", "makers")}, "items.csv has no column 'maker'.*did you mean 'makers'"),
        ({"users": ""}, "users.csv is empty"),
        ({"events": "who,what,when\n"}, "no usable event up to 2020-01-02"),
        ({"events": EVENTS.replace("2020-", "2030-")}, "is ds before the data begins"),
        ({"profile": PROFILE.replace("items.csv", "goods.csv")}, "no file matches .*goods.csv"),
        ({"profile": PROFILE.replace("substr(made, 1, 4)", "substr(")}, "profile shop, items.columns"),
    ],
)
def test_a_broken_source_is_one_clear_line(home: Path, tmp_path: Path, change: dict, message: str) -> None:
    shop = write_shop(tmp_path / "shop", **change)
    with pytest.raises(SourceError, match=message) as caught:
        ingest(shop, FIRST)
    assert "\n" not in str(caught.value)
    assert Lake(shop.lake).nights("events") == []


def test_a_truncated_parquet_file_is_named(home: Path, tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", profile=PROFILE.replace("events.csv", "events.parquet"))
    (shop.data / "events.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(SourceError, match=r"cannot read .*events\.parquet"):
        ingest(shop, FIRST)


def test_unparsable_lines_are_kept_with_their_line(home: Path, tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", items=ITEMS + "rug,Rug,wool,soft,2000,too,many\n", profile=LENIENT)
    ingest(shop, FIRST)
    (row,) = Lake(shop.lake).read("quarantine_items", FIRST).itertuples()
    assert row.raw == "rug,Rug,wool,soft,2000,too,many"
    assert row.reason.startswith("line 5 unparsable")


def test_hostile_ids_are_only_text(home: Path, tmp_path: Path) -> None:
    ids = ["'; drop table events; --", 'say "hi"', "naïve ☃", "a" * 200]
    quoted = ['"' + name.replace('"', '""') + '"' for name in ids]
    users = "id,land,age\n" + "".join(f"{name},UK,30\n" for name in quoted)
    events = "who,what,when\n" + "".join(f"{name},lamp,2020-01-01T10:00:00Z\n" for name in quoted)
    shop = write_shop(tmp_path / "shop", users=users, events=events)
    ingest(shop, FIRST)
    assert sorted(Lake(shop.lake).read("events", FIRST)["user_id"]) == sorted(ids)


def test_without_a_users_table_whoever_has_an_event_is_a_user(home: Path, tmp_path: Path) -> None:
    lines = PROFILE.splitlines()
    start = lines.index("users:")
    profile = "\n".join(lines[:start] + lines[start + 3 :]).replace(", country, age]", "]")
    shop = write_shop(tmp_path / "shop", profile=profile + "\nquality: {max_rejected_share: 1.0}\n")
    ingest(shop, FIRST)
    assert Lake(shop.lake).read("users", FIRST)["user_id"].tolist() == ["ann", "bob", "eve"]


rows = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "eve", "", "  "]),
        st.sampled_from(["lamp", "desk", "rug", ""]),
        st.sampled_from(["2020-01-01T10:00:00", "2020-01-02 11:00", "1956-11-01", "soon", "", "2020-13-40"]),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows)
def test_rows_in_are_rows_kept_plus_rows_quarantined(home: Path, tmp_path_factory, monkeypatch, source: list) -> None:
    monkeypatch.setattr("recommender.data.ingest.validate", lambda *_: [])  # counting is what is tested here
    good = ("ann", "lamp", "2020-01-01T09:00:00")
    lines = "".join(f'"{who}","{what}","{when}"\n' for who, what, when in [good, *source])
    folder = tmp_path_factory.mktemp("shop")
    profile = LENIENT.replace("name: shop", f"name: {folder.name.replace('-', '_')}")
    shop = write_shop(folder, events="who,what,when\n" + lines, users=USERS, profile=profile)
    ingest(shop, FIRST)
    lake = Lake(shop.lake)
    assert len(lake.read("events", FIRST)) + len(lake.read("quarantine_events", FIRST)) == len(source) + 1
