"""Every measure computed the slow and obviously right way: loops over events, nothing shared with the package."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

DAYPARTS = ("night", "morning", "afternoon", "evening")


class Event(NamedTuple):
    user: str
    item: str
    ts: datetime
    weight: float = 1.0


Catalogue = dict[str, dict[str, Any]]


def first(value: Any) -> Any:
    """Of several values the first; None for none."""
    return (value[0] if value else None) if isinstance(value, list) else value


def several(value: Any) -> set[Any]:
    return {v for v in (value if isinstance(value, list) else [value]) if v is not None}


def most_frequent(values: Iterable[Any]) -> str | None:
    counts = Counter(values)
    return str(min(v for v, n in counts.items() if n == max(counts.values()))) if counts else None


def window_of(events: list[Event], night: date, days: int | None) -> list[Event]:
    end = datetime.combine(night, datetime.min.time()) + timedelta(days=1)
    known = [event for event in events if event.ts < end]
    return known if days is None else [event for event in known if event.ts >= end - timedelta(days=days)]


def user_value(name: str, user: str, events: list[Event], items: Catalogue, night: date) -> Any:
    measure, days = split(name)
    own = window_of([event for event in events if event.user == user], night, days)
    return VALUES.get(measure, taste)(own, items, night, measure, events, user)


def item_value(name: str, item: str, events: list[Event], items: Catalogue, night: date) -> Any:
    measure, days = split(name)
    own = window_of([event for event in events if event.item == item], night, days)
    title = items[item]["title"]
    match measure:
        case "creator_events":
            creator = first(items[item]["creator"])
            if creator is None:
                return None
            return sum(first(items[e.item]["creator"]) == creator for e in window_of(events, night, days))
        case "users":
            return len({event.user for event in own})
        case "users_total":
            return len({event.user for event in own})
        case "is_new_release":
            ever = window_of([event for event in events if event.item == item], night, None)
            return None if not ever else int((night - min(e.ts for e in ever).date()).days < (days or 0))
        case "decade":
            year = items[item]["year"]
            return None if year is None else f"{year // 10 * 10}s"
        case "title_length":
            return None if title is None else len(title)
        case "title_words":
            return None if title is None else len(title.split())
        case "title_digits":
            return None if title is None else sum(c in "0123456789" for c in title)
    return VALUES[measure](own, items, night, measure, events, item)


def affinity(
    name: str,
    segment_of: dict[str, Any],
    segment: str,
    category: str,
    events: list[Event],
    items: Catalogue,
    night: date,
) -> float | None:
    """None where the pair has no row, or not in this window."""
    _, days = split(name)
    met = [
        (segment_of[e.user], c)
        for e in window_of(events, night, days)
        if segment_of[e.user] is not None
        for c in several(items[e.item]["category"])
    ]
    mine = sum(s == segment for s, _ in met)
    share = sum(c == category for _, c in met) / len(met) if met else 0
    if not mine or not share:
        return None
    return math.log((met.count((segment, category)) + 20 * share) / ((mine + 20) * share))


def split(name: str) -> tuple[str, int | None]:
    measure, _, window = name.rpartition("_")
    return (measure, int(window[:-1])) if window[:-1].isdigit() and window.endswith("d") else (name, None)


def taste(own: list[Event], items: Catalogue, night: date, measure: str, *_: Any) -> float | None:
    column = measure.removeprefix("taste_")
    rated = [(max(e.weight, 0), items[e.item][column]) for e in own if items[e.item][column] is not None]
    total = sum(weight for weight, _ in rated)
    return sum(weight * value for weight, value in rated) / total if total > 0 else None


def _hours(own: list[Event], items: Catalogue, *_: Any) -> float | None:
    known = [items[e.item]["duration"] for e in own if items[e.item]["duration"] is not None]
    return None if own and not known else sum(known) / 3600


def _diversity(own: list[Event], items: Catalogue, *_: Any) -> float | None:
    counts = Counter(c for e in own for c in several(items[e.item]["category"]))
    total = sum(counts.values())
    return 1 - sum(n * n for n in counts.values()) / total**2 if total else None


def _share(inside: Callable[[datetime], bool]) -> Callable[..., float | None]:
    return lambda own, *_: sum(inside(e.ts) for e in own) / len(own) if own else None


def _different(column: str) -> Callable[..., int]:
    return lambda own, items, *_: len({v for e in own for v in several(items[e.item][column])})


def _top(column: str) -> Callable[..., str | None]:
    return lambda own, items, *_: most_frequent(v for e in own for v in several(items[e.item][column]))


def _ago(pick: Callable[..., datetime]) -> Callable[..., int | None]:
    return lambda own, items, night, *_: (night - pick(e.ts for e in own).date()).days if own else None


VALUES: dict[str, Callable[..., Any]] = {
    "events": lambda own, *_: len(own),
    "events_total": lambda own, *_: len(own),
    "active_days": lambda own, *_: len({e.ts.date() for e in own}),
    "hours": _hours,
    "creators": _different("creator"),
    "creators_total": _different("creator"),
    "categories": _different("category"),
    "categories_total": _different("category"),
    "category_diversity": _diversity,
    "top_category": _top("category"),
    "top_creator": _top("creator"),
    "days_since_last_event": _ago(max),
    "tenure_days": _ago(min),
    "days_since_first_event": _ago(min),
    "weekend_share": _share(lambda ts: ts.isoweekday() >= 6),
    "top_hour": lambda own, *_: most_frequent(e.ts.hour for e in own),
    "top_weekday": lambda own, *_: most_frequent(e.ts.isoweekday() for e in own),
    **{f"{part}_share": _share(lambda ts, n=n: ts.hour // 6 == n) for n, part in enumerate(DAYPARTS)},  # type: ignore[misc]
}
