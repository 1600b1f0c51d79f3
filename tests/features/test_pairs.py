"""Features of a user and an item together, row by row and by the million."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from recommender.features import pairs
from recommender.features.affinity_keys import affinity_key_names
from recommender.features.definitions import Feature, declared_features
from recommender.features.measures import DAYPARTS
from recommender.features.pairs import PairFeatures, Recipe, computed, on_demand, pair_values
from tests.features.pair_world import PAIRS, pair_profile

FEATURES = declared_features(pair_profile(), "pair")
ASKED_AT = datetime(2026, 1, 7, 5, 30, tzinfo=UTC)  # a Wednesday


def named(*names: str) -> list[Feature]:
    return [feature for feature in FEATURES if feature.name in names]


def shares(*rows: tuple[float, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[f"{part}_share_90d" for part in DAYPARTS], dtype="float32")


def test_a_gap_is_a_distance_and_missing_where_either_is() -> None:
    users = pd.DataFrame({"taste_energy": [0.25, 0.75, np.nan, 1.0], "taste_energy_30d": [0.0, 0.0, 0.0, 1.0]})
    items = pd.DataFrame({"energy": [0.75, 0.25, 0.5, None]})
    found = pair_values(named("taste_gap_energy", "taste_gap_energy_30d"), users, items)
    np.testing.assert_array_equal(found["taste_gap_energy"], np.array([0.5, 0.5, np.nan, np.nan], "f4"))
    np.testing.assert_array_equal(found["taste_gap_energy_30d"], np.array([0.75, 0.25, 0.5, np.nan], "f4"))
    assert set(found.dtypes) == {np.dtype("float32")}


def test_equal_habits_overlap_wholly_and_opposite_ones_not_at_all() -> None:
    users = shares((0.5, 0.5, 0, 0), (0.5, 0.5, 0, 0), (1, 0, 0, 0), (0.25, 0.25, 0.25, 0.25), (np.nan,) * 4)
    items = shares((0.5, 0.5, 0, 0), (0, 0, 0.5, 0.5), (0.25, 0, 0, 0.75), (1, 0, 0, 0), (1, 0, 0, 0))
    found = pair_values(named("daypart_affinity_90d"), users, items)["daypart_affinity_90d"]
    np.testing.assert_array_equal(found, np.array([1, 0, 0.25, 0.25, np.nan], "f4"))


def test_hour_and_weekday_are_utc_text() -> None:
    asked = pd.Series(pd.to_datetime(["2026-01-05T00:00:00Z", "2026-01-11T23:59:59Z", None], utc=True))
    nobody = pd.DataFrame(index=range(3))
    found = pair_values(named("hour_of_day", "day_of_week"), nobody, nobody, asked.dt.tz_convert("Asia/Tokyo"))
    assert found["hour_of_day"].to_list() == ["0", "23", None]
    assert found["day_of_week"].to_list() == ["1", "7", None], "Monday to Sunday"


def test_feast_hands_over_full_names() -> None:
    inputs = pd.DataFrame(
        {"user_features__taste_energy": [0.25], "item_features__energy": [0.75], "asked_at": [ASKED_AT]}
    )
    recipes = [Recipe("taste_gap_energy", "taste_gap_{a}", "energy"), Recipe("hour_of_day", "hour_of_day")]
    assert on_demand(inputs, recipes).to_dict("list") == {"taste_gap_energy": [0.5], "hour_of_day": ["5"]}


def test_affinities_are_looked_up_by_segment_and_category() -> None:
    assert affinity_key_names(pair_profile()) == ["country", "category"]
    assert affinity_key_names(pair_profile(pair=["hour_of_day"])) == []
    assert [feature.name for feature in computed(FEATURES)] == [n for n in PAIRS if "category_affinity" not in n]


fractions = st.sampled_from([None, 0.0, 0.125, 0.5, 1.0])
names = st.sampled_from([None, "a", "b", "unheard"])


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    users=st.integers(1, 4),
    items=st.integers(1, 4),
    known=st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), fractions, max_size=4),
    block=st.integers(1, 5),
)
def test_in_bulk_the_values_are_those_of_each_pair(
    data: st.DataObject, users: int, items: int, known: dict[tuple[str, str], float | None], block: int
) -> None:
    def frame(rows: int, columns: list[str]) -> pd.DataFrame:
        values = data.draw(
            st.lists(st.lists(fractions, min_size=rows, max_size=rows), min_size=len(columns), max_size=len(columns))
        )
        return pd.DataFrame(dict(zip(columns, values, strict=True)), dtype="float32")

    parts = [f"{part}_share_90d" for part in DAYPARTS]
    user_frame = frame(users, ["taste_energy", "taste_energy_30d", *parts])
    item_frame = frame(items, ["energy", *parts])
    countries = data.draw(st.lists(names, min_size=users, max_size=users))
    categories = data.draw(st.lists(names, min_size=items, max_size=items))
    table = pd.DataFrame([(*key, value) for key, value in known.items()], columns=["country", "category", PAIRS[1]])
    keys = {"country": np.array(countries, dtype=object), "category": np.array(categories, dtype=object)}
    bulk = PairFeatures(FEATURES, user_frame, item_frame, keys, {"country": table}, ASKED_AT)

    index = st.tuples(st.integers(0, users - 1), st.integers(0, items - 1))
    asked = np.array(data.draw(st.lists(index, min_size=0, max_size=12)), dtype=np.int32).reshape(-1, 2)
    user, item = asked[:, 0], asked[:, 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "BLOCK", block)
        found, matrix = bulk.frame(user, item), bulk.matrix(user, item)

    instants = pd.Series([pd.Timestamp(ASKED_AT)] * len(user), dtype="datetime64[ns, UTC]")
    expected = pair_values(computed(FEATURES), user_frame.iloc[user], item_frame.iloc[item], instants)
    looked_up = [known.get((str(countries[u]), str(categories[i]))) for u, i in asked]
    expected = expected.assign(**{PAIRS[1]: np.array(looked_up, dtype="float32")})[list(PAIRS)]
    pd.testing.assert_frame_equal(found, expected)
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(asked), len(PAIRS))
    np.testing.assert_array_equal(matrix[:, 2], np.full(len(asked), 5, np.float32))
    np.testing.assert_array_equal(matrix[:, 4], np.full(len(asked), 3, np.float32))
