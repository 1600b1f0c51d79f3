"""The catalogue of what may be declared: every measure with its kind, unit, range and meaning.

A pattern stands for a family of names: `{w}` is a window in days, `{n}` a number of dimensions, `{a}` a numeric
column of the items, `{s}` a categorical column of the users. `taste_energy_90d` is `taste_{a}_{w}d`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from recommender.columns import CATEGORY, CREATOR, DURATION, ITEM_ID, TITLE, USER_ID, YEAR

Entity = Literal["user", "item"]
Subject = Literal["user", "item", "pair"]
Kind = Literal["numeric", "categorical", "categories", "vector"]
"""One number, one category, any number of categories, or a fixed number of numbers."""
KEYS: dict[Entity, str] = {"user": USER_ID, "item": ITEM_ID}

DAYPARTS = ("night", "morning", "afternoon", "evening")
"""Quarters of the day, UTC: from 0, 6, 12 and 18 hours."""
ATTRIBUTE = "attribute"
"""Measure of a feature that is a column of its entity's source, as it is."""
ATTRIBUTE_AGE = "attribute_age"
"""Measure of a feature that is a column of times: how long ago."""
LONGEST_WINDOW = 36_500
"""Days."""
LARGEST_EMBEDDING = 256


@dataclass(frozen=True)
class Measure:
    """A family of features that are computed alike."""

    pattern: str
    kind: Kind
    unit: str
    description: str
    """`{w}`, `{n}`, `{a}` and `{s}` are filled in."""
    low: float | None = None
    high: float | None = None
    skewed: bool = False
    """True for counts and durations, which models read on a log scale."""
    needs: tuple[str, ...] = ()
    """Columns of the items source it is computed from."""
    inputs: tuple[tuple[Entity, str], ...] = ()
    """Patterns of the features a pair feature is computed from."""
    revision: int = 1
    """Raised when the computation changes: models trained on the old one then refuse the new values."""

    @cached_property
    def _name(self) -> re.Pattern[str]:
        forms = {"{w}": r"(?P<w>[1-9]\d*)", "{n}": r"(?P<n>[1-9]\d*)", "{a}": "(?P<a>.+)", "{s}": "(?P<s>.+)"}
        parts = re.split(r"(\{[wnas]\})", self.pattern)
        return re.compile("".join(forms.get(part) or re.escape(part) for part in parts))

    def parse(self, name: str) -> Mapping[str, str] | None:
        """What stands for `{w}`, `{n}`, `{a}` and `{s}` in a name; None for a name of another family."""
        found = self._name.fullmatch(name)
        return None if found is None else found.groupdict()


def filled(pattern: str, values: Mapping[str, object]) -> str:
    """A pattern with what stands for its marks, `{"w": 90}` for `{w}`."""
    for mark, value in values.items():
        pattern = pattern.replace(f"{{{mark}}}", str(value))
    return pattern


def _dayparts(what: str) -> tuple[Measure, ...]:
    shares = tuple(
        Measure(
            f"{part}_share_{{w}}d",
            "numeric",
            "share",
            f"share of {what} of the last {{w}} days from {6 * n} to {6 * n + 6} h UTC",
            0,
            1,
        )
        for n, part in enumerate(DAYPARTS)
    )
    weekend = f"share of {what} of the last {{w}} days on Saturdays and Sundays, UTC"
    return (*shares, Measure("weekend_share_{w}d", "numeric", "share", weekend, 0, 1))


_EVENTS = (
    Measure("events_{w}d", "numeric", "events", "events in the last {w} days", 0, skewed=True),
    Measure("events_total", "numeric", "events", "events so far", 0, skewed=True),
)

