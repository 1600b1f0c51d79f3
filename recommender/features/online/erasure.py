"""Users taken out of Feast's online store. Its offline side is the lake's snapshots."""

from collections import Counter
from collections.abc import Collection

from psycopg import sql

from recommender.columns import USER_ID
from recommender.features.online.tables import SCHEMA, connect

_OLD_KEY = "entity_key"
"""A column of the form in which an earlier version kept a row a feature; nothing reads such a table any more."""


def erase_online(database_url: str, users: Collection[str]) -> Counter[str]:
    """Delete the users' rows from every online table, those of views no longer declared too; counts by user.

    Raises
    ------
    DatabaseError
        PostgreSQL can't be reached.
    """
    deleted: Counter[str] = Counter()
    with connect(database_url) as connection, connection.transaction():
        tables = connection.execute(
            """select relname, attname from pg_class join pg_attribute on attrelid = pg_class.oid
               where relnamespace = to_regnamespace(%s) and relkind = 'r' and attname = any(%s)""",
            [SCHEMA, [USER_ID, _OLD_KEY]],
        ).fetchall()
        for name, column in tables:
            table = sql.Identifier(SCHEMA, name)
            if column == _OLD_KEY:
                connection.execute(sql.SQL("drop table {}").format(table))
                continue
            key = sql.Identifier(USER_ID)
            rows = connection.execute(
                sql.SQL("delete from {} where {} = any(%s) returning {}").format(table, key, key), [list(users)]
            )
            deleted.update(user for (user,) in rows)
    return deleted
