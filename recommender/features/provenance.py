"""What the file of a snapshot says of how it was made: by which definitions, and knowing what."""

from collections.abc import Collection
from datetime import date

from recommender.features.definitions import FeatureTable
from recommender.storage.lake import Lake

_VERSIONS, _KNOWN = "versions", "known"


def facts_of(table: FeatureTable, known: date) -> dict[str, object]:
    """What is written beside the rows of a snapshot that was made with the users and items of the night `known`."""
    return {_VERSIONS: table.versions, _KNOWN: known.isoformat()}


def built_versions(lake: Lake, table: str, night: date) -> dict[str, str] | None:
    """The versions of the features in a snapshot; None where there is none."""
    if not lake.path(table, night).is_file():
        return None
    versions = lake.facts(table, night).get(_VERSIONS)
    return versions if isinstance(versions, dict) else {}


def known_to(lake: Lake, table: str, night: date) -> date:
    """The night whose users, items and late events a snapshot was made with: its own, or a later one's."""
    known = lake.facts(table, night).get(_KNOWN)
    return date.fromisoformat(known) if isinstance(known, str) else date.max


def outdated(lake: Lake, table: FeatureTable, nights: Collection[date], known: date) -> list[date]:
    """Nights whose snapshot is missing, was made by other definitions, or knows more than the night `known`.

    They are of `nights`, and of others among and before them that have a snapshot: training rows are joined with
    whatever there is, so none may be of another definition. A past night that runs again must not learn what landed
    after it.
    """
    held = (night for night in lake.nights(table.name) if night <= max(nights))
    return [
        night
        for night in sorted({*nights, *held})
        if built_versions(lake, table.name, night) != table.versions or known_to(lake, table.name, night) > known
    ]
