"""The SQL look-ups from Python, with the titles of the live catalogue beside the ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

_WITH_TITLE = """left join reco.catalogue c on c.item_id = r.item_id
    and c.publication_id = (select publication_id from reco.publications where status = 'live')"""


@dataclass(frozen=True)
class Recommendation:
    """One row of `reco.recommend`, with its title."""

    rank: int
    item_id: str
    score: float
    source: str
    reason: str
    title: str | None
    creator: str | None


@dataclass(frozen=True)
class Neighbour:
    """One row of `reco.similar_items` or `reco.recommend_by_taste`, with its title."""

    rank: int
    item_id: str
    score: float
    title: str | None
    creator: str | None


@dataclass(frozen=True)
class Match:
    """One row of `reco.search_items`."""

    item_id: str
    title: str | None
    creator: str | None
    similarity: float


def recommend(connection: psycopg.Connection, user_id: str, k: int = 10) -> list[Recommendation]:
    """The user's live list; what is popular for an unknown user; empty only before the first publication."""
    rows = connection.execute(
        f"""select r.rank, r.item_id, r.score, r.source, r.reason, c.title, c.creator
            from reco.recommend(%s, %s) r {_WITH_TITLE} order by r.rank""",
        [user_id, k],
    ).fetchall()
    return [Recommendation(*row) for row in rows]


def similar(connection: psycopg.Connection, item_id: str, k: int = 10) -> list[Neighbour]:
    """Items close to an item; empty for an unknown one."""
    rows = connection.execute(
        f"""select r.rank, r.item_id, r.score, c.title, c.creator
            from reco.similar_items(%s, %s) r {_WITH_TITLE} order by r.rank""",
        [item_id, k],
    ).fetchall()
    return [Neighbour(*row) for row in rows]


def by_taste(connection: psycopg.Connection, item_ids: Sequence[str], k: int = 10) -> list[Neighbour]:
    """Items for somebody who likes these; what is popular where none of them is known."""
    rows = connection.execute(
        f"""select r.rank, r.item_id, r.score, c.title, c.creator
            from reco.recommend_by_taste(%s, %s) r {_WITH_TITLE} order by r.rank""",
        [list(item_ids), k],
    ).fetchall()
    return [Neighbour(*row) for row in rows]


def unknown_items(connection: psycopg.Connection, item_ids: Sequence[str]) -> list[str]:
    """Those of the ids that the live publication doesn't have."""
    rows = connection.execute(
        """select id from unnest(%s::text[]) with ordinality as asked (id, place)
           where not exists (
               select from reco.catalogue c
               where c.publication_id = (select publication_id from reco.publications where status = 'live')
                 and c.item_id = id)
           order by place""",
        [list(item_ids)],
    ).fetchall()
    return [row[0] for row in rows]


def search(connection: psycopg.Connection, query: str, k: int = 10) -> list[Match]:
    """Items whose title or creator looks like the query, best first."""
    rows = connection.execute(
        "select item_id, title, creator, similarity from reco.search_items(%s, %s)", [query, k]
    ).fetchall()
    return [Match(*row) for row in rows]
