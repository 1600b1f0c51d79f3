"""Columns of the users and items sources as features: which there are, of what kind, and how each is made."""

from collections.abc import Collection

from recommender.columns import AGE, AGE_BAND, AGE_BANDS, EVENT_TYPE, ITEM_ID, TITLE, TS, USER_ID, WEIGHT
from recommender.config.profile import Profile
from recommender.config.source import ColumnSource, Source
from recommender.features.measures import Entity, Kind


def attributes(profile: Profile, entity: Entity) -> list[str]:
    """Columns of the entity's source that may serve as features, and `age_band` where an age is known."""
    source = _source(profile, entity)
    if source is None:
        return []
    names = [name for name in source.columns if name not in (USER_ID, ITEM_ID, TITLE)]
    if AGE in names and AGE_BAND not in names:
        names.append(AGE_BAND)
    return names


def numeric_item_attributes(profile: Profile) -> list[str]:
    """Columns of the items source that are numbers, times not among them: what a taste is made of."""
    return [
        name
        for name in attributes(profile, "item")
        if attribute_kind(profile, "item", name) == "numeric" and not is_time(profile, "item", name)
    ]


def user_segments(profile: Profile) -> list[str]:
    """Columns of the users that put each into one group: what an affinity is of."""
    return [name for name in attributes(profile, "user") if attribute_kind(profile, "user", name) == "categorical"]


def attribute_kind(profile: Profile, entity: Entity, name: str) -> Kind:
    """What an attribute is as a feature; a time becomes the number of days since then."""
    match _type(profile, entity, name):
        case "text":
            return "categorical"
        case "list":
            return "categories"
        case _:
            return "numeric"


def is_time(profile: Profile, entity: Entity, name: str) -> bool:
    """True for a column of times."""
    return _type(profile, entity, name) == "time"


def source_column(profile: Profile, entity: Entity, name: str) -> str:
    """The column of the source behind an attribute: itself, but an age for an `age_band` made from it."""
    source = _source(profile, entity)
    derived = name == AGE_BAND and source is not None and AGE_BAND not in source.columns
    return AGE if derived else name


def column_source(profile: Profile, entity: Entity, name: str) -> ColumnSource | None:
    """The mapping of the column behind an attribute; None for one that the source lacks."""
    source = _source(profile, entity)
    return None if source is None else source.columns.get(source_column(profile, entity, name))


def origin(profile: Profile, entity: Entity, name: str) -> list[object]:
    """How an attribute is made, for JSON."""
    made = _made(_source(profile, entity), source_column(profile, entity, name))
    return [name, *made, *(AGE_BANDS if source_column(profile, entity, name) != name else ())]


def event_origins(profile: Profile) -> list[list[object]]:
    """How each column of the events that measures are computed from is made, for JSON."""
    return [_made(profile.events, name) for name in (USER_ID, ITEM_ID, TS, EVENT_TYPE, WEIGHT)]


def item_columns(profile: Profile) -> Collection[str]:
    """Columns of the items source."""
    return () if profile.items is None else profile.items.columns


def _made(source: Source | None, name: str) -> list[object]:
    """A column's mapping, and the side tables where an expression may read them.

    Where those lie and who may see the values is not part of what they mean.
    """
    column = None if source is None else source.columns.get(name)
    if source is None or column is None:
        return [None, []]
    joins = source.joins if column.sql is not None else ()
    return [
        column.model_dump(mode="json", exclude={"personal"}),
        [join.model_dump(mode="json", exclude={"path"}) for join in joins],
    ]


def _type(profile: Profile, entity: Entity, name: str) -> str:
    source = _source(profile, entity)
    return "text" if source is None or name not in source.columns else source.type_of(name)


def _source(profile: Profile, entity: Entity) -> Source | None:
    return profile.users if entity == "user" else profile.items
