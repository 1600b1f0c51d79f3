"""Feature snapshots: literal values, and many nights in one pass equal to counting by hand."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.config.settings import Settings
from recommender.features.snapshots import build_snapshots
from recommender.storage.lake import Lake
from tests.data.shop import write_shop

D1, D2, D8 = date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 8)
ITEMS = pd.DataFrame(
    {
        "item_id": ["desk", "lamp", "sofa"],
        "title": ["Desk", "Lamp", "Sofa"],
        "creator": ["oak", "lux", "oak"],
        "category": ["wood", "light", "soft"],
        "year": pd.array([2001, 1999, None], dtype="Int32"),
    }
)
USERS = pd.DataFrame({"user_id": ["ann", "bob", "cat"], "country": ["UK", None, "FR"], "age": [34.0, None, 17.0]})


def land(lake: Lake, events: list[tuple[str, str, datetime]], ds: date) -> None:
    frame = pd.DataFrame(events, columns=["user_id", "item_id", "ts"])
    frame["ts"] = frame["ts"].astype("datetime64[us]")
    lake.write("events", ds, frame.assign(event_type="event", weight=np.float32(1), landed=ds, removed=False))
    lake.write("users", ds, USERS)
    lake.write("items", ds, ITEMS)


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Settings:
    return write_shop(tmp_path / "shop")


def test_literal_values(shop: Settings) -> None:
    lake = Lake(shop.lake)
    noon = datetime(2020, 1, 1, 12)
    events = [
        ("ann", "desk", noon),
        ("ann", "sofa", noon + timedelta(hours=1)),
        ("ann", "lamp", noon + timedelta(days=1)),
        ("bob", "lamp", datetime(2020, 1, 2, 23, 59, 59)),
        ("bob", "desk", datetime(2020, 1, 3)),  # the next night's first instant
    ]
    land(lake, events, D8)
    for entity in ("user", "item"):
        build_snapshots(lake, shop.profile, entity, [D1, D2, D8], known=D8)
    users = {ds: lake.read("user_features", ds).set_index("user_id") for ds in (D1, D2, D8)}
    assert users[D2]["event_timestamp"].unique() == [pd.Timestamp("2020-01-03")]
    ann = {ds: users[ds].loc["ann"] for ds in users}
    assert [ann[ds]["events_7d"] for ds in users] == [
        2,
        3,
        1,
    ]  # a week after the first day, only the second is in the window
    assert [ann[ds]["events_total"] for ds in users] == [2, 3, 3]
    assert [ann[ds]["active_days_30d"] for ds in users] == [1, 2, 2]
    assert [ann[ds]["creators_total"] for ds in users] == [1, 2, 2]
    assert [ann[ds]["categories_total"] for ds in users] == [2, 3, 3]
    assert [ann[ds]["days_since_last_event"] for ds in users] == [0, 0, 6]
    assert [ann[ds]["tenure_days"] for ds in users] == [0, 1, 7]
    assert users[D2].loc["bob", "events_total"] == 1
    cat = users[D8].loc["cat"]
    assert (cat["events_total"], cat["country"], cat["age"]) == (0, "FR", 17)
    assert pd.isna(cat["days_since_last_event"])
    items = lake.read("item_features", D8).set_index("item_id")
    assert items["users_total"].to_dict() == {"desk": 2, "lamp": 2, "sofa": 1}
    assert items["creator_events_7d"].to_dict() == {"desk": 1, "lamp": 2, "sofa": 1}
    assert items["days_since_first_event"].to_dict() == {"desk": 7, "lamp": 6, "sofa": 7}
    assert items.loc["desk", "year"] == 2001
    assert pd.isna(items.loc["sofa", "year"])


def test_of_several_values_the_first_counts(shop: Settings) -> None:
    lake, noon = Lake(shop.lake), datetime(2020, 1, 1, 12)
    land(lake, [("ann", "desk", noon), ("ann", "lamp", noon), ("bob", "sofa", noon)], D1)
    lake.write(
        "items", D1, ITEMS.assign(category=[["wood", "old"], ["wood"], []], creator=[["oak", "lux"], None, ["oak"]])
    )
    for entity in ("user", "item"):
        build_snapshots(lake, shop.profile, entity, [D1], known=D1)
    items = lake.read("item_features", D1).set_index("item_id")
    assert items["category"].where(items["category"].notna(), None).to_list() == ["wood", "wood", None]
    assert items["creator"].where(items["creator"].notna(), None).to_list() == ["oak", None, "oak"]
    assert items["creator_events_7d"].fillna(0).to_list() == [2, 0, 2]
    users = lake.read("user_features", D1).set_index("user_id")
    assert users["categories_total"].to_list() == [1, 0, 0]
    assert users["creators_total"].to_list() == [1, 1, 0]


events_drawn = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cat"]),
        st.sampled_from(["desk", "lamp", "sofa"]),
        st.integers(0, 40 * 24 - 1).map(lambda hour: datetime(2020, 1, 1) + timedelta(hours=hour)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events_drawn, st.lists(st.integers(0, 45), min_size=1, max_size=4, unique=True))
def test_many_nights_in_one_pass_equal_counting_by_hand(shop: Settings, drawn: list, days: list[int]) -> None:
    lake, nights = Lake(shop.lake), sorted(D1 + timedelta(days=day) for day in days)
    last = date(2020, 2, 28)
    land(lake, drawn, last)
    for entity in ("user", "item"):
        build_snapshots(lake, shop.profile, entity, nights, known=last)
    frame = pd.DataFrame(drawn, columns=["user_id", "item_id", "ts"]).merge(ITEMS, on="item_id")
    frame["day"] = frame["ts"].dt.date
    for night in nights:
        known = frame[frame["ts"] < pd.Timestamp(night) + pd.Timedelta(days=1)]
        recent = known[known["ts"] >= pd.Timestamp(night) - pd.Timedelta(days=6)]
        month = known[known["ts"] >= pd.Timestamp(night) - pd.Timedelta(days=29)]
        users = lake.read("user_features", night).set_index("user_id")
        for user in USERS["user_id"]:
            own, row = known[known["user_id"] == user], users.loc[user]
            assert row["events_total"] == len(own)
            assert row["events_7d"] == (recent["user_id"] == user).sum()
            assert row["active_days_30d"] == month[month["user_id"] == user]["day"].nunique()
            assert row["creators_total"] == own["creator"].nunique()
            assert row["categories_total"] == own["category"].nunique()
            if len(own):
                assert row["days_since_last_event"] == (night - own["day"].max()).days
                assert row["tenure_days"] == (night - own["day"].min()).days
        items = lake.read("item_features", night).set_index("item_id")
        for item, creator in zip(ITEMS["item_id"], ITEMS["creator"], strict=True):
            assert items.loc[item, "users_total"] == known[known["item_id"] == item]["user_id"].nunique()
            assert items.loc[item, "creator_events_7d"] == (recent["creator"] == creator).sum()
