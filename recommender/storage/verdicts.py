"""What the gate decided on each model version, and the answers to what it asks."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import psycopg

from recommender.errors import NotReadyError
from recommender.storage import registry
from recommender.storage.registry import Answer, Decision

_COLUMNS = "model_version, ds, decision, headline, policy, policy_version, decided_by, answer"


@dataclass(frozen=True)
class Ruling:
    """One row of `reco.verdicts`."""

    model_version: str
    ds: date
    decision: Decision
    headline: str
    policy: dict[str, Any]
    """All of it, as it was applied."""
    policy_version: str
    decided_by: Literal["policy", "person", "deadline"] | None
    answer: Answer | None
    """What became of it; None while it is asked."""


@dataclass(frozen=True)
class RuleRow:
    """One row of `reco.gate_results`."""

    rule: str
    value: float | None
    threshold: float | None
    passed: bool
    detail: str
    otherwise: Literal["reject", "ask"]
    why: str


def of(connection: psycopg.Connection, model_version: str) -> Ruling | None:
    """What was decided on a version; None while it is not judged."""
    row = connection.execute(
        f"select {_COLUMNS} from reco.verdicts where model_version = %s", [model_version]
    ).fetchone()
    return None if row is None else Ruling(*row)


def known(connection: psycopg.Connection, model_version: str) -> Ruling:
    """What was decided on a version.

    Raises
    ------
    ConfigError
        There is no such model.
    NotReadyError
        It is not judged.
    """
    found = of(connection, model_version)
    if found is None:
        ds = registry.known(connection, model_version).ds
        raise NotReadyError(f"{model_version} has not been judged: run `recommender run judge --ds {ds}` first")
    return found


def last(connection: psycopg.Connection) -> Ruling | None:
    """Of the newest night that was judged, what was decided last; None before any."""
    row = connection.execute(
        f"select {_COLUMNS} from reco.verdicts order by ds desc, judged_at desc limit 1"
    ).fetchone()
    return None if row is None else Ruling(*row)


def questions(connection: psycopg.Connection) -> list[Ruling]:
    """What the gate asks and nobody has answered, the oldest night first."""
    rows = connection.execute(f"select {_COLUMNS} from reco.verdicts where answer is null order by ds, judged_at")
    return [Ruling(*row) for row in rows]


def rules(connection: psycopg.Connection, model_version: str) -> list[RuleRow]:
    """What each rule found on a version: those that are not kept first."""
    rows = connection.execute(
        """select rule, value, threshold, passed, detail, otherwise, why from reco.gate_results
           where model_version = %s order by passed, otherwise desc, rule""",
        [model_version],
    )
    return [RuleRow(*row) for row in rows]


def answer(
    connection: psycopg.Connection, model_version: str, promote: bool, by: Literal["person", "deadline"]
) -> bool:
    """Answer the gate's question about a candidate; a promoted one replaces the champion.

    False where it was answered before: with the same answer, or with another one, which a deadline leaves alone.

    Raises
    ------
    ConfigError
        There is no such model.
    NotReadyError
        The gate asks nothing about it; a person gave another answer before; or the champion is of a newer night.
    """
    given: Answer = "promote" if promote else "reject"
    with connection.transaction():
        registry.lock_champion(connection)
        asked = known(connection, model_version)
        if asked.decision != "ask":
            raise NotReadyError(f"nobody was asked about {model_version}: the policy's verdict is {asked.decision}")
        if asked.answer is not None:
            if by == "person" and asked.answer != given:
                raise NotReadyError(
                    f"{model_version} was answered before: {asked.answer}, by the {asked.decided_by}; that is final"
                )
            return False
        registry.settle(connection, model_version, given)
        connection.execute(
            "update reco.verdicts set answer = %s, decided_by = %s, answered_at = now() where model_version = %s",
            [given, by, model_version],
        )
    return True
