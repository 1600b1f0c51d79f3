"""What a profile declares: every feature resolved by name, and the tables that hold them. All else reads this.

A profile lists features by name. A name of the catalogue in `measures.py` stands for that measure, any other for a
column of the users or items source. What a pair feature is computed from is put into the tables by itself.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from recommender.columns import CATEGORY
from recommender.config.profile import Profile
from recommender.errors import ConfigError
from recommender.features.attributes import (
    attribute_kind,
    attributes,
    column_source,
    event_origins,
    is_time,
    item_columns,
    numeric_item_attributes,
    origin,
    user_segments,
)
from recommender.features.measures import (
    ATTRIBUTE,
    ATTRIBUTE_AGE,
    KEYS,
    LARGEST_EMBEDDING,
    LONGEST_WINDOW,
    MEASURES,
    Entity,
    Kind,
    Measure,
    Subject,
    filled,
    measure_of,
)


@dataclass(frozen=True)
class Feature:
    """One declared feature."""

    name: str
    entity: Subject
    kind: Kind
    skewed: bool
    """True for counts and durations, which models read on a log scale."""
    measure: str
    """What is computed: a pattern of the catalogue, `attribute` or `attribute_age`."""
    window_days: int | None
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    """Least and largest value it can have; None where there is no bound."""
    of: str | None = None
    """The column it is taken or computed from, where the name says one."""
    width: int | None = None
    """Numbers of a vector."""
    version: str = ""
    """Changes whenever the definition does, and with it the meaning of the values."""

    @property
    def family(self) -> str:
        """The measure without what is filled in: `events` of `events_30d`, `taste` of `taste_energy_90d`."""
        return re.sub(r"_?\{[wnas]\}d?_?", "", self.measure)


@dataclass(frozen=True)
class FeatureTable:
    """Features of one key: a table of the lake, a view of Feast and a table of the online store."""

    name: str
    keys: tuple[str, ...]
    features: tuple[Feature, ...]
    """The declared ones, then what pair features are computed from."""

    @property
    def versions(self) -> dict[str, str]:
        return {feature.name: feature.version for feature in self.features}


def declared_features(profile: Profile, subject: Subject) -> list[Feature]:
    """The profile's features of users, items or pairs, in the declared order.

    Raises
    ------
    ConfigError
        A name is neither a measure nor a column of the source, the nearest known name is given; or a measure needs a
        column that the items lack.
    """
    names: tuple[str, ...] = getattr(profile.features, subject)
    duplicates = {name for name in names if names.count(name) > 1}
    if duplicates:
        raise ConfigError(f"features.{subject} lists {', '.join(sorted(duplicates))} twice")
    if subject not in profile.features.model_fields_set:
        names = tuple(name for name in names if _missing_columns(profile, subject, name) == [])
    return [_resolve(profile, subject, name) for name in names]


def feature_tables(profile: Profile) -> dict[str, FeatureTable]:
    """Every table of features by name: the users', the items', and one for each affinity of a pair feature."""
    pairs = declared_features(profile, "pair")
    tables = {}
    for entity, key in KEYS.items():
        features = {feature.name: feature for feature in declared_features(profile, entity)}
        for pair in pairs:
            for feature in pair_inputs(profile, pair):
                if feature.entity == entity:
                    features.setdefault(feature.name, feature)
        tables[table_of(entity)] = FeatureTable(table_of(entity), (key,), tuple(features.values()))
    affinities: dict[str, list[Feature]] = {}
    for pair in pairs:
        if is_affinity(pair):
            affinities.setdefault(str(pair.of), []).append(pair)
    for segment, features_of in affinities.items():
        name = affinity_table(segment)
        tables[name] = FeatureTable(name, (segment, CATEGORY), tuple(features_of))
    return tables


def table_of(entity: Entity) -> str:
    """Name of the entity's table of features."""
    return f"{entity}_features"


def affinity_table(segment: str) -> str:
    """Name of the table that says how much a segment of users likes a category."""
    return f"{segment}_category_affinity"


def is_affinity(feature: Feature) -> bool:
    """True for a pair feature that is looked up by a user's and an item's attribute, and not computed from theirs."""
    return feature.measure == "{s}_category_affinity_{w}d"


def pair_inputs(profile: Profile, pair: Feature) -> list[Feature]:
    """The users' and items' features that a pair feature is computed from; none for an affinity."""
    return [
        _resolve(profile, entity, filled(pattern, {"a": pair.of, "w": pair.window_days}))
        for entity, pattern in measure_of("pair", pair.measure).inputs
    ]


def columns_behind(feature: Feature) -> tuple[str, ...]:
    """Columns of the items that a measure of users or of items is computed from."""
    needs = measure_of(feature.entity, feature.measure).needs
    return (*needs, *([feature.of] if feature.of is not None else []))


