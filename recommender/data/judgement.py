"""Why a row is put aside. Ingest and `recommender check` judge by the same SQL, over the views of a source.

Each reason is a CASE whose first match counts; null means that the row is good. Whether a row is a duplicate
depends on other rows and is told by `twin_hash`.
"""

from recommender.columns import EVENT_TYPE, ITEM_ID, TS, USER_ID, WEIGHT
from recommender.config.profile import Profile
from recommender.storage.duckdb_sql import literal, quoted

OLDEST_EVENT = "1990-01-01"
"""Earlier times are typing errors and unset clocks."""
LATEST_EVENT = "2100-01-01"
"""Times from here on are typing errors too: no night will ever take them in."""
LONGEST_ID = 256
"""Characters; longer ids come from a shifted column, and PostgreSQL can't index them."""
PLAUSIBLE_AGES = (10, 95)
"""Years; others are what people type who don't want to say. `check` and `init` advise these bounds."""

DUPLICATE = "duplicate"
UNKNOWN_ITEM, UNKNOWN_USER = "unknown item", "unknown user"


def id_reason(column: str) -> list[str]:
    """WHEN branches for an id that can't be one."""
    return [
        f"when {column} is null then 'missing {column}'",
        f"when length({column}) > {LONGEST_ID} then 'overlong {column}'",
        f"when contains({column}, chr(0)) then 'unusable {column}'",
    ]


def entity_reason(key: str) -> str:
    """Of a row of users or items; the second row of one id is a duplicate."""
    return f"case {' '.join(id_reason(key))} end"


def event_form_reason() -> str:
    """Of what an event row itself says."""
    branches = [
        *id_reason(USER_ID),
        *id_reason(ITEM_ID),
        f"when {TS} is null then 'unreadable {TS}'",
        f"when {TS} < '{OLDEST_EVENT}' or {TS} >= '{LATEST_EVENT}' then 'implausible {TS}'",
    ]
    return f"case {' '.join(branches)} end"


def event_reason(profile: Profile) -> str:
    """Of an event row beside tables `known_items(item_id)` and `known_users(user_id)`, where those have a source."""
    unknown = []
    if profile.items is not None:
        unknown.append(f"when {ITEM_ID} not in (select {ITEM_ID} from known_items) then '{UNKNOWN_ITEM}'")
    if profile.users is not None:
        unknown.append(f"when {USER_ID} not in (select {USER_ID} from known_users) then '{UNKNOWN_USER}'")
    form = event_form_reason()
    return f"{form.removesuffix(' end')} {' '.join(unknown)} end" if unknown else form


def event_columns(profile: Profile) -> list[str]:
    """Select expressions for the columns of an event in the lake, over view `events`, `raw` not among them."""
    mapped = profile.events.columns
    event_type = EVENT_TYPE if EVENT_TYPE in mapped else literal(profile.words.event)
    weight = f"coalesce({WEIGHT}, 1)" if WEIGHT in mapped else "1"
    fixed = (USER_ID, ITEM_ID, TS, EVENT_TYPE, WEIGHT)
    own = [quoted(name) for name in mapped if name not in fixed]
    return [USER_ID, ITEM_ID, TS, f"{event_type} as {EVENT_TYPE}", f"cast({weight} as float) as {WEIGHT}", *own]


def twin_hash() -> str:
    """Equal for duplicates: the same user, item, time and type; others rarely share it."""
    return f"hash({USER_ID}, {ITEM_ID}, {TS}, {EVENT_TYPE})"
