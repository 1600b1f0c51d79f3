"""The one vocabulary of column names and the types of the canonical ones."""

from typing import Final, Literal

USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
TS: Final = "ts"
EVENT_TYPE: Final = "event_type"
WEIGHT: Final = "weight"

COUNTRY: Final = "country"
AGE: Final = "age"
AGE_BAND: Final = "age_band"
AGE_BANDS: Final = (18, 25, 35, 45, 55)
"""Ages with which the next band begins, where a night makes `age_band` from `age`."""
GENDER: Final = "gender"
REGISTERED: Final = "registered"

TITLE: Final = "title"
CREATOR: Final = "creator"
CATEGORY: Final = "category"
YEAR: Final = "year"
DURATION: Final = "duration"

ENTITY_KEYS: Final = {"users": USER_ID, "items": ITEM_ID}
"""The id column of each table of entities."""

EVENT_TIMESTAMP: Final = "event_timestamp"
"""The instant a feature snapshot stands for: it knows exactly what happened before it."""

LANDED: Final = "landed"
"""The night that brought an event."""
REMOVED: Final = "removed"
"""True in an event that says that an equal, earlier one is gone from the source."""

REASON: Final = "reason"
RAW: Final = "raw"

ColumnType = Literal["text", "number", "integer", "time", "list"]

CANONICAL_TYPES: Final[dict[str, ColumnType]] = {
    USER_ID: "text",
    ITEM_ID: "text",
    TS: "time",
    EVENT_TYPE: "text",
    WEIGHT: "number",
    COUNTRY: "text",
    AGE: "number",
    AGE_BAND: "text",
    GENDER: "text",
    REGISTERED: "time",
    TITLE: "text",
    CREATOR: "text",
    CATEGORY: "text",
    YEAR: "integer",
    DURATION: "number",
}
"""Types of the names every profile shares; any other column says its own type, or is text."""
