"""A night run again changes nothing that another night builds on, whatever the source says by then."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from queue import Queue

import duckdb
import pytest

from recommender.config.settings import Settings
from recommender.data.ingest import ingest
from recommender.storage.lake import Lake
from recommender.storage.world_lock import landing_lock
from tests.data.shop import FIRST
from tests.data.test_changes import (
    ANN,
    BOB,
    FOURTH,
    NEXT,
    SECOND,
    THIRD,
    WEIGHED,
    deliver,
    folder,  # noqa: F401
    known,
    night,
    unchecked,  # noqa: F401
)

DEARER = BOB.replace(",2\n", ",5\n")
BAD = "ann,,2020-01-01T11:00:00,1\n"
INCREMENT = WEIGHED.replace("path: events.csv", "path: events.csv\n  delivery: increment")


def rows(shop: Settings) -> dict[str, list[str]]:
    """Everything in the lake, by file."""
    files = sorted(Path(shop.lake).rglob("*.parquet"))
    return {
        str(file.relative_to(shop.lake)): sorted(
            map(str, duckdb.execute("from read_parquet(?)", [str(file)]).fetchall())
        )
        for file in files
    }


def knowledge(shop: Settings) -> dict[date, list[tuple[str, str, str, float]]]:
    return {ds: known(shop, ds) for ds in Lake(shop.lake).nights("events")}


def test_any_night_run_again_over_the_same_source_writes_the_same_rows(folder: Path) -> None:  # noqa: F811
    deliveries = [
        (FIRST, ANN + BOB + BAD),
        (SECOND, ANN + DEARER + NEXT + BAD),  # corrected
        (THIRD, ANN + NEXT + BAD + BAD),  # removed
        (FOURTH, ANN + BOB + NEXT + BAD + BAD),  # back again
    ]
    for ds, events in deliveries:
        night(folder, ds, events)
    shop = deliver(folder, deliveries[-1][1])
    before = rows(shop)
    for ds in (SECOND, FIRST, FOURTH, THIRD, FOURTH):
        ingest(shop, ds)
        assert rows(shop) == before


@pytest.mark.parametrize("late", [BOB, DEARER + BOB])
def test_the_first_night_run_again_leaves_late_events_to_the_night_that_brought_them(
    folder: Path,  # noqa: F811
    late: str,
) -> None:
    night(folder, FIRST, ANN)
    night(folder, SECOND, ANN + late + NEXT)
    shop = deliver(folder, ANN + late + NEXT)
    knew = knowledge(shop)
    ingest(shop, FIRST)
    assert knowledge(shop) == knew


def test_an_older_night_takes_what_no_night_has(folder: Path) -> None:  # noqa: F811
    night(folder, FIRST, ANN)
    night(folder, SECOND, ANN + NEXT)
    night(folder, FIRST, ANN + BOB + NEXT)
    shop = deliver(folder, ANN + BOB + NEXT)
    assert [len(events) for events in knowledge(shop).values()] == [2, 3]
    night(folder, SECOND, ANN + BOB + NEXT)
    assert [len(events) for events in knowledge(shop).values()] == [2, 3]


def test_a_deletion_is_found_after_an_older_night_was_run_again(folder: Path) -> None:  # noqa: F811
    for ds in (FIRST, SECOND, THIRD):
        night(folder, ds, ANN + BOB + NEXT)
    for ds in (SECOND, THIRD):
        night(folder, ds, ANN + NEXT)
    shop = deliver(folder, ANN + NEXT)
    assert [len(events) for events in knowledge(shop).values()] == [2, 3, 2]


def test_a_night_of_increments_run_again_keeps_what_it_brought(folder: Path) -> None:  # noqa: F811
    night(folder, FIRST, ANN + BOB, profile=INCREMENT)
    night(folder, FIRST, NEXT, profile=INCREMENT)  # the only night
    night(folder, SECOND, NEXT, profile=INCREMENT)
    night(folder, SECOND, BAD, profile=INCREMENT)
    shop = deliver(folder, BAD, profile=INCREMENT)
    assert [len(events) for events in knowledge(shop).values()] == [2, 3]
    before = rows(shop)
    ingest(shop, SECOND)
    assert rows(shop) == before


def test_an_increment_that_tells_an_event_anew_corrects_it(folder: Path) -> None:  # noqa: F811
    night(folder, FIRST, ANN + BOB, profile=INCREMENT)
    result = night(folder, SECOND, DEARER + NEXT, profile=INCREMENT)
    shop = deliver(folder, "")
    assert (result.corrected, result.removed) == (1, 0)
    assert known(shop, SECOND) == [
        ("ann", "desk", "2020-01-03", 3),
        ("ann", "lamp", "2020-01-01", 1),
        ("bob", "desk", "2020-01-02", 5),
    ]
    night(folder, SECOND, BOB.replace(",2\n", ",4\n"), profile=INCREMENT)
    assert known(shop, SECOND)[-1] == ("bob", "desk", "2020-01-02", 4)


def test_ingests_at_once_land_one_after_the_other(folder: Path) -> None:  # noqa: F811
    night(folder, FIRST, ANN)
    shop = deliver(folder, ANN + BOB + NEXT)
    said: Queue[str] = Queue()
    with ThreadPoolExecutor() as threads:
        with landing_lock(shop.world):
            running = [threads.submit(ingest, shop, ds, said.put) for ds in (SECOND, THIRD, SECOND)]
            waiting = [said.get(timeout=60) for _ in running]
            assert waiting == ["waiting for another ingest to end"] * 3
            assert Lake(shop.lake).nights("events") == [FIRST]
        for ingested in running:
            ingested.result(timeout=60)
    assert len(known(shop)) == 3
    assert Lake(shop.lake).nights("events") == [FIRST, SECOND, THIRD]
