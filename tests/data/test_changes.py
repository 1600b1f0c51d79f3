"""The lake follows its source: late, corrected, deleted and returning events, whatever night they come in."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.config.settings import Settings
from recommender.data.events import known_events
from recommender.data.ingest import IngestResult, ingest
from recommender.errors import DataQualityError, NotReadyError, SourceError
from recommender.storage.lake import Lake
from tests.data.shop import FIRST, PROFILE, write_shop

WEIGHED = PROFILE.replace("ts: when}", "ts: when, weight: stars}") + (
    "quality: {max_rejected_share: 1.0, max_deleted_share: 1.0}\n"
)
USERS = "id,land,age\nann,UK,34\nbob,DE,40\n"
SECOND, THIRD, FOURTH = (FIRST + timedelta(days=n) for n in (1, 2, 3))
ANN = "ann,lamp,2020-01-01T10:00:00,1\n"
BOB = "bob,desk,2020-01-02T10:00:00,2\n"
NEXT = "ann,desk,2020-01-03T10:00:00,3\n"


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expectations are not what is tested here, and cost a second a night."""
    monkeypatch.setattr("recommender.data.ingest.validate", lambda *_: [])
    monkeypatch.setattr("recommender.data.ingest.figures", lambda *_: {})


def deliver(folder: Path, events: str, **files: str) -> Settings:
    return write_shop(folder, events="who,what,when,stars\n" + events, **{"users": USERS, "profile": WEIGHED, **files})


def night(folder: Path, ds: date, events: str, **files: str) -> IngestResult:
    return ingest(deliver(folder, events, **files), ds)


def known(shop: Settings, ds: date = date.max) -> list[tuple[str, str, str, float]]:
    rows = duckdb.execute(
        f"select user_id, item_id, ts::date::varchar, weight from {known_events(Lake(shop.lake), ds)} order by all"
    )
    return rows.fetchall()


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    return tmp_path / "shop"


def test_a_late_event_lands_in_the_night_that_brought_it(folder: Path) -> None:
    night(folder, FIRST, ANN)
    result = night(folder, SECOND, ANN + BOB + NEXT)
    shop = deliver(folder, ANN + BOB + NEXT)
    assert (result.events, result.late) == (2, 1)
    assert Lake(shop.lake).read("events", SECOND)["user_id"].tolist() == ["bob", "ann"]
    assert known(shop, FIRST) == [("ann", "lamp", "2020-01-01", 1)]  # what the first night knew stays what it knew
    assert len(known(shop, SECOND)) == 3
    assert "1 late" in result.summary


def test_a_correction_replaces_and_a_deletion_removes(folder: Path) -> None:
    night(folder, FIRST, ANN + BOB)
    result = night(folder, SECOND, BOB.replace(",2\n", ",5\n") + NEXT)
    shop = deliver(folder, "")
    assert (result.corrected, result.removed, result.late) == (1, 1, 0)
    assert known(shop) == [("ann", "desk", "2020-01-03", 3), ("bob", "desk", "2020-01-02", 5)]
    assert len(known(shop, FIRST)) == 2


def test_what_was_deleted_may_come_back(folder: Path) -> None:
    night(folder, FIRST, ANN + BOB)
    night(folder, SECOND, ANN)
    night(folder, THIRD, ANN + BOB)
    night(folder, FOURTH, ANN)
    shop = deliver(folder, "")
    assert [len(known(shop, ds)) for ds in (FIRST, SECOND, THIRD, FOURTH)] == [2, 1, 2, 1]


def test_an_increment_deletes_nothing(folder: Path) -> None:
    profile = WEIGHED.replace("path: events.csv", "path: events.csv\n  delivery: increment")
    night(folder, FIRST, ANN + BOB, profile=profile)
    result = night(folder, SECOND, NEXT, profile=profile)
    assert result.removed == 0
    assert len(known(deliver(folder, ""))) == 3


