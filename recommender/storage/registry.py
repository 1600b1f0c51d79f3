"""The model registry in PostgreSQL: candidates, the champion, what their training and judging left."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, Protocol

import psycopg

from recommender.config.policy import Policy
from recommender.errors import ConfigError, NotReadyError

Decision = Literal["promote", "reject", "ask"]
Answer = Literal["promote", "reject"]


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


class Rule(Protocol):
    """One judged rule of the policy, as it is stored."""

    @property
    def rule(self) -> str: ...

    @property
    def value(self) -> float | None: ...

    @property
    def threshold(self) -> float | None: ...

    @property
    def passed(self) -> bool: ...

    @property
    def detail(self) -> str: ...

    @property
    def otherwise(self) -> str: ...

    @property
    def why(self) -> str: ...


_COLUMNS = "model_version, kind, ds, status, metrics, artifact, checksum, serving_artifact, serving_checksum, config"


def find(connection: psycopg.Connection, model_version: str) -> ModelVersion | None:
    row = connection.execute(f"select {_COLUMNS} from reco.models where model_version = %s", [model_version]).fetchone()
    return None if row is None else _version(row)


def known(connection: psycopg.Connection, model_version: str) -> ModelVersion:
    """The version of this very name.

    Raises
    ------
    ConfigError
        There is none; names near to it are told.
    """
    found = find(connection, model_version)
    if found is None:
        near = difflib.get_close_matches(model_version, versions(connection))
        cure = f"did you mean {' or '.join(near)}?" if near else "`recommender models` lists them"
        raise ConfigError(f"no model is called {model_version!r}: {cure}")
    return found


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
    for table in ("gate_results", "verdicts"):
        connection.execute(f"delete from reco.{table} where model_version = %s", [model_version])


def record_verdict(
    connection: psycopg.Connection,
    model_version: str,
    decision: Decision,
    metrics: dict[str, Any],
    rules: Sequence[Rule],
    *,
    policy: Policy,
    summary: str,
) -> None:
    """Store what the gate decided on a candidate, its figures and rules; a promoted one replaces the champion.

    Where it asks, the version stays a candidate until `verdicts.answer`.

    Raises
    ------
    NotReadyError
        It is promoted, and the champion is of a newer night.
    """
    settled: tuple[str | None, ...] = (None, None) if decision == "ask" else ("policy", decision)
    with connection.transaction(), connection.cursor() as cursor:
        lock_champion(connection)
        for table in ("gate_results", "verdicts"):
            cursor.execute(f"delete from reco.{table} where model_version = %s", [model_version])
        cursor.executemany(
            """insert into reco.gate_results (model_version, rule, value, threshold, passed, detail, otherwise, why)
               values (%s, %s, %s, %s, %s, %s, %s, %s)""",
            [(model_version, r.rule, r.value, r.threshold, r.passed, r.detail, r.otherwise, r.why) for r in rules],
        )
        cursor.execute(
            "update reco.models set metrics = metrics || %s, judged_at = now() where model_version = %s",
            [json.dumps(metrics), model_version],
        )
        cursor.execute(
            """insert into reco.verdicts
                   (model_version, ds, decision, headline, policy, policy_version, decided_by, answer, answered_at)
                select model_version, ds, %s, %s, %s::jsonb, %s, %s, %s, case when %s then now() end
                from reco.models where model_version = %s""",
            [decision, summary, policy.model_dump_json(), policy.version, *settled, decision != "ask", model_version],
        )
        if decision != "ask":
            settle(connection, model_version, decision)


def lock_champion(connection: psycopg.Connection) -> None:
    """To the end of the transaction nobody else may change who is champion."""
    connection.execute("select pg_advisory_xact_lock(hashtext('reco.champion'))")


def settle(connection: psycopg.Connection, model_version: str, answer: Answer) -> None:
    """Make a candidate the champion, or reject it.

    Raises
    ------
    NotReadyError
        The champion is of a newer night, or of the same one and was judged later: nobody compared the two.
    """
    if answer == "promote":
        newer = connection.execute(
            """select other.model_version, other.ds from reco.models own join reco.models other
                 on other.ds > own.ds or (other.ds = own.ds and other.judged_at > own.judged_at)
               where own.model_version = %s and other.status = 'champion' and other.model_version <> %s""",
            [model_version, model_version],
        ).fetchone()
        if newer is not None:
            raise NotReadyError(
                f"{model_version} can't be promoted: {newer[0]} of {newer[1]}, judged after it, is champion by now"
            )
        connection.execute("update reco.models set status = 'retired' where status = 'champion'")
    status = "champion" if answer == "promote" else "rejected"
    connection.execute("update reco.models set status = %s where model_version = %s", [status, model_version])


def record_refit(connection: psycopg.Connection, model_version: str, artifact: Path, checksum: str) -> None:
    connection.execute(
        "update reco.models set serving_artifact = %s, serving_checksum = %s where model_version = %s",
        [str(artifact), checksum, model_version],
    )


def _version(row: tuple[Any, ...]) -> ModelVersion:
    serving = None if row[7] is None else Path(row[7])
    return ModelVersion(row[0], row[1], row[2], row[3], row[4], Path(row[5]), row[6], serving, row[8], row[9])
