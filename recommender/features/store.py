"""Feast over the lake: what is declared in the profile is registered, and its values are put online.

    store = feature_store(settings, url)
    apply(store, profile, settings.lake)
    materialize(store, ds)                                  # the night's values to PostgreSQL
    register_service(store, profile, model_version, kept)   # the features of a trained model, by its name

Snapshots reach Feast by path only: nothing here computes a feature. `values.py` reads what is registered.
"""

import io
import logging
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import yaml

from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.features.measures import Subject
from recommender.progress import Progress, quiet

with warnings.catch_warnings():  # importing Feast turns every library's deprecation warnings on
    from feast import FeatureService, FeatureStore, RepoConfig

    from recommender.features.feast_objects import (
        MODEL_TAG,
        definitions,
        model_service,
        outdated,
        source_names,
    )
    from recommender.features.offline.sources import offline_config
    from recommender.features.online.materialization import materialize_night
    from recommender.features.online.tables import connect, ensure_schema

logging.getLogger("feast").setLevel(logging.WARNING)

FEATURE_REPO = Path(__file__).resolve().parents[2] / "feature_repo"
_LOCK = 0x6665617374
"""Advisory lock of whoever changes the registry: Feast itself takes none."""
_URL = "${RECOMMENDER_DATABASE_URL}"


def feature_store(settings: Settings, database_url: str) -> FeatureStore:
    """The feature store of `feature_repo/feature_store.yaml` on this database; makes schema and registry if absent.

    Parameters
    ----------
    database_url
        Of PostgreSQL, for libpq or SQLAlchemy.

    Raises
    ------
    DatabaseError
        The database cannot be reached, or doesn't let the role create Feast's schema.
    """
    url = "postgresql+psycopg://" + database_url.partition("://")[2]
    text = (FEATURE_REPO / "feature_store.yaml").read_text(encoding="utf-8")
    described = yaml.safe_load(text.replace(_URL, url))
    config = RepoConfig(**{**described, "offline_store": offline_config(settings.profile.engine)})
    config.repo_path = settings.world / "feast"
    store = FeatureStore(config=config)
    with _registry_lock(store) as connection:
        ensure_schema(connection)
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


def materialize(store: FeatureStore, ds: date) -> bool:
    """Put the snapshots of `ds` into the online store; False where it already holds a newer night, which stays.

    Raises
    ------
    NotReadyError
        A declared view has no snapshot of the night.
    """
    with _registry_lock(store), redirect_stdout(io.StringIO()):  # Feast prints what it does
        return materialize_night(store, ds)


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


@contextmanager
def _registry_lock(store: FeatureStore) -> Iterator[psycopg.Connection]:
    """One process at a time: two that create or change the registry together break each other's transaction."""
    with connect(store.config.online_store.url) as connection:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        yield connection
