"""The erasure list: users that no night takes in again, without their ids in clear.

`erasures.json` in the world's folder holds a random salt and the salted SHA-256 of each id. Whoever reads it can
test an id they know, and can't list the ids; ids that can be guessed one after the other are no secret to them.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from recommender.columns import RAW, USER_ID
from recommender.config.settings import Settings
from recommender.errors import RecommenderError
from recommender.storage.duckdb_sql import count_rows

_SALT_BYTES = 16


@dataclass(frozen=True)
class ErasureList:
    """What `erasures.json` says."""

    salt: str
    digests: frozenset[str] = frozenset()

    def __contains__(self, user_id: str) -> bool:
        return self._digest(user_id) in self.digests

    def with_users(self, user_ids: Iterable[str]) -> "ErasureList":
        return ErasureList(self.salt, self.digests | {self._digest(user_id) for user_id in user_ids})

    def _digest(self, user_id: str) -> str:
        return hashlib.sha256((self.salt + user_id).encode()).hexdigest()


def erasure_list(settings: Settings) -> ErasureList:
    """The world's list; an empty one with a new salt where nobody was erased yet.

    Raises
    ------
    RecommenderError
        The file is there but can't be read: going on would let erased users in again.
    """
    path = list_path(settings)
    if not path.is_file():
        return ErasureList(secrets.token_hex(_SALT_BYTES))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return ErasureList(str(content["salt"]), frozenset(content["digests"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise RecommenderError(f"the erasure list {path} is damaged: restore it from a backup") from None


def add_erased(settings: Settings, user_ids: Iterable[str]) -> None:
    """Put users on the list. One process at a time: the caller holds the world's lock."""
    path = list_path(settings)
    extended = erasure_list(settings).with_users(user_ids)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"salt": extended.salt, "digests": sorted(extended.digests)}, file, indent=0)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def mark_erased(connection: duckdb.DuckDBPyConnection, settings: Settings, ids_relation: str) -> int:
    """Create table `erased_users(user_id)`: the ids of a relation that are on the list; returns how many.

    Parameters
    ----------
    ids_relation
        Anything that fits after `from`, with a column `user_id`.
    """
    known = erasure_list(settings)
    connection.execute(f"create or replace table erased_users ({USER_ID} varchar)")
    if not known.digests:
        return 0
    connection.execute(
        f"""insert into erased_users
            select {USER_ID} from (select distinct {USER_ID} from {ids_relation})
            where sha256(?::varchar || {USER_ID}) in (select unnest(?::varchar[]))""",
        [known.salt, sorted(known.digests)],
    )
    return count_rows(connection, "erased_users")


def forget_mentions(connection: duckdb.DuckDBPyConnection, settings: Settings, table: str) -> int:
    """Delete from a table of refused rows (`raw`, `user_id`) those without a user id that mention an erased user."""
    known = erasure_list(settings)
    if not known.digests:
        return 0
    row = connection.execute(
        f"""delete from {table} where {USER_ID} is null and exists (
                select 1 from (select unnest({mentions(RAW)}) as mention)
                where sha256(?::varchar || mention) in (select unnest(?::varchar[])))""",
        [known.salt, sorted(known.digests)],
    ).fetchone()
    return int(row[0]) if row else 0


def mentions(raw: str) -> str:
    """A DuckDB expression: everything in a source's row that may be a user's id.

    Of JSON each value of the row; of a line that could not be split, whatever stands between separators.
    """
    text = f"cast({raw} as varchar)"
    values = f"""case when json_valid({text}) and json_type({text}) = 'OBJECT' then json_extract_string({text}, '$.*')
                 else regexp_split_to_array({text}, '[,;|:\\s"'']+') || [{text}] end"""
    return f"list_transform({values}, lambda value: trim(value))"


def list_path(settings: Settings) -> Path:
    """Where the world keeps its list."""
    return settings.world / "erasures.json"
