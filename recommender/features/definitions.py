"""What each declared feature is: its entity, kind and meaning. Snapshots, Feast views and encoders read this.

A profile lists features by name. Names with a window, such as `events_30d`, take any number of days. A name
that is a column of the users or items source stands for that attribute.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from recommender.columns import AGE, AGE_BAND, ITEM_ID, TITLE, USER_ID
from recommender.config.profile import Profile
from recommender.config.source import Source
from recommender.errors import ConfigError

Entity = Literal["user", "item"]
Kind = Literal["numeric", "categorical"]
KEYS: dict[Entity, str] = {"user": USER_ID, "item": ITEM_ID}


@dataclass(frozen=True)
class Feature:
    """One declared feature."""

    name: str
    entity: Entity
    kind: Kind
    skewed: bool
    """True for counts and durations, which models read on a log scale."""
    measure: str
    """What is computed: the name without its window, or `attribute`."""
    window_days: int | None
    description: str


# measure -> (kind, skewed, description); `{w}` marks a measure that takes a window
_MEASURES: dict[Entity, dict[str, tuple[Kind, bool, str]]] = {
    "user": {
        "events_{w}d": ("numeric", True, "events in the last {w} days"),
        "active_days_{w}d": ("numeric", True, "days with an event among the last {w}"),
        "events_total": ("numeric", True, "events so far"),
        "creators_total": ("numeric", True, "different creators so far"),
        "categories_total": ("numeric", True, "different categories so far"),
        "days_since_last_event": ("numeric", True, "days since the last event"),
        "tenure_days": ("numeric", True, "days since the first event"),
    },
    "item": {
        "events_{w}d": ("numeric", True, "events in the last {w} days"),
        "events_total": ("numeric", True, "events so far"),
        "users_total": ("numeric", True, "different users so far"),
        "days_since_last_event": ("numeric", True, "days since the last event"),
        "days_since_first_event": ("numeric", True, "days since the first event"),
        "creator_events_{w}d": ("numeric", True, "events of the same creator's items in the last {w} days"),
    },
}
_WINDOW = re.compile(r"_(\d+)d$")


def declared_features(profile: Profile, entity: Entity) -> list[Feature]:
    """The profile's features of one entity, in the declared order.

    Raises
    ------
    ConfigError
        A name is neither a measure nor a column of the entity's source; the nearest known name is given.
    """
    names = profile.features.user if entity == "user" else profile.features.item
    duplicates = {name for name in names if names.count(name) > 1}
    if duplicates:
        raise ConfigError(f"features.{entity} lists {', '.join(sorted(duplicates))} twice")
    return [_resolve(profile, entity, name) for name in names]


def attributes(profile: Profile, entity: Entity) -> list[str]:
    """Columns of the entity's source that may serve as features, and `age_band` where an age is known."""
    source: Source | None = profile.users if entity == "user" else profile.items
    if source is None:
        return []
    names = [name for name in source.columns if name not in (USER_ID, ITEM_ID, TITLE)]
    if AGE in names and AGE_BAND not in names:
        names.append(AGE_BAND)
    return names


def _resolve(profile: Profile, entity: Entity, name: str) -> Feature:
    window = _WINDOW.search(name)
    pattern = _WINDOW.sub("_{w}d", name) if window else name
    if pattern in _MEASURES[entity]:
        kind, skewed, description = _MEASURES[entity][pattern]
        days = int(window.group(1)) if window else None
        measure = pattern.removesuffix("_{w}d")
        return Feature(name, entity, kind, skewed, measure, days, description.format(w=days))
    if name in attributes(profile, entity):
        source = profile.users if entity == "user" else profile.items
        text = name == AGE_BAND or source is None or source.type_of(name) in ("text", "list")
        kind = "categorical" if text else "numeric"
        return Feature(name, entity, kind, False, "attribute", None, f"the {entity}'s {name}")
    examples = [p.format(w=days) for p in _MEASURES[entity] for days in profile.features.windows_days]
    known = sorted({*examples, *attributes(profile, entity)})
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
    raise ConfigError(f"features.{entity}: no feature named {name!r}{hint}")