def _resolve(profile: Profile, subject: Subject, name: str) -> Feature:
    for measure, found in _families(profile, subject, name):
        missing = [column for column in measure.needs if column not in item_columns(profile)]
        if missing:
            raise ConfigError(f"features.{subject}: {name} needs items.columns.{missing[0]}, which the profile lacks")
        window, width = int(found.get("w") or 0), int(found.get("n") or 0)
        if window > LONGEST_WINDOW or width > LARGEST_EMBEDDING:
            largest = LONGEST_WINDOW if window else LARGEST_EMBEDDING
            raise ConfigError(f"features.{subject}: {name} is beyond the largest, {largest}")
        feature = Feature(
            name,
            subject,
            measure.kind,
            measure.skewed,
            measure.pattern,
            window or None,
            filled(measure.description, found),
            unit=filled(measure.unit, found),
            low=measure.low,
            high=window if measure.unit == "days" and window else measure.high,
            of=found.get("a") or found.get("s"),
            width=width or None,
        )
        return replace(feature, version=_version(profile, feature, measure))
    if subject != "pair" and name in attributes(profile, subject):
        return _attribute(profile, subject, name)
    _check_sources(profile, subject, name)
    own = [int(digits) for digits in re.findall(r"[1-9]\d*", name)]
    near = difflib.get_close_matches(name, _known_names(profile, subject, own), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(_known_names(profile, subject))}"
    raise ConfigError(f"features.{subject}: no feature named {name!r}{hint}")


def _check_sources(profile: Profile, subject: Subject, name: str) -> None:
    """A name that no profile without such columns may declare is not misspelt."""
    among = {"a": numeric_item_attributes(profile), "s": user_segments(profile)}
    what = {"a": "a number of the items", "s": "a category of the users"}
    for measure in MEASURES[subject]:
        for mark in set(among) & set(measure.parse(name) or {}):
            if not among[mark]:
                raise ConfigError(f"features.{subject}: {name} needs {what[mark]}, and the profile has none")


def _families(profile: Profile, subject: Subject, name: str) -> Iterator[tuple[Measure, dict[str, str]]]:
    """Measures whose pattern the name fits, with what it fills in."""
    for measure in MEASURES[subject]:
        found = measure.parse(name)
        if found is None:
            continue
        if found.get("a", "") and found["a"] not in numeric_item_attributes(profile):
            continue
        if found.get("s", "") and found["s"] not in user_segments(profile):
            continue
        yield measure, dict(found)


def _attribute(profile: Profile, entity: Entity, name: str) -> Feature:
    kind = attribute_kind(profile, entity, name)
    column = column_source(profile, entity, name)
    low, high = (column.min, column.max) if column is not None and kind == "numeric" else (None, None)
    description, unit, measure = f"the {entity}'s {name}", "as in the source", ATTRIBUTE
    if is_time(profile, entity, name):
        description, unit, measure, low = f"days since the {entity}'s {name}", "days", ATTRIBUTE_AGE, 0
    elif kind != "numeric":
        unit = "category"
    feature = Feature(
        name, entity, kind, measure == ATTRIBUTE_AGE, measure, None, description, unit=unit, low=low, high=high, of=name
    )
    return replace(feature, version=_version(profile, feature, None))


def _missing_columns(profile: Profile, subject: Subject, name: str) -> list[str]:
    """Columns that a name of the default list needs and the source lacks."""
    for measure, _ in _families(profile, subject, name):
        return [column for column in measure.needs if column not in item_columns(profile)]
    return [] if subject != "pair" and name in attributes(profile, subject) else [name]


def _known_names(profile: Profile, subject: Subject, numbers: Sequence[int] = ()) -> list[str]:
    """Names that may be declared, with the windows that the profile suggests and these numbers for `{w}` and `{n}`."""
    fill: dict[str, Iterable[object]] = {
        "{w}": (*profile.features.windows_days, *(number for number in numbers if number <= LONGEST_WINDOW)),
        "{n}": (16, *(number for number in numbers if number <= LARGEST_EMBEDDING)),
        "{a}": numeric_item_attributes(profile),
        "{s}": user_segments(profile),
    }
    names = {m.pattern for m in MEASURES[subject] if set(m.needs) <= set(item_columns(profile))}
    for mark, values in fill.items():
        names = {name.replace(mark, str(value)) for name in names for value in (values if mark in name else [""])}
    return sorted({*names, *(attributes(profile, subject) if subject != "pair" else [])})


def _version(profile: Profile, feature: Feature, measure: Measure | None) -> str:
    """Hash of everything that decides what the values mean; not of where files lie or who may see them."""
    inputs: list[object] = [feature.measure, feature.kind, feature.window_days, feature.of, feature.width]
    if measure is None:
        if feature.entity != "pair":
            inputs.append(origin(profile, feature.entity, str(feature.of)))
    else:
        inputs.append(measure.revision)
        inputs.append(event_origins(profile))
        inputs.append([origin(profile, "item", column) for column in measure.needs])
        inputs.append([other.version for other in pair_inputs(profile, feature)] if feature.entity == "pair" else [])
        if feature.of is not None:
            inputs.append(origin(profile, "user" if is_affinity(feature) else "item", feature.of))
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:8]
