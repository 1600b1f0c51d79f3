"""The catalogue of what may be declared, in words: for `recommender features --catalogue` and `docs/features.md`.

python -m recommender.features.inspection.reference docs/features.md   # renews the tables between the two markers
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recommender.config.profile import Profile
from recommender.errors import ConfigError
from recommender.features.attributes import attributes
from recommender.features.definitions import Feature, declared_features
from recommender.features.measures import ATTRIBUTE, ATTRIBUTE_AGE, MEASURES, Kind, Measure, Subject

BEGIN, END = "<!-- the catalogue, made from the code -->", "<!-- end of the catalogue -->"
_TITLES: dict[Subject, str] = {"user": "Of a user", "item": "Of an item", "pair": "Of a user and an item together"}
_TYPES: dict[Kind, str] = {
    "numeric": "number",
    "categorical": "category",
    "categories": "categories",
    "vector": "vector",
}
_MARKS = {"{a}": "a number of the items", "{s}": "a category of the users"}


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue: a family of features, or a column of a profile."""

    subject: Subject
    name: str
    """A pattern such as `taste_{a}_{w}d`, or a column's name."""
    type: str
    unit: str
    range: str
    meaning: str
    needs: str
    declared: tuple[str, ...] = ()
    """The names of it that a profile declares."""


def measures() -> list[Entry]:
    """Every family of features that the code knows."""
    return [_of_measure(subject, measure) for subject, known in MEASURES.items() for measure in known]


def catalogue(profile: Profile) -> list[Entry]:
    """Everything that this profile may declare, with what it does: measures whose columns it has, and its columns."""
    entries = []
    items = set() if profile.items is None else set(profile.items.columns)
    for subject, known in MEASURES.items():
        declared = declared_features(profile, subject)
        for measure in known:
            names = tuple(feature.name for feature in declared if feature.measure == measure.pattern)
            if set(measure.needs) <= items:
                entries.append(_of_measure(subject, measure, names))
        if subject != "pair":
            names = tuple(attributes(profile, subject))
            every = profile.model_copy(update={"features": profile.features.model_copy(update={subject: names})})
            own = {feature.name for feature in declared}
            entries += [
                _of_column(feature, feature.name in own)
                for feature in declared_features(every, subject)
                if feature.measure in (ATTRIBUTE, ATTRIBUTE_AGE)
            ]
    return entries


def type_of(feature: Feature) -> str:
    """What a value is, in a word: number, category, categories, or vector with its width."""
    return f"{_TYPES[feature.kind]} of {feature.width}" if feature.width is not None else _TYPES[feature.kind]


def range_of(low: float | None, high: float | str | None) -> str:
    """`0 … 1`, `≥ 0`, `≤ 1`, or nothing where there is no bound."""
    if low is None and high is None:
        return ""
    if high is None:
        return f"≥ {_bound(low)}"
    return f"≤ {_bound(high)}" if low is None else f"{_bound(low)} … {_bound(high)}"


def values_of(bounds: str, unit: str) -> str:
    """Range and unit together, without what says nothing: `0 … 90 days`."""
    if unit == "0 or 1":
        return unit
    return f"{bounds} {unit}".strip() if unit not in ("as in the source", "category") else bounds


def inputs_in_words(inputs: Sequence[str]) -> list[str]:
    """What a pair feature is computed from; more than two are only counted."""
    return list(inputs) if len(inputs) <= 2 else [f"{len(inputs)} features of the two"]


def tables() -> str:
    """The catalogue as Markdown."""
    lines = [BEGIN, ""]
    entries = measures()
    for subject, title in _TITLES.items():
        lines += [f"### {title}", "", "| name | type | unit | range | meaning | needs |"]
        lines.append("| --- | --- | --- | --- | --- | --- |")
        lines += [
            f"| `{one.name}` | {one.type} | {one.unit} | {one.range} | {one.meaning} | {one.needs} |"
            for one in entries
            if one.subject == subject
        ]
        lines.append("")
    return "\n".join([*lines, END])


def renewed(text: str) -> str:
    """The page with today's tables between its markers.

    Raises
    ------
    ConfigError
        It has no such markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"the page lacks the markers {BEGIN} and {END}")
    return before + tables() + after


def _of_measure(subject: Subject, measure: Measure, declared: tuple[str, ...] = ()) -> Entry:
    days_in_window = measure.unit == "days" and "{w}" in measure.pattern
    needs = [f"items.{column}" for column in measure.needs]
    needs += inputs_in_words([f"the {entity}'s {pattern}" for entity, pattern in measure.inputs])
    if not measure.inputs:
        needs += [_MARKS[mark] for mark in _MARKS if mark in measure.pattern]
    return Entry(
        subject,
        measure.pattern,
        _TYPES[measure.kind],
        measure.unit,
        range_of(measure.low, "{w}" if days_in_window else measure.high),
        measure.description,
        ", ".join(needs),
        declared,
    )


def _of_column(feature: Feature, declared: bool) -> Entry:
    bounds = range_of(feature.low, feature.high)
    needs = f"{feature.entity}s.{feature.name}"
    names = (feature.name,) if declared else ()
    return Entry(
        feature.entity, feature.name, type_of(feature), feature.unit, bounds, feature.description, needs, names
    )


def _bound(value: float | str | None) -> str:
    return value if isinstance(value, str) else f"{value:g}"


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
