"""Users taken out of Feast's online store. Its offline side is the lake's snapshots."""

from collections import Counter
from collections.abc import Collection

import psycopg
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import sql

from recommender.columns import USER_ID
from recommender.errors import DatabaseError
from recommender.features.online_store import SCHEMA

_KEY_VERSION = 3
"""As `feature_store.yaml` says."""


def erase_online(database_url: str, users: Collection[str]) -> Counter[str]:
    """Delete the users' rows from every online table, those of views no longer declared too; counts by user."""
    keys = {_key(user): user for user in users}
    deleted: Counter[str] = Counter()
    try:
        with psycopg.connect(database_url, connect_timeout=10, application_name="recommender feast") as connection:
            tables = connection.execute(
                """select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid
                   where c.relnamespace = to_regnamespace(%s) and c.relkind = 'r' and a.attname = 'entity_key'""",
                [SCHEMA],
            ).fetchall()
            for (table,) in tables:
                rows = connection.execute(
                    sql.SQL("delete from {} where entity_key = any(%s) returning entity_key").format(
                        sql.Identifier(SCHEMA, table)
                    ),
                    [list(keys)],
                )
                deleted.update(keys[bytes(key)] for (key,) in rows)
    except psycopg.OperationalError as error:
        raise DatabaseError(f"cannot reach PostgreSQL for the feature store: {' '.join(str(error).split())}") from None
    return deleted


def _key(user_id: str) -> bytes:
    key = EntityKey(join_keys=[USER_ID], entity_values=[Value(string_val=user_id)])
    return bytes(serialize_entity_key(key, entity_key_serialization_version=_KEY_VERSION))
