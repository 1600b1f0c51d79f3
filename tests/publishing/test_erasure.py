"""An erased user leaves every table of every publication that names users."""

from dataclasses import replace

import numpy as np

from recommender.config.settings import Settings
from recommender.publishing.content import Vectors
from recommender.publishing.erasure import erase_users
from recommender.storage.postgres import connect
from tests.publishing.contents import made
from tests.publishing.test_vectors import release

GONE = "user-1"


def test_lists_of_both_arms_and_vectors_go(world: Settings) -> None:
    content = made("a", users=3)
    ids = content.lists[0].user_ids
    vectors = Vectors(ids, np.eye(3, dtype=np.float32))
    items = replace(vectors, ids=content.item_ids[:3])
    release(world, replace(content, challenger=content.lists, item_vectors=items, user_vectors=[vectors]))
    with connect(world, autocommit=True) as connection:
        erase_users(world, connection, [GONE])
        for table in ("recommendation_lists", "challenger_lists", "user_vectors"):
            left = connection.execute(f"select user_id from reco.{table} order by 1").fetchall()
            assert left == [("user-0",), ("user-2",)], table
        assert connection.execute("select users from reco.publications").fetchone() == (2,)
        found = connection.execute("select user_id from reco.interested_users('a-item-1')").fetchall()
        assert GONE not in {user for (user,) in found}
