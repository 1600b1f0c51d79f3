"""Lists for people without events: what their segment likes, else what everybody does."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.columns import COUNTRY
from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.publishing.cold_start import POPULARITY_HALF_LIFE_DAYS, popular, segment_lists
from tests.models.ranking.small_world import world

AGE = "age_band"
ITEMS = 6


def made(events: list[tuple[int, int, float]], users: int) -> Dataset:
    return world(events, ["a"] * ITEMS, None, users)


def attributes(ages: list[str | None], countries: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame({AGE: pd.Series(ages, dtype=object), COUNTRY: pd.Series(countries, dtype=object)})


def test_a_segment_that_is_too_small_gives_up_its_last_column() -> None:
    dataset = made([(0, 0, 1), (1, 1, 1), (2, 2, 1), (2, 3, 40)], users=6)
    users = attributes(["old", "old", "young", "old", "old", "young"], ["x", "x", "x", "x", "y", None])
    lists = segment_lists(dataset, users, [AGE, COUNTRY], min_users=2, k=3)
    assert sorted(lists) == [3, 4]  # of the young there is one active user alone
    for user in (3, 4):
        assert lists[user].items.tolist() == [[0, 1, 2]]
        np.testing.assert_allclose(lists[user].scores, [[0.5, 0.5, 0.5e-6]], rtol=1e-4)


def test_nobody_is_cold() -> None:
    assert segment_lists(made([(0, 0, 1)], users=1), attributes(["old"], ["x"]), [AGE], 1, 3) == {}


EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, ITEMS - 1), st.integers(1, 300)), min_size=1, max_size=30)
VALUES = st.lists(st.sampled_from(["a", "b", None]), min_size=9, max_size=9)


@settings(deadline=None)
@given(EVENTS, VALUES, VALUES, st.integers(1, 3))
def test_each_newcomer_gets_the_largest_counts_of_the_narrowest_segment(
    events: list[tuple[int, int, int]], ages: list[str | None], countries: list[str | None], least: int
) -> None:
    dataset, users = made([(u, i, float(d)) for u, i, d in events], users=9), attributes(ages, countries)
    lists = segment_lists(dataset, users, [AGE, COUNTRY], least, ITEMS)
    active = {user for user, _, _ in events}
    for user in range(9):
        segment = None
        for columns in ([AGE, COUNTRY], [AGE]):
            own = users.loc[user, columns]
            if segment is None and not own.isna().any() and user not in active:
                members = {other for other in range(9) if (users.loc[other, columns] == own).all()}
                segment = members if len(members & active) >= least else None
        assert (user in lists) == (segment is not None)
        if segment is not None:
            counts = np.zeros(ITEMS)
            for other, item, days in events:
                counts[item] += (1 if other in segment else 1e-6) * 0.5 ** (days / POPULARITY_HALF_LIFE_DAYS)
            found = lists[user]
            np.testing.assert_allclose(found.scores[0], (counts / counts.sum())[found.items[0]], rtol=1e-5)
            assert (np.diff(found.scores[0]) <= 0).all()
            assert set(found.items[0].tolist()) == set(np.flatnonzero(counts).tolist())


def test_what_is_popular_counts_half_as_much_a_half_life_ago() -> None:
    top = popular(made([(0, 0, POPULARITY_HALF_LIFE_DAYS), (1, 1, 0)], users=2), 5)
    assert top.items.tolist() == [[1, 0]]
    np.testing.assert_allclose(top.scores, [[2 / 3, 1 / 3]], rtol=1 / SECONDS_A_DAY)
