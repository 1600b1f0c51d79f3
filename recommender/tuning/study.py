"""A study in PostgreSQL: it goes on where a killed search left it, one search at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import psycopg
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from psycopg import sql

from recommender.config.settings import Settings
from recommender.errors import ConfigError, DatabaseError, NotReadyError
from recommender.progress import Progress
from recommender.storage.postgres import libpq_url, sqlalchemy_url
from recommender.tuning.objective import ERROR

SCHEMA = "optuna"
IDENTITY = "identity"
_STARTUP_TRIALS, _WARMUP_EPOCHS = 5, 2
"""A trial is stopped early only when so many have ended, and not in its first epochs."""


def pruner_of(folds: int) -> optuna.pruners.BasePruner:
    """What ends hopeless trials early: over folds after the first one already, a whole fit tells enough."""
    return optuna.pruners.MedianPruner(_STARTUP_TRIALS, _WARMUP_EPOCHS if folds == 1 else 0)


@contextmanager
def open_study(
    settings: Settings, name: str, identity: str, seed: int, progress: Progress, *, folds: int = 1
) -> Iterator[optuna.Study]:
    """The study of this name, made where it is absent, for this process alone.

    Trials that a killed process left running are marked as failed, and their settings tried again first.

    Raises
    ------
    ConfigError
        The study was made on other data, settings or search.
    NotReadyError
        Another process is searching in it.
    DatabaseError
        PostgreSQL doesn't let the role create Optuna's schema.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _alone(libpq_url(settings), name):
        storage = RDBStorage(
            sqlalchemy_url(settings), engine_kwargs={"connect_args": {"options": f"-csearch_path={SCHEMA}"}}
        )
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="maximize",
                pruner=pruner_of(folds),
                load_if_exists=True,
            )
            if study.user_attrs.setdefault(IDENTITY, identity) != identity:
                raise ConfigError(
                    f"study {name} was begun on another night, profile or number of folds: give it another --study"
                )
            study.set_user_attr(IDENTITY, identity)
            _repeat_killed(study, progress)
            # a search that goes on must not draw the first trials' numbers again
            study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()


def ended(study: optuna.Study) -> int:
    """Trials that count: scored, pruned, or failed by themselves."""
    return sum(
        trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state == TrialState.FAIL and ERROR in trial.user_attrs)
        for trial in study.trials
    )


def _repeat_killed(study: optuna.Study, progress: Progress) -> None:
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
        progress(f"trial {trial.number} was interrupted, its settings are tried again")


@contextmanager
def _alone(url: str, name: str) -> Iterator[None]:
    """Optuna's schema, and a lock on the study that ends with this process."""
    with psycopg.connect(url, autocommit=True, application_name="recommender tune") as connection:
        if connection.execute("select to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
            try:
                connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))
            except psycopg.errors.InsufficientPrivilege:
                role, database = connection.info.user, connection.info.dbname
                raise DatabaseError(
                    f"{role} may not create the schema {SCHEMA} in {database}: "
                    f"as its owner run `create schema {SCHEMA} authorization {role}`"
                ) from None
        locked = connection.execute("select pg_try_advisory_lock(hashtext(%s))", [f"{SCHEMA}.{name}"]).fetchone()
        if locked != (True,):
            raise NotReadyError(f"another process is searching in study {name}: wait for it, or give another --study")
        yield
