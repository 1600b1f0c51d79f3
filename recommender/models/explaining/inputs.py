"""The declared features as named inputs: one each, or one for several that mean alike."""

from collections.abc import Sequence

from recommender.columns import YEAR
from recommender.features.definitions import Feature
from recommender.features.measures import ATTRIBUTE, ATTRIBUTE_AGE, DAYPARTS, Entity
from recommender.models.explaining.contributions import Input

HISTORY, OWN = "history", "own"
"""What a user met, and what is learnt of an id itself: `own_user`, `own_item`."""
ACTIVITY, HABITS, POPULARITY, NEWNESS, TASTE = "activity", "habits", "popularity", "newness", "taste"
RARITY, AGE_OF_ITEM = "rarity", "lasting"

_TIMES = {f"{part}_share": HABITS for part in DAYPARTS} | dict.fromkeys(
    ("weekend_share", "top_hour", "top_weekday"), HABITS
)
_GROUPS: dict[Entity, dict[str, str]] = {
    "user": _TIMES
    | dict.fromkeys(
        (
            *("events", "events_total", "active_days", "hours", "creators", "creators_total", "categories"),
            *("categories_total", "category_diversity", "days_since_last_event", "tenure_days"),
        ),
        ACTIVITY,
    ),
    "item": _TIMES
    | dict.fromkeys(
        ("events", "events_total", "users", "users_total", "creator_events", "days_since_last_event"), POPULARITY
    )
    | dict.fromkeys(("days_since_first_event", "is_new_release"), NEWNESS)
    | dict.fromkeys(("title_length", "title_words", "title_digits", "title_embedding"), "title")
    | {"decade": YEAR},
}
_OPPOSITES = {POPULARITY: RARITY, NEWNESS: AGE_OF_ITEM}
LESS = ("days_since_last_event", "days_since_first_event")
"""Measures of which a larger value means less popular, or less new."""


def named_inputs(features: Sequence[Feature], entity: Entity) -> tuple[Input, ...]:
    """The inputs of a tower, in the order in which the features are declared."""
    groups: dict[str, list[str]] = {}
    for feature in features:
        groups.setdefault(group_of(feature, entity), []).append(feature.name)
    return tuple(Input(name, entity, tuple(names), _OPPOSITES.get(name)) for name, names in groups.items())


def group_of(feature: Feature, entity: Entity) -> str:
    """What the feature is called as an input.

    A taste is called `taste_energy` whatever its window, a top category `top_category`, and an attribute by its name.
    """
    if feature.measure in (ATTRIBUTE, ATTRIBUTE_AGE):
        return feature.name
    if feature.family == TASTE:
        return f"{TASTE}_{feature.of}"
    return _GROUPS[entity].get(feature.family, feature.family)
