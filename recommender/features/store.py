"""Feast over the lake: what is declared in the profile is registered, retrieved point-in-time, and served online.

    store = feature_store(settings, url)
    apply(store, profile, settings.lake)
    users, items = historical_features(store, profile, entity_rows)     # point-in-time, for training
    materialize(store, ds)                                              # tonight's values to PostgreSQL
    online_features(store, profile, "user-42")
    register_service(store, profile, model_version, kept)               # the features of a trained model, by its name

Snapshots reach Feast by path only: nothing here computes a feature.
"""

import io
import logging
import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import date, datetime
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
from recommender.errors import DatabaseError, NotReadyError, RecommenderError
from recommender.features.definitions import Feature
from recommender.features.loading import affinity_keys
from recommender.features.measures import KEYS, Subject
from recommender.features.pairs import ASKED_AT, affinity_key_names
from recommender.progress import Progress, quiet
from recommender.storage.duckdb_sql import one_line
from recommender.storage.lake import Lake

with warnings.catch_warnings():  # importing Feast turns every library's deprecation warnings on
    from feast import FeatureService, FeatureStore, RepoConfig

    from recommender.features.feast_objects import (
        MODEL_TAG,
        definitions,
        model_service,
        outdated,
        references,
        source_names,
    )
    from recommender.features.offline.sources import offline_config
    from recommender.features.online.materialization import materialize_night
    from recommender.features.online.tables import SCHEMA

logging.getLogger("feast").setLevel(logging.WARNING)

FEATURE_REPO = Path(__file__).resolve().parents[2] / "feature_repo"
_LOCK = 0x6665617374
"""Advisory lock of whoever changes the registry: Feast itself takes none."""
_URL = "${RECOMMENDER_DATABASE_URL}"
_ROW = "__row"

