"""The model registry in PostgreSQL: candidates, the champion, verdicts."""

import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from recommender.errors import NotReadyError


@dataclass(frozen=True)
class ModelVersion:
    """One row of `reco.models`."""

    model_version: str
    kind: str
    ds: date
    status: str
    metrics: dict[str, Any]
    artifact: Path
    checksum: str
    serving_artifact: Path | None
    serving_checksum: str | None
    config: dict[str, Any] = field(default_factory=dict)
    """The sections of the profile that it was trained by."""

    @property
    def served(self) -> tuple[Path, str]:
        """The artifact that publishes: fitted on everything where it was refitted, else the judged one."""
        if self.serving_artifact is not None and self.serving_checksum is not None:
            return self.serving_artifact, self.serving_checksum
        return self.artifact, self.checksum


_COLUMNS = "model_version, kind, ds, status, metrics, artifact, checksum, serving_artifact, serving_checksum, config"


def find(connection: psycopg.Connection, model_version: str) -> ModelVersion | None:
    row = connection.execute(f"select {_COLUMNS} from reco.models where model_version = %s", [model_version]).fetchone()
    return None if row is None else _version(row)


def versions(connection: psycopg.Connection) -> list[str]:
    """Every version that is listed, whatever became of it."""
    return [version for (version,) in connection.execute("select model_version from reco.models order by 1").fetchall()]


def history(connection: psycopg.Connection, before: date | None = None) -> list[ModelVersion]:
    """Every version, or those of nights before one; the newest night first, and of a night what was trained last."""
    rows = connection.execute(
        f"""select {_COLUMNS} from reco.models where ds < coalesce(%s, 'infinity'::date)
            order by ds desc, trained_at desc""",
        [before],
    ).fetchall()
    return [_version(row) for row in rows]


def champion(connection: psycopg.Connection) -> ModelVersion | None:
    row = connection.execute(f"select {_COLUMNS} from reco.models where status = 'champion'").fetchone()
    return None if row is None else _version(row)


def newest_of(connection: psycopg.Connection, ds: date) -> ModelVersion:
    """The model trained last for a night.

    Raises
    ------
    NotReadyError
        The night has none.
    """
    row = connection.execute(
        f"""select {_COLUMNS} from reco.models where ds = %s and not (kind = 'popularity' and config = '{{}}')
            order by trained_at desc limit 1""",  # popularity that serves for want of a champion was never trained
        [ds],
    ).fetchone()
    if row is None:
        raise NotReadyError(f"no model was trained for {ds}: run `recommender run train --ds {ds}` first")
    return _version(row)


def is_newest(connection: psycopg.Connection, model_version: str) -> None:
    """From now on `newest_of` its night is this one: it was trained again, and found to be there."""
    with connection.transaction():
        connection.execute(
            "update reco.models set trained_at = clock_timestamp() where model_version = %s", [model_version]
        )


def register(
    connection: psycopg.Connection,
    model_version: str,
    kind: str,
    ds: date,
    artifact: Path,
    checksum: str,
    config: dict[str, Any],
    metrics: dict[str, Any],
    status: str = "candidate",
) -> None:
    """Add a version, or replace one that was trained again; a verdict already given is forgotten with the old one."""
    connection.execute(
        """insert into reco.models (model_version, kind, ds, status, metrics, config, artifact, checksum)
           values (%s, %s, %s, %s, %s, %s, %s, %s)
           on conflict (model_version) do update set
               status = excluded.status, metrics = excluded.metrics, config = excluded.config,
               artifact = excluded.artifact, checksum = excluded.checksum, serving_artifact = null,
               serving_checksum = null, judged_at = null, trained_at = now()""",
        [model_version, kind, ds, status, json.dumps(metrics), json.dumps(config), str(artifact), checksum],
    )


def record_verdict(
    connection: psycopg.Connection,
    model_version: str,
    promoted: bool,
    metrics: dict[str, Any],
    rules: list[tuple[str, float | None, float | None, bool, str]],
) -> None:
    """Store a judged candidate's figures, its rules and its new status; a promoted one replaces the champion."""
    with connection.transaction():
        connection.execute("delete from reco.gate_results where model_version = %s", [model_version])
        for rule in rules:
            connection.execute("insert into reco.gate_results values (%s, %s, %s, %s, %s, %s)", [model_version, *rule])
        if promoted:
            connection.execute("update reco.models set status = 'retired' where status = 'champion'")
        connection.execute(
            "update reco.models set status = %s, metrics = metrics || %s, judged_at = now() where model_version = %s",
            ["champion" if promoted else "rejected", json.dumps(metrics), model_version],
        )


def record_refit(connection: psycopg.Connection, model_version: str, artifact: Path, checksum: str) -> None:
    connection.execute(
        "update reco.models set serving_artifact = %s, serving_checksum = %s where model_version = %s",
        [str(artifact), checksum, model_version],
    )


def _version(row: tuple[Any, ...]) -> ModelVersion:
    serving = None if row[7] is None else Path(row[7])
    return ModelVersion(row[0], row[1], row[2], row[3], row[4], Path(row[5]), row[6], serving, row[8], row[9])
