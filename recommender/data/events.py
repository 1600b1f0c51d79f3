"""The events a night knows: the lake's partitions are a log of changes, replayed here."""

from datetime import date

from recommender.columns import EVENT_TYPE, ITEM_ID, LANDED, REMOVED, TS, USER_ID, WEIGHT
from recommender.errors import NotReadyError
from recommender.storage.lake import Lake, parquet

EVENT_KEY = (USER_ID, ITEM_ID, TS, EVENT_TYPE)
"""Two events that agree in these are one event delivered twice."""
EVENT_IDENTITY = (*EVENT_KEY, WEIGHT)
"""An event that changes in one of these is another event: the old one is removed, the new one added."""


def known_events(lake: Lake, known: date = date.max, *, without: date | None = None) -> str:
    """A SQL relation of the events known to the night `known`, or to the newest, each once; column `landed` included.

    `without` leaves out what one night brought.

    Raises
    ------
    NotReadyError
        The lake holds no events up to that night.
    """
    files, landed_nights = lake.files("events", known), lake.nights("events")
    nights = [night for night in landed_nights if night <= known]
    if not landed_nights:
        raise NotReadyError("the lake holds no events: run `recommender run ingest --ds …` first")
    if not nights:
        raise NotReadyError(f"the lake begins with night {landed_nights[0]}: no earlier night can be built on it")
    landed = f"{LANDED} <= date '{known}'" + (f" and {LANDED} <> date '{without}'" if without else "")
    changes = f"(select * from {parquet(files)} where {landed})"
    if not any(lake.facts("events", night).get(REMOVED) for night in nights if night != without):
        return f"(select * exclude ({REMOVED}) from {changes})"
    same = " and ".join(f"gone.{name} = event.{name}" for name in EVENT_IDENTITY)
    return (
        f"(with changes as materialized {changes} select * exclude ({REMOVED}) from changes as event "
        f"where not {REMOVED} and not exists (select 1 from changes as gone "
        f"where gone.{REMOVED} and gone.{LANDED} > event.{LANDED} and {same}))"
    )
