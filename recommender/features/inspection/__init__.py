"""What a profile's features are, what they are computed from, and how their values are spread in a snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import duckdb
import numpy as np

from recommender.columns import CATEGORY, TITLE, YEAR
from recommender.config.profile import Profile, personal_columns
from recommender.data.session import working_database
from recommender.errors import NotReadyError
from recommender.features.attributes import source_column
from recommender.features.definitions import (
    Feature,
    FeatureTable,
    columns_behind,
    declared_features,
    feature_tables,
    is_affinity,
    pair_inputs,
    table_of,
)
from recommender.features.inspection.distributions import Distribution, distributions_of
from recommender.features.inspection.reference import inputs_in_words
from recommender.features.measures import ATTRIBUTE, ATTRIBUTE_AGE, KEYS, MEASURES, Kind
from recommender.features.pairs import computed, pair_values, reads_instant
from recommender.features.provenance import built_versions
from recommender.storage.duckdb_sql import column_types, quoted
from recommender.storage.lake import Lake, parquet

STORED: dict[Kind, str] = {
    "numeric": "FLOAT",
    "categorical": "VARCHAR",
    "categories": "VARCHAR[]",
    "vector": "FLOAT[]",
}
"""Types of the columns of a snapshot; one made by an older definition may have another."""
SAMPLED_PAIRS = 2000
PAIRS = "pairs"
"""Name of the listing of what is computed when a user and an item meet, and kept nowhere."""


@dataclass(frozen=True)
class Listed:
    """One feature of a listing."""

    feature: Feature
    source: str
    declared: bool
    """False for one that is only there because pair features are computed from it."""
    outdated: bool = False
    """True where the snapshot was made by another definition, or lacks the feature."""
    distribution: Distribution | None = None


@dataclass(frozen=True)
class Listing:
    """The features of one table."""

    table: str
    features: tuple[Listed, ...]
    night: date | None = None
    """Of the snapshot; None where there is none."""
    rows: int | None = None
    """Of the snapshot; of `pairs` how many were drawn for the figures."""


def list_features(lake: Lake, profile: Profile, ds: date | None = None) -> list[Listing]:
    """Every table of features with the distributions in its newest snapshot, or the last one up to the night `ds`.

    Raises
    ------
    NotReadyError
        There are snapshots, but none up to `ds`.
    ConfigError
        The profile declares what doesn't exist.
    """
    declared = {subject: {one.name for one in declared_features(profile, subject)} for subject in MEASURES}
    listings: list[Listing] = []
    with working_database(profile.engine) as connection:
        for table in feature_tables(profile).values():
            features = tuple(
                Listed(feature, source_of(profile, feature), feature.name in declared[feature.entity])
                for feature in table.features
            )
            night = snapshot_night(lake, table.name, ds)
            listing = Listing(table.name, features)
            if night is not None and features:
                listing = _measured(connection, lake, profile, table, listing, night)
            listings.append(listing)
        pairs = tuple(
            Listed(pair, source_of(profile, pair), True) for pair in computed(declared_features(profile, "pair"))
        )
        nights = {listing.table: listing.night for listing in listings if listing.night is not None}
        listings.append(_sampled_pairs(connection, lake, profile, Listing(PAIRS, pairs), nights))
    return [listing for listing in listings if listing.features]


def snapshot_night(lake: Lake, table: str, ds: date | None = None) -> date | None:
    """The night of the table's newest snapshot, or of the last one up to `ds`; None where the lake has none at all."""
    nights = lake.nights(table)
    known = [night for night in nights if ds is None or night <= ds]
    if nights and not known:
        raise NotReadyError(f"the first snapshot of {table} is that of {nights[0]}: there is none up to {ds}")
    return known[-1] if known else None


def source_of(profile: Profile, feature: Feature) -> str:
    """Columns and measures that a feature is computed from, in words: `events × items.energy, 90 days`."""
    if feature.entity != "pair" and feature.measure in (ATTRIBUTE, ATTRIBUTE_AGE):
        return f"{feature.entity}s.{source_column(profile, feature.entity, str(feature.of))}"
    if is_affinity(feature):
        return _in_window(f"events × users.{feature.of} × items.{CATEGORY}", feature)
    if feature.entity == "pair":
        inputs = inputs_in_words([f"{one.entity}'s {one.name}" for one in pair_inputs(profile, feature)])
        return ", ".join(inputs) or "the moment"
    columns = [f"items.{column}" for column in columns_behind(feature)]
    return _in_window(" × ".join([*(["events"] if counts_events(feature) else []), *columns]), feature)


def counts_events(feature: Feature) -> bool:
    """True for a measure of events, false for an attribute and for what an item's own columns say."""
    if feature.measure in (ATTRIBUTE, ATTRIBUTE_AGE) or feature.entity == "pair":
        return False
    return feature.entity == "user" or not set(columns_behind(feature)) & {TITLE, YEAR}


def _in_window(text: str, feature: Feature) -> str:
    days = feature.window_days
    return text if days is None else f"{text}, {days} day{'s' if days > 1 else ''}"


def _measured(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    profile: Profile,
    table: FeatureTable,
    listing: Listing,
    night: date,
) -> Listing:
    """The listing with what the night's snapshot holds."""
    relation = parquet([lake.path(table.name, night)])
    columns = column_types(connection, relation)
    built = built_versions(lake, table.name, night) or {}
    personal = personal_columns(profile, table.name)
    present = [feature for feature in table.features if columns.get(feature.name) == STORED[feature.kind]]
    rows, distributions = distributions_of(connection, relation, present)
    features = []
    for listed in listing.features:
        feature, found = listed.feature, distributions.get(listed.feature.name)
        if found is not None and feature.name in personal:
            found = replace(found, low=None, high=None)  # some person's values
        outdated = built.get(feature.name) != feature.version
        features.append(replace(listed, outdated=outdated, distribution=found))
    return Listing(table.name, tuple(features), night, rows)


def _sampled_pairs(
    connection: duckdb.DuckDBPyConnection, lake: Lake, profile: Profile, listing: Listing, nights: Mapping[str, date]
) -> Listing:
    """The listing of computed pair features with figures of some pairs, the same ones every time."""
    measurable = [one.feature for one in listing.features if not reads_instant(one.feature)]
    if not measurable or any(table_of(entity) not in nights for entity in KEYS):
        return listing
    frames = []
    for entity, key in KEYS.items():
        relation = parquet([lake.path(table_of(entity), nights[table_of(entity)])])
        names = {one.name for pair in measurable for one in pair_inputs(profile, pair) if one.entity == entity}
        types = column_types(connection, relation)
        if any(types.get(name) != STORED["numeric"] for name in names):
            return listing
        columns = ", ".join(quoted(name) for name in sorted(names))
        query = f"select {columns} from {relation} order by hash({key}), {key} limit {SAMPLED_PAIRS}"
        frames.append(connection.execute(query).df())
    users, items = frames
    if users.empty or items.empty:
        return listing
    pair = np.arange(SAMPLED_PAIRS)
    partner = pair + pair // len(users)  # else few users would meet the same items again and again
    values = pair_values(
        measurable,
        users.take(pair % len(users)).reset_index(drop=True),
        items.take(partner % len(items)).reset_index(drop=True),
    )
    connection.register("sampled_pairs", values)
    rows, found = distributions_of(connection, "sampled_pairs", measurable)
    features = tuple(replace(one, distribution=found.get(one.feature.name)) for one in listing.features)
    return Listing(PAIRS, features, nights[table_of("user")], rows)
