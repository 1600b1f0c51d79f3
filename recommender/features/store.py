"""Feast over the lake: what is declared in the profile becomes entities, feature views and a feature service.

    store = feature_store(settings, url)
    apply(store, profile, settings.lake)
    users, items = historical_features(store, profile, entity_rows)     # point-in-time, for training
    materialize(store, ds)                                              # tonight's values to PostgreSQL
    online_features(store, profile, "user-42")

Snapshots reach Feast by path only: nothing here computes a feature.
"""

import io
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psycopg
import yaml

from recommender.columns import EVENT_TIMESTAMP, ITEM_ID, USER_ID
from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.data.dataset import night_end
from recommender.errors import DatabaseError, NotReadyError, RecommenderError
from recommender.features.definitions import KEYS, Entity, Feature, declared_features
from recommender.storage.duckdb_sql import one_line

with warnings.catch_warnings():  # importing Feast turns every library's deprecation warnings on
    import feast
    from feast import FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float32, String

    from recommender.features.online_store import SCHEMA

logging.getLogger("feast").setLevel(logging.WARNING)

FEATURE_REPO = Path(__file__).resolve().parents[2] / "feature_repo"
SERVICE = "two_tower"
"""The feature service of the model kind that is trained on it."""
_LOCK = 0x6665617374
"""Advisory lock of whoever changes the registry: Feast itself takes none."""
_URL = "${RECOMMENDER_DATABASE_URL}"
_ROW = "__row"

Value = float | str | None


def feature_store(settings: Settings, database_url: str) -> FeatureStore:
    """The feature store of `feature_repo/feature_store.yaml` on this database; makes schema and registry if absent.

    Parameters
    ----------
    database_url
        Of PostgreSQL, for libpq or SQLAlchemy.

    Raises
    ------
    DatabaseError
        The database cannot be reached, or doesn't let Feast have its schema.
    """
    url = "postgresql+psycopg://" + database_url.partition("://")[2]
    text = (FEATURE_REPO / "feature_store.yaml").read_text(encoding="utf-8")
    config = RepoConfig(**yaml.safe_load(text.replace(_URL, url)))
    config.repo_path = settings.world / "feast"
    store = FeatureStore(config=config)
    with _registry_lock(store) as connection:
        if connection.execute("select to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
            connection.execute(psycopg.sql.SQL("create schema {}").format(psycopg.sql.Identifier(SCHEMA)))
            connection.commit()
        _ = store.registry  # creates its tables on first use
    return store


def definitions(profile: Profile, lake: Path) -> list[Any]:
    """Entities, a view an entity with declared features, and the service over the views."""
    entities: list[feast.Entity] = []
    views: list[Any] = []
    for name, key in KEYS.items():
        entity = feast.Entity(name=name, join_keys=[key], value_type=ValueType.STRING)
        entities.append(entity)
        features = declared_features(profile, name)
        if features:
            views.append(_view(name, entity, features, lake))
    services = [FeatureService(name=SERVICE, features=views)] if views else []
    return [*entities, *views, *services]


def apply(store: FeatureStore, profile: Profile, lake: Path) -> None:
    """Bring the registry and the online tables to what the profile declares; again and again is fine."""
    with _registry_lock(store):
        store.apply(definitions(profile, lake))


def historical_features(
    store: FeatureStore, profile: Profile, entity_rows: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The declared features of each row's user and item as known at its instant.

    A row sees the last snapshot with `event_timestamp` at or before its own: a snapshot stands for an instant and
    knows what happened before it, so one taken at the very instant of an event doesn't know that event.

    Parameters
    ----------
    entity_rows
        user_id, item_id and event_timestamp (UTC); other columns are ignored.

    Returns
    -------
    Two frames with a row an entity row, in the same order: user features and item features, in the declared order
    and under the declared names. Missing is NaN or None; an entity without an earlier snapshot has only missing.

    Raises
    ------
    NotReadyError
        The lake has no snapshots, or none with a declared feature.
    RecommenderError
        The store answered with fewer or more rows than asked for.
    """
    rows = entity_rows[[USER_ID, ITEM_ID, EVENT_TIMESTAMP]].reset_index(drop=True)
    rows[_ROW] = np.arange(len(rows))
    references = [
        f"{_view_name(entity)}:{feature.name}" for entity in KEYS for feature in declared_features(profile, entity)
    ]
    if references:
        try:
            found = store.get_historical_features(rows, references, full_feature_names=True).to_df()
        except duckdb.Error as error:
            raise NotReadyError(
                f"feature snapshots can't be read ({one_line(error)}): run `recommender run features`"
            ) from None
        if len(found) != len(rows) or not (np.sort(found[_ROW].to_numpy()) == rows[_ROW].to_numpy()).all():
            raise RecommenderError(f"the feature store returned {len(found)} rows for {len(rows)} entity rows")
        rows = found.iloc[np.argsort(found[_ROW].to_numpy())].reset_index(drop=True)
    return _declared(rows, profile, "user"), _declared(rows, profile, "item")


def materialize(store: FeatureStore, ds: date) -> bool:
    """Put the snapshots of `ds` into the online store; False where it already holds a newer night, which stays."""
    instant = night_end(ds)
    with _registry_lock(store), redirect_stdout(io.StringIO()):  # Feast prints what it does
        stale = [
            view.name
            for view in store.list_feature_views()
            if view.most_recent_end_time is None or view.most_recent_end_time <= instant
        ]
        if stale:
            store.materialize(instant, instant, feature_views=stale)
    return bool(stale)


def online_features(store: FeatureStore, profile: Profile, user_id: str) -> dict[str, Value]:
    """A user's features as last materialized, by name in the declared order; all None for an unknown user."""
    names = [feature.name for feature in declared_features(profile, "user")]
    if not names:
        return {}
    references = [f"{_view_name('user')}:{name}" for name in names]
    answer = store.get_online_features(references, [{USER_ID: user_id}]).to_dict()
    return {name: _known(answer[name][0]) for name in names}


def _view(name: Entity, entity: feast.Entity, features: list[Feature], lake: Path) -> FeatureView:
    source = FileSource(
        name=f"{name}_snapshots",
        path=str(lake / _view_name(name) / "ds=*" / "data.parquet"),
        timestamp_field=EVENT_TIMESTAMP,
    )
    # with the key and every type spelled out Feast needs no file to infer them from
    fields = [Field(name=KEYS[name], dtype=String)]
    for feature in features:
        dtype = Float32 if feature.kind == "numeric" else String
        fields.append(Field(name=feature.name, dtype=dtype, description=feature.description))
    return FeatureView(name=_view_name(name), entities=[entity], schema=fields, source=source, ttl=timedelta(0))


def _view_name(entity: Entity) -> str:
    return f"{entity}_features"


def _declared(rows: pd.DataFrame, profile: Profile, entity: Entity) -> pd.DataFrame:
    names = [feature.name for feature in declared_features(profile, entity)]
    frame = rows[[f"{_view_name(entity)}__{name}" for name in names]]
    return frame.set_axis(names, axis="columns")


def _known(value: Value) -> Value:
    return None if isinstance(value, float) and math.isnan(value) else value


@contextmanager
def _registry_lock(store: FeatureStore) -> Iterator[psycopg.Connection]:
    """One process at a time: two that create or change the registry together break each other's transaction."""
    url = store.config.online_store.url
    try:
        connection = psycopg.connect(url, connect_timeout=10, application_name="recommender feast")
    except psycopg.OperationalError as error:
        raise DatabaseError(f"cannot reach PostgreSQL for the feature store: {' '.join(str(error).split())}") from None
    with connection:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        connection.commit()
        yield connection
