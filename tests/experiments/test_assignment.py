"""Who is in which arm: the same in Python, in SQL, and written out by hand."""

import hashlib
from time import perf_counter

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.config.settings import Settings
from recommender.experiments.assignment import in_challenger
from recommender.storage.postgres import connect

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def test_the_share_of_the_hash_decides() -> None:
    """sha256(b"salt:ann") begins with 0x5a…: 90 and a bit of 256."""
    first = int.from_bytes(hashlib.sha256(b"salt:ann").digest()[:4], "big")
    assert in_challenger(["ann"], "salt", first / 2**32).tolist() == [False]
    assert in_challenger(["ann"], "salt", (first + 1) / 2**32).tolist() == [True]
    assert in_challenger([], "salt", 0.5).shape == (0,)


def test_sql_agrees_on_any_text(world: Settings) -> None:
    with connect(world) as connection:

        @given(st.lists(TEXT, max_size=20), TEXT, st.floats(0, 1))
        def agrees(user_ids: list[str], salt: str, share: float) -> None:
            assert in_sql(connection, user_ids, salt, share) == in_challenger(user_ids, salt, share).tolist()

        agrees()
        awkward = ["", "Zoë", "Zoe\u0308", "о'Брайен", "' or 1=1 --", 'a"b', "🎧", "a:b", " ", "\\", "%s", "ユーザー"]
        assert in_sql(connection, awkward, "größe", 0.5) == in_challenger(awkward, "größe", 0.5).tolist()


def in_sql(connection: psycopg.Connection, user_ids: list[str], salt: str, share: float) -> list[bool]:
    rows = connection.execute(
        """select reco.in_challenger(user_id, %s, %s::double precision)
           from unnest(%s::text[]) with ordinality as listed (user_id, place) order by place""",
        [salt, share, user_ids],
    ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_the_split_is_even_and_another_salt_is_another_split(share: float) -> None:
    users = [f"user-{n}" for n in range(200_000)]
    one, other = in_challenger(users, "one", share), in_challenger(users, "other", share)
    tolerance = 4 * np.sqrt(share * (1 - share) / len(users))
    assert abs(one.mean() - share) < tolerance
    assert abs(np.mean(one & other) - share**2) < tolerance


def test_a_larger_share_keeps_who_was_in() -> None:
    users = [f"user-{n}" for n in range(1000)]
    assert not np.any(in_challenger(users, "s", 0.1) & ~in_challenger(users, "s", 0.3))


def test_a_million_users_take_a_second_or_two() -> None:
    users = [f"user-{n}" for n in range(200_000)]
    started = perf_counter()
    in_challenger(users, "salt", 0.5)
    assert perf_counter() - started < 2  # .2 s on an idle core
