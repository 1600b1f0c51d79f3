"""What PostgreSQL says of a publication's loaded tables, compared with the arrays that they were loaded from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from recommender.publishing.checks import Findings, entries
from recommender.publishing.content import Content, UserLists
from recommender.publishing.staging import partition

_SAMPLED = 1_000
"""Users whose lists are read back and compared with those of the live publication."""


@dataclass(frozen=True)
class _Listed:
    """One user's row of `reco.recommendation_lists`."""

    source: str
    items: list[str]
    scores: list[float]
    reasons: list[int] | None


def check_loaded(
    connection: psycopg.Connection, publication_id: int, content: Content, live: int | None, min_overlap: float = 0.0
) -> Findings:
    """Count what was loaded, read a sample back, and compare it with the publication `live`.

    Parameters
    ----------
    min_overlap
        Least share of a list that it has in common with the live one, on average over users.
    """
    found = Findings()
    for table, parts in (("recommendation_lists", content.lists), ("challenger_lists", content.challenger)):
        _compare_totals(connection, found, partition(table, publication_id), table, parts)
    for table, rows in (("catalogue", len(content.item_ids)), ("reason_texts", len(content.reason_texts))):
        (there,) = _one(connection, sql.SQL("select count(*) from {}").format(partition(table, publication_id)))
        if there != rows:
            found.faults.append(f"{table} has {there:,} of {rows:,} rows")
    sample = _sample(content)
    _compare_sample(connection, found, publication_id, sample)
    overlap = None if live is None else _overlap(sample, _read(connection, live, list(sample)))
    found.measured["overlap"] = overlap
    if overlap is not None and overlap < min_overlap:
        found.faults.append(
            f"{overlap:.2%} of a list are in the live one too, publish.min_overlap asks for {min_overlap:.2%}"
        )
    return found


def _compare_totals(
    connection: psycopg.Connection, found: Findings, table: sql.Identifier, name: str, parts: Sequence[UserLists]
) -> None:
    """Rows, entries and bytes as they were sent; arrays of one length, without nulls."""
    *totals, uneven, nulls = _one(
        connection,
        sql.SQL(
            """select count(*), coalesce(sum(cardinality(item_ids)), 0), coalesce(sum(octet_length(user_id)), 0),
                      count(*) filter (where cardinality(scores) <> cardinality(item_ids)
                                          or cardinality(reasons) <> cardinality(item_ids)),
                      count(*) filter (where array_position(item_ids, null) is not null
                                          or array_position(scores, null) is not null)
               from {}"""
        ).format(table),
    )
    letters = [pc.sum(pc.binary_length(pa.array(part.user_ids, pa.large_string()))).as_py() or 0 for part in parts]
    sent = {
        "users": sum(len(part.user_ids) for part in parts),
        "entries": sum(map(entries, parts)),
        "bytes of user ids": sum(letters),
    }
    for (what, expected), there in zip(sent.items(), totals, strict=True):
        if there != expected:
            found.faults.append(f"{name} has {there:,} of {expected:,} {what}")
    found.add(uneven, f"{{count}} rows of {name} have arrays that differ in length")
    found.add(nulls, f"{{count}} rows of {name} have a null in an array")


def _sample(content: Content) -> dict[str, _Listed]:
    """Lists of the users with the least hashes: the same ones every night."""
    chosen: dict[str, _Listed] = {}
    hashes = [pd.util.hash_array(part.user_ids, categorize=False) for part in content.lists]
    if sum(map(len, hashes)) == 0:
        return chosen
    every = np.concatenate(hashes)
    most = np.partition(every, min(_SAMPLED, len(every)) - 1)[min(_SAMPLED, len(every)) - 1]
    for part, own in zip(content.lists, hashes, strict=True):
        for row in np.flatnonzero(own <= most).tolist():
            items = part.top.items[row]
            listed = items >= 0
            reasons = None if part.reasons is None else part.reasons[row][listed].tolist()
            scores = part.top.scores[row][listed].tolist()
            chosen[part.user_ids[row]] = _Listed(part.source, content.item_ids[items[listed]].tolist(), scores, reasons)
    return chosen


def _compare_sample(
    connection: psycopg.Connection, found: Findings, publication_id: int, sample: dict[str, _Listed]
) -> None:
    there = _read(connection, publication_id, list(sample))
    wrong = sum(there.get(user) != listed for user, listed in sample.items())
    found.add(wrong, f"{{count}} of {len(sample):,} lists that were read back are not what was sent")
    items = sorted({item for listed in sample.values() for item in listed.items})
    (known,) = _one(
        connection,
        sql.SQL("select count(*) from {} where item_id = any (%s)").format(partition("catalogue", publication_id)),
        items,
    )
    found.add(len(items) - known, "{count} recommended items are not in the catalogue")


def _read(connection: psycopg.Connection, publication_id: int, users: list[str]) -> dict[str, _Listed]:
    with connection.cursor(binary=True) as cursor:  # scores as they are, not as they are printed
        rows = cursor.execute(
            sql.SQL("select user_id, source, item_ids, scores, reasons from {} where user_id = any (%s)").format(
                partition("recommendation_lists", publication_id)
            ),
            [users],
        ).fetchall()
    return {user: _Listed(*listed) for user, *listed in rows}


def _overlap(sample: dict[str, _Listed], live: dict[str, _Listed]) -> float | None:
    """Share of a list that was in the same user's live one, on average; None where they have no user in common."""
    shares = [
        len(set(listed.items) & set(live[user].items)) / max(len(listed.items), 1)
        for user, listed in sample.items()
        if user in live
    ]
    return float(np.mean(shares)) if shares else None


def _one(connection: psycopg.Connection, query: sql.Composed, *parameters: object) -> tuple[Any, ...]:
    row = connection.execute(query, parameters).fetchone()
    return row or ()
