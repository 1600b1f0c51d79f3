"""What a profile declares, as Feast's objects: entities, feature views, an on-demand view, feature services.

Nothing is declared here: names, types, versions and descriptions come from `feature_tables(profile)`.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from recommender.config.profile import Profile
from recommender.features.definitions import (
    Feature,
    FeatureTable,
    affinity_table,
    declared_features,
    feature_tables,
    is_affinity,
    table_of,
)
from recommender.features.measures import KEYS, Kind, Subject
from recommender.features.offline.sources import snapshot_source
from recommender.features.pairs import ASKED_AT, computed, input_names, reads_instant, recipe

with warnings.catch_warnings():  # importing Feast turns every library's deprecation warnings on
    from feast import (
        Entity,
        FeatureService,
        FeatureView,
        Field,
        OnDemandFeatureView,
        RequestSource,
        ValueType,
    )
    from feast.transformation.pandas_transformation import PandasTransformation
    from feast.transformation.udf_rehydrate import rehydrate_udf_from_source
    from feast.types import Array, FeastType, Float32, String, UnixTimestamp

SUBJECTS: tuple[Subject, ...] = ("user", "item", "pair")
SERVICE = "two_tower"
"""The feature service of what towers read under the profile as it is now."""
PAIR_SERVICE = "pairs"
"""The feature service of what it declares of a user and an item together."""
_CURRENT: tuple[tuple[str, tuple[Subject, ...], str], ...] = (
    (SERVICE, ("user", "item"), "the profile's features of users and of items"),
    (PAIR_SERVICE, ("pair",), "the profile's features of a user and an item together"),
)
PAIR_VIEW = "pair_features"
MODEL_TAG = "model_version"
"""Tag of a service that belongs to one trained model; its other tags are the versions of its features."""

_TYPES: Mapping[Kind, FeastType] = {
    "numeric": Float32,
    "categorical": String,
    "categories": Array(String),
    "vector": Array(Float32),
}
_ENTITY_NAMES = {key: entity for entity, key in KEYS.items()}

View = FeatureView | OnDemandFeatureView


def definitions(profile: Profile, lake: Path) -> list[Any]:
    """Entities, a view a table of features, the on-demand view of pairs, and the services over them."""
    tables = {name: table for name, table in feature_tables(profile).items() if table.features}
    keys = [*KEYS.values(), *(key for table in tables.values() for key in table.keys)]
    entities = {key: _entity(key) for key in dict.fromkeys(keys)}
    tabled = {name: _view(profile, table, entities, lake) for name, table in tables.items()}
    on_demand = _pair_view(profile, tabled)
    views: dict[str, View] = {**tabled, **({} if on_demand is None else {PAIR_VIEW: on_demand})}
    services = [
        _service(name, chosen, views, description, {})
        for name, subjects, description in _CURRENT
        if (chosen := references(profile, subjects))
    ]
    return [*entities.values(), *views.values(), *services]


def model_service(
    profile: Profile, model_version: str, subjects: Iterable[Subject], views: Mapping[str, View]
) -> FeatureService:
    """The service of a model that reads the declared features of these subjects, tagged with their versions."""
    chosen = references(profile, subjects)
    tags = {MODEL_TAG: model_version, **{name: feature.version for name, feature in chosen.items()}}
    return _service(model_version, chosen, views, f"what {model_version} reads", tags)


def references(profile: Profile, subjects: Iterable[Subject]) -> dict[str, Feature]:
    """Feast's names of the declared features of these subjects, `view:feature`, in the declared order."""
    return {
        f"{_view_of(feature)}:{feature.name}": feature
        for subject in subjects
        for feature in declared_features(profile, subject)
    }


def outdated(service: FeatureService, profile: Profile) -> list[str]:
    """Features of a model's service that the profile no longer declares, or defines otherwise."""
    versions = {name: feature.version for name, feature in references(profile, SUBJECTS).items()}
    return [name for name, version in service.tags.items() if name != MODEL_TAG and versions.get(name) != version]