USER_MEASURES = (
    *_EVENTS,
    Measure("active_days_{w}d", "numeric", "days", "days with an event among the last {w}", 0, skewed=True),
    Measure("hours_{w}d", "numeric", "hours", "duration of what was chosen in the last {w} days, its unit being "
            "seconds", 0, skewed=True, needs=(DURATION,), revision=2),
    Measure("creators_{w}d", "numeric", "creators", "different creators in the last {w} days", 0, skewed=True,
            needs=(CREATOR,)),
    Measure("creators_total", "numeric", "creators", "different creators so far", 0, skewed=True, needs=(CREATOR,)),
    Measure("categories_{w}d", "numeric", "categories", "different categories in the last {w} days", 0, skewed=True,
            needs=(CATEGORY,)),
    Measure("categories_total", "numeric", "categories", "different categories so far", 0, skewed=True,
            needs=(CATEGORY,)),
    Measure("category_diversity_{w}d", "numeric", "probability", "probability that two choices of the last {w} days, "
            "drawn at random, differ in category (Gini-Simpson index)", 0, 1, needs=(CATEGORY,)),
    Measure("top_category_{w}d", "categorical", "category", "most frequent category of the last {w} days",
            needs=(CATEGORY,)),
    Measure("top_creator_{w}d", "categorical", "creator", "most frequent creator of the last {w} days",
            needs=(CREATOR,)),
    Measure("taste_{a}", "numeric", "as {a}", "weighted average of the items' {a} over all events so far"),
    Measure("taste_{a}_{w}d", "numeric", "as {a}", "weighted average of the items' {a} over the last {w} days"),
    Measure("days_since_last_event", "numeric", "days", "days since the last event", 0, skewed=True),
    Measure("tenure_days", "numeric", "days", "days since the first event", 0, skewed=True),
    *_dayparts("the user's events"),
    Measure("top_hour_{w}d", "categorical", "hour, UTC", "hour of the day with most events in the last {w} days"),
    Measure("top_weekday_{w}d", "categorical", "1 Monday to 7 Sunday", "weekday with most events in the last {w} days"),
)  # fmt: skip

ITEM_MEASURES = (
    *_EVENTS,
    Measure("users_{w}d", "numeric", "users", "different users in the last {w} days", 0, skewed=True),
    Measure("users_total", "numeric", "users", "different users so far", 0, skewed=True),
    Measure("creator_events_{w}d", "numeric", "events", "events of the same creator's items in the last {w} days", 0,
            skewed=True, needs=(CREATOR,)),
    Measure("days_since_last_event", "numeric", "days", "days since the last event", 0, skewed=True),
    Measure("days_since_first_event", "numeric", "days", "days since the first event", 0, skewed=True),
    Measure("is_new_release_{w}d", "numeric", "0 or 1", "1 where the first event is of the last {w} days, missing "
            "where there is none yet", 0, 1),
    *_dayparts("the item's events"),
    Measure("decade", "categorical", "decade", "the year's decade, such as 1990s", needs=(YEAR,)),
    Measure("title_length", "numeric", "characters", "characters of the title", 0, needs=(TITLE,)),
    Measure("title_words", "numeric", "words", "words of the title", 0, needs=(TITLE,), revision=2),
    Measure("title_digits", "numeric", "characters", "digits in the title", 0, needs=(TITLE,)),
    Measure("title_embedding_{n}", "vector", "unit length", "hashed three-letter pieces of the title in {n} "
            "dimensions: titles written alike are close", -1, 1, needs=(TITLE,), revision=2),
)  # fmt: skip

PAIR_MEASURES = (
    Measure("taste_gap_{a}", "numeric", "as {a}", "distance of the item's {a} from the user's taste_{a}", 0,
            inputs=(("user", "taste_{a}"), ("item", "{a}"))),
    Measure("taste_gap_{a}_{w}d", "numeric", "as {a}", "distance of the item's {a} from the user's taste_{a}_{w}d", 0,
            inputs=(("user", "taste_{a}_{w}d"), ("item", "{a}"))),
    Measure("{s}_category_affinity_{w}d", "numeric", "log ratio", "how much more often users of the same {s} chose the "
            "item's first category in the last {w} days than everybody did: 0 as often, 0.7 twice, -0.7 half",
            needs=(CATEGORY,)),
    Measure("daypart_affinity_{w}d", "numeric", "share", "overlap of the quarters of the day at which user and item "
            "had events in the last {w} days", 0, 1,
            inputs=tuple((entity, f"{part}_share_{{w}}d") for entity in KEYS for part in DAYPARTS)),
    Measure("hour_of_day", "categorical", "hour, UTC", "hour at which the pair is asked for"),
    Measure("day_of_week", "categorical", "1 Monday to 7 Sunday", "weekday on which the pair is asked for"),
)  # fmt: skip

MEASURES: dict[Subject, tuple[Measure, ...]] = {
    "user": USER_MEASURES,
    "item": ITEM_MEASURES,
    "pair": PAIR_MEASURES,
}


def measure_of(subject: Subject, pattern: str) -> Measure:
    """The measure of the catalogue with this pattern."""
    return next(measure for measure in MEASURES[subject] if measure.pattern == pattern)