Value = float | str | list[float] | list[str] | None


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
    described = yaml.safe_load(text.replace(_URL, url))
    config = RepoConfig(**{**described, "offline_store": offline_config(settings.profile.engine)})
    config.repo_path = settings.world / "feast"
    store = FeatureStore(config=config)
    with _registry_lock(store) as connection:
        if connection.execute("select to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
            connection.execute(psycopg.sql.SQL("create schema {}").format(psycopg.sql.Identifier(SCHEMA)))
            connection.commit()
        _ = store.registry  # creates its tables on first use
    return store


def apply(store: FeatureStore, profile: Profile, lake: Path, progress: Progress = quiet) -> None:
    """Bring the registry and the online tables to what the profile declares; again and again is fine.

    What it no longer declares is removed, and so are the services of models whose features it no longer declares or
    defines otherwise: they would answer with values that their models were not trained on. `progress` names them.
    """
    with _registry_lock(store), warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        # Feast warns that on-demand views are experimental
        wanted = definitions(profile, lake)
        store.apply(wanted, objects_to_delete=_undeclared(store, profile, wanted, progress), partial=False)


def register_service(
    store: FeatureStore,
    profile: Profile,
    model_version: str,
    kept: Collection[str],
    subjects: Sequence[Subject] = ("user", "item"),
) -> None:
    """Register what a model reads under its version, and remove the services of models that aren't `kept`.

    Parameters
    ----------
    kept
        Versions of the models that still exist.
    subjects
        Whose declared features the model reads.
    """
    with _registry_lock(store):
        listed: list[Any] = [*store.list_feature_views(), *store.list_on_demand_feature_views()]
        views = {view.name: view for view in listed}
        forgotten = [
            service
            for service in store.list_feature_services()
            if service.tags.get(MODEL_TAG, model_version) not in {*kept, model_version}
        ]
        service = model_service(profile, model_version, subjects, views)
        for old in forgotten:
            store.delete_feature_service(old.name)
        store.registry.apply_feature_service(service, store.project)
        store.refresh_registry()  # type: ignore[no-untyped-call]


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
    rows = entity_rows[[USER_ID, ITEM_ID, EVENT_TIMESTAMP]]
    found = _historical(store, rows, list(references(profile, ("user", "item"))))
    user, item = (_named(found, references(profile, [entity])) for entity in KEYS)
    return user, item


def historical_pair_features(store: FeatureStore, profile: Profile, entity_rows: pd.DataFrame) -> pd.DataFrame:
    """The declared pair features of each row's user and item as known at its instant.

    Parameters
    ----------
    entity_rows
        user_id, item_id and event_timestamp as for `historical_features`; the columns of `affinity_keys`; and
        `asked_at`, the instant whose hour and weekday are meant, where it isn't event_timestamp.

    Returns
    -------
    A frame with a row an entity row, in the same order, and the declared names in the declared order.
    """
    chosen = references(profile, ["pair"])
    rows = entity_rows if ASKED_AT in entity_rows else entity_rows.assign(**{ASKED_AT: entity_rows[EVENT_TIMESTAMP]})
    keys = [USER_ID, ITEM_ID, EVENT_TIMESTAMP, ASKED_AT, *affinity_key_names(profile)]
    return _named(_historical(store, rows[keys], list(chosen)), chosen)


def materialize(store: FeatureStore, ds: date) -> bool:
    """Put the snapshots of `ds` into the online store; False where it already holds a newer night, which stays.

    Raises
    ------
    NotReadyError
        A declared view has no snapshot of the night.
    """
    with _registry_lock(store), redirect_stdout(io.StringIO()):  # Feast prints what it does
        return materialize_night(store, ds)


def online_features(store: FeatureStore, profile: Profile, user_id: str) -> dict[str, Value]:
    """A user's features as last materialized, by name in the declared order; all None for an unknown user."""
    chosen = references(profile, ["user"])
    if not chosen:
        return {}
    answer = store.get_online_features(list(chosen), [{USER_ID: user_id}]).to_dict()
    return {feature.name: _known(answer[feature.name][0]) for feature in chosen.values()}


def online_pair_features(
    store: FeatureStore, profile: Profile, lake: Lake, user_id: str, item_ids: Sequence[str], asked_at: datetime
) -> pd.DataFrame:
    """The declared pair features of a user with each item, from what was last materialized.

    Parameters
    ----------
    lake
        Its newest users and items say what affinities are looked up by.
    asked_at
        The instant whose hour and weekday are meant.

    Returns
    -------
    (items, features) in the order of `item_ids`, the declared names in the declared order.
    """
    chosen = references(profile, ["pair"])
    if not chosen:
        return pd.DataFrame(index=pd.RangeIndex(len(item_ids)))
    users, items = np.full(len(item_ids), user_id, dtype=object), np.array(item_ids, dtype=object)
    keys = affinity_keys(lake, profile, date.max, users, items)
    rows = {USER_ID: users, ITEM_ID: items, **keys}
    # Feast can't look up a missing key; nobody's is empty
    asked: dict[str, Any] = {name: ["" if value is None else value for value in rows[name]] for name in rows}
    answer = store.get_online_features(list(chosen), {**asked, ASKED_AT: [asked_at] * len(item_ids)}, True)
    return _named(answer.to_df(), chosen)


def _undeclared(store: FeatureStore, profile: Profile, wanted: Sequence[Any], progress: Progress) -> list[Any]:
    """Objects of the registry that the profile doesn't declare, and services of models of other definitions."""
    names = {(type(item), item.name) for item in wanted}
    gone: list[Any] = [source for source in store.list_data_sources() if source.name not in source_names(wanted)]
    listed = (store.list_entities, store.list_feature_views, store.list_on_demand_feature_views)
    gone += [item for items in listed for item in items() if (type(item), item.name) not in names]
    for service in store.list_feature_services():
        if (FeatureService, service.name) in names:
            continue
        changed = outdated(service, profile)
        if MODEL_TAG not in service.tags or changed:
            gone.append(service)
        if changed:
            progress(f"Feast: the service of {service.name} is removed: {', '.join(changed)} gone or redefined")
    return gone


def _historical(store: FeatureStore, entity_rows: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """The rows with the features as columns `view__feature`, in the rows' order."""
    rows = entity_rows.reset_index(drop=True)
    if not features:
        return rows
    rows[_ROW] = np.arange(len(rows))
    try:
        found = store.get_historical_features(rows, features, full_feature_names=True).to_df()
    except duckdb.Error as error:
        raise NotReadyError(
            f"feature snapshots can't be read ({one_line(error)}): run `recommender run features`"
        ) from None
    if len(found) != len(rows) or not (np.sort(found[_ROW].to_numpy()) == rows[_ROW].to_numpy()).all():
        raise RecommenderError(f"the feature store returned {len(found)} rows for {len(rows)} entity rows")
    ordered: pd.DataFrame = found.iloc[np.argsort(found[_ROW].to_numpy())].reset_index(drop=True)
    return ordered


def _named(rows: pd.DataFrame, chosen: Mapping[str, Feature]) -> pd.DataFrame:
    """The chosen features under their own names; numbers are float32 with NaN, all else has None where missing."""
    frame = rows[[reference.replace(":", "__") for reference in chosen]]
    frame = frame.set_axis([feature.name for feature in chosen.values()], axis="columns")
    numeric = {feature.name: np.float32 for feature in chosen.values() if feature.kind == "numeric"}
    return frame.astype(numeric)


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