def source_names(objects: Iterable[Any]) -> set[str]:
    """Of what the views among these objects are made."""
    tabled = {
        str(source.name)
        for item in objects
        if isinstance(item, FeatureView)
        for source in [item.batch_source]
        if source is not None
    }
    requested = [item.source_request_sources for item in objects if isinstance(item, OnDemandFeatureView)]
    return tabled.union(*requested)


def _view_of(feature: Feature) -> str:
    if feature.entity != "pair":
        return table_of(feature.entity)
    return affinity_table(str(feature.of)) if is_affinity(feature) else PAIR_VIEW


def _entity(key: str) -> Entity:
    name = _ENTITY_NAMES.get(key, key)
    return Entity(name=name, join_keys=[key], value_type=ValueType.STRING, description=f"identified by {key}")


def _view(profile: Profile, table: FeatureTable, entities: Mapping[str, Entity], lake: Path) -> FeatureView:
    path = lake / table.name / "ds=*" / "data.parquet"
    # with the keys and every type spelled out Feast needs no file to infer them from
    return FeatureView(
        name=table.name,
        entities=[entities[key] for key in table.keys],
        schema=[*(Field(name=key, dtype=String) for key in table.keys), *map(_field, table.features)],
        source=snapshot_source(profile.engine, f"{table.name}_snapshots", path),
        ttl=timedelta(0),
        description=f"snapshots of {table.name} by {' and '.join(table.keys)}",
        tags=table.versions,
    )


def _pair_view(profile: Profile, views: Mapping[str, FeatureView]) -> OnDemandFeatureView | None:
    features = computed(declared_features(profile, "pair"))
    if not features:
        return None
    sources: list[Any] = []
    for entity in KEYS:
        inputs = list(dict.fromkeys(name for feature in features for name in input_names(feature, entity)))
        if inputs:
            sources.append(views[table_of(entity)][inputs])
    if any(map(reads_instant, features)):
        sources.append(RequestSource(name="request", schema=[Field(name=ASKED_AT, dtype=UnixTimestamp)]))
    text = _on_demand_source(features)
    return OnDemandFeatureView(
        name=PAIR_VIEW,
        sources=sources,
        # Feast takes no description and no tags of an on-demand view's fields: the view has them
        schema=[Field(name=feature.name, dtype=_TYPES[feature.kind]) for feature in features],
        feature_transformation=PandasTransformation(
            udf=rehydrate_udf_from_source(text, preferred_name=PAIR_VIEW), udf_string=text
        ),
        mode="pandas",
        description="; ".join(f"{feature.name}: {feature.description}" for feature in features),
        tags={feature.name: feature.version for feature in features},
    )


def _on_demand_source(features: Sequence[Feature]) -> str:
    """The function that Feast keeps in its registry, as the text it is made from again in every process.

    It only calls the package, so that it survives a change of Python and of this code.
    """
    recipes = "".join(f"        {recipe(feature)!r},\n" for feature in features)
    return (
        f"def {PAIR_VIEW}(inputs):\n"
        "    from recommender.features.pairs import Recipe, on_demand\n\n"
        f"    return on_demand(inputs, [\n{recipes}    ])\n"
    )


def _service(
    name: str, chosen: Mapping[str, Feature], views: Mapping[str, View], description: str, tags: dict[str, str]
) -> FeatureService:
    names: dict[str, list[str]] = {}
    for reference in chosen:
        view, _, feature = reference.partition(":")
        names.setdefault(view, []).append(feature)
    parts = [views[view][wanted] for view, wanted in names.items()]
    return FeatureService(name=name, features=parts, description=description, tags=tags)


def _field(feature: Feature) -> Field:
    tags = {"version": feature.version, "measure": feature.measure, "unit": feature.unit}
    return Field(name=feature.name, dtype=_TYPES[feature.kind], description=feature.description, tags=tags)