def test_a_delivery_that_lost_half_of_the_history_stops_the_night(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("RECOMMENDER_HOME", str(folder.parent / "home"))
    profile = WEIGHED.replace("max_deleted_share: 1.0", "max_deleted_share: 0.05")
    night(folder, FIRST, ANN + BOB, profile=profile)
    with pytest.raises(DataQualityError, match="deleted_share"):
        night(folder, SECOND, ANN + NEXT, profile=profile)
    shop = deliver(folder, "")
    assert len(known(shop)) == 2
    assert Lake(shop.lake).nights("events") == [FIRST]


def test_an_item_that_becomes_known_releases_its_events_from_the_quarantine(folder: Path) -> None:
    unknown = "ann,rug,2020-01-01T11:00:00,1\n"
    first = night(folder, FIRST, ANN + unknown)
    assert first.quarantined == {"unknown item": 1}
    items = "id,name,maker,kind,made\nlamp,Lamp,lux,light,1999\ndesk,Desk,oak,wood,2001\nrug,Rug,wool,soft,2019\n"
    second = night(folder, SECOND, ANN + unknown, items=items)
    assert (second.late, second.quarantined) == (1, {})
    assert len(known(deliver(folder, ""))) == 2


def test_events_of_a_withdrawn_item_stay(folder: Path) -> None:
    night(folder, FIRST, ANN + BOB)
    items = "id,name,maker,kind,made\ndesk,Desk,oak,wood,2001\n"
    result = night(folder, SECOND, ANN + BOB + NEXT, items=items)
    assert (result.removed, result.quarantined) == (0, {})
    assert len(known(deliver(folder, ""))) == 3


def test_each_bad_row_is_put_aside_once_for_each_time_it_is_delivered(folder: Path) -> None:
    bad = "ann,,2020-01-01T11:00:00,1\n"
    assert night(folder, FIRST, ANN + bad).quarantined == {"missing item_id": 1}
    assert night(folder, SECOND, ANN + bad).quarantined == {}
    assert night(folder, THIRD, ANN + bad + bad + ANN).quarantined == {"missing item_id": 1, "duplicate": 1}
    assert night(folder, FOURTH, ANN + bad + bad + ANN).quarantined == {}


def test_an_older_night_run_again_changes_nothing_and_takes_what_newer_ones_lack(folder: Path) -> None:
    for ds, events in ((FIRST, ANN), (SECOND, ANN + NEXT)):
        night(folder, ds, events)
    shop = deliver(folder, "")
    before = {ds: Lake(shop.lake).read("events", ds) for ds in (FIRST, SECOND)}
    night(folder, FIRST, ANN + NEXT)
    for ds, rows in before.items():
        pd.testing.assert_frame_equal(Lake(shop.lake).read("events", ds), rows)
    night(folder, SECOND, ANN + NEXT)
    assert len(known(shop)) == 2


def test_a_night_before_the_first_one_is_told_where_the_lake_begins(folder: Path) -> None:
    night(folder, FIRST, ANN)
    with pytest.raises(NotReadyError, match=f"the lake begins with night {FIRST}"):
        known(deliver(folder, ANN), FIRST - timedelta(days=1))


def test_many_partitions_are_merged_and_every_night_still_knows_what_it_knew(folder: Path) -> None:
    nights = [FIRST + timedelta(days=n) for n in range(5)]
    events = ANN
    for ds in nights:
        events += f"bob,desk,{ds}T12:00:00,1\n"
        night(folder, ds, events)
    shop = deliver(folder, events)
    lake = Lake(shop.lake)
    knew = {ds: known(shop, ds) for ds in nights}
    facts = {ds: lake.facts("events", ds) for ds in nights}
    assert lake.merge("events", keep=3) == 2
    assert lake.merge("events", keep=1) == 2
    assert len(lake.files("events", date.max)) == 2
    assert lake.nights("events") == nights
    assert {ds: known(shop, ds) for ds in nights} == knew
    assert {ds: lake.facts("events", ds) for ds in nights} == facts
    assert lake.read("events", nights[1])["user_id"].tolist() == ["bob"]
    ingest(shop, nights[1])  # inside the merged file
    assert {ds: known(shop, ds) for ds in nights} == knew


def test_who_is_about_to_read_finds_what_is_merged_meanwhile_until_the_next_night(folder: Path) -> None:
    night(folder, FIRST, ANN)
    night(folder, SECOND, ANN + NEXT)
    shop = deliver(folder, ANN + NEXT)
    lake = Lake(shop.lake)
    reading = known_events(lake)
    lake.merge("events", keep=1)
    assert duckdb.execute(f"select count(*) from {reading}").fetchone() == (2,)
    assert len(known(shop)) == 2  # nothing counts twice
    assert lake.nights("events") == [FIRST, SECOND]
    night(folder, THIRD, ANN + NEXT)
    assert len(known(shop)) == 2
    assert not lake.path("events", FIRST).exists()
    assert len(list(Path(shop.lake).glob("events/*/*.parquet"))) == 3


class TestSchema:
    """Columns that come, go and change their type."""

    def test_a_new_column_is_missing_in_earlier_rows_and_said(self, folder: Path) -> None:
        night(folder, FIRST, ANN)
        profile = WEIGHED.replace("weight: stars}", "weight: stars, device: {value: web}}")
        result = night(folder, SECOND, ANN + NEXT, profile=profile)
        shop = deliver(folder, "")
        assert result.notes == ("events.device is new",)
        devices = duckdb.execute(f"select device from {known_events(Lake(shop.lake))} order by ts").fetchall()
        assert devices == [(None,), ("web",)]

    def test_a_column_that_is_gone_from_the_source_is_refused(self, folder: Path) -> None:
        night(folder, FIRST, ANN)
        with pytest.raises(SourceError, match=r"has no column 'land' \(users.columns.country"):
            night(folder, SECOND, ANN, users="id,age\nann,34\n")

    def test_a_wider_type_is_taken_and_a_narrower_one_refused(self, folder: Path) -> None:
        number = WEIGHED.replace("weight: stars}", "weight: stars, length: {value: 3, type: integer}}")
        wider = number.replace("integer}", "number}").replace("value: 3,", "value: 2.5,")
        narrower = number.replace("value: 3, type: integer", "value: 2020-01-01, type: time")
        night(folder, FIRST, ANN, profile=number)
        assert night(folder, SECOND, ANN + NEXT, profile=wider).notes == ("events.length widened from BIGINT to FLOAT",)
        with pytest.raises(SourceError, match=r"events\.length is TIMESTAMP now and was FLOAT in the lake"):
            night(folder, THIRD, ANN + NEXT, profile=narrower)


days = st.integers(1, 4)
row = st.tuples(
    st.sampled_from(["ann", "bob", "eve"]), st.sampled_from(["lamp", "desk", "rug"]), days, st.integers(1, 2)
)
delivery = st.lists(row, max_size=6)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(delivery, st.integers(0, 1)), min_size=1, max_size=4))
def test_after_every_night_the_lake_knows_exactly_what_the_source_says(
    home: Path, tmp_path_factory: pytest.TempPathFactory, deliveries: list
) -> None:
    folder = tmp_path_factory.mktemp("shop")
    profile = WEIGHED.replace("name: shop", f"name: {folder.name.replace('-', '_')}")
    ds = FIRST
    always = ("ann", "desk", 1, 1)  # a first night needs an event
    for number, (delivered, pause) in enumerate(deliveries):
        ds = FIRST + timedelta(days=number + pause) if number == 0 else ds + timedelta(days=1 + pause)
        source = [always, *delivered]
        text = "".join(f"{who},{what},2020-01-0{day}T10:00:00,{stars}\n" for who, what, day, stars in source)
        shop = deliver(folder, text, profile=profile)
        ingest(shop, ds)
        once = known(shop)
        ingest(shop, ds)
        assert known(shop) == once
        weights: dict[tuple[str, str, int], int] = {}
        for who, what, day, stars in source:
            if who != "eve" and what != "rug" and date(2020, 1, day) <= ds:
                weights[who, what, day] = max(stars, weights.get((who, what, day), 0))
        expected = sorted((who, what, f"2020-01-0{day}", stars) for (who, what, day), stars in weights.items())
        assert known(shop) == expected
