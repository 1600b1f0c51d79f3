"""Feature snapshots: every measure, on many nights in one pass, equal to counting by hand."""

import math
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.features.definitions import feature_tables
from recommender.features.snapshots import build_snapshots
from recommender.storage.lake import Lake
from tests.features.by_hand import Event, affinity, item_value, user_value
from tests.features.furniture import (
    D1,
    D2,
    D8,
    ITEM_FEATURES,
    ITEMS,
    USER_FEATURES,
    USERS,
    land,
    make_profile,
    snapshot,
)


def same(found: Any, expected: Any) -> bool:
    if expected is None:
        return bool(pd.isna(found))
    if isinstance(expected, str):
        return bool(found == expected)
    return math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-6)


def test_what_the_lakes_tables_have_no_column_for_is_missing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, [Event("ann", "desk", datetime(2020, 1, 1, 12))], D1, {item: {"year": 2001} for item in ITEMS})
    lake.write("users", D1, lake.read("users", D1)[["user_id"]])
    profile = make_profile(
        user=[*USER_FEATURES, "country", "registered"],
        item=[*ITEM_FEATURES, "category", "title_embedding_4"],
        pair=["country_category_affinity_30d"],
    )
    build_snapshots(lake, profile, {name: [D1] for name in feature_tables(profile)}, known=D1)
    ann, desk = snapshot(lake, "user_features", D1, "user_id")["ann"], lake.read("item_features", D1).loc[0]
    known = {name for name in USER_FEATURES if ann[name] is not None and not pd.isna(ann[name])}
    unknown = {name for name in USER_FEATURES if name.startswith(("hours", "creator", "categor", "taste", "top_c"))}
    assert known == {*USER_FEATURES} - unknown
    assert [desk["events_7d"], desk["decade"]] == [1, "2000s"]
    assert desk[["creator_events_7d", "title_words", "category", "title_embedding_4"]].isna().all()
    assert lake.read("country_category_affinity", D1).empty


def test_literal_values(tmp_path: Path) -> None:
    lake, noon = Lake(tmp_path), datetime(2020, 1, 1, 12)
    land(lake, [
        Event("ann", "desk", noon, 3.0),
        Event("ann", "sofa", noon + timedelta(hours=7), 1.0),
        Event("ann", "lamp", noon + timedelta(days=1)),
        Event("bob", "lamp", datetime(2020, 1, 2, 23, 59, 59)),
        Event("bob", "desk", datetime(2020, 1, 3)),  # the next night's first instant
    ], D8)  # fmt: skip
    profile = make_profile(
        user=[*USER_FEATURES, "country", "age", "registered"], item=[*ITEM_FEATURES, "category", "year"]
    )
    build_snapshots(lake, profile, {name: [D1, D2, D8] for name in feature_tables(profile)}, known=D8)
    ann = {ds: snapshot(lake, "user_features", ds, "user_id")["ann"] for ds in (D1, D2, D8)}

    def values(name: str) -> list[Any]:
        return [ann[ds][name] for ds in ann]

    assert values("events_7d") == [2, 3, 1], "a week after the first day, only the second is in the window"
    assert values("events_total") == [2, 3, 3]
    assert values("active_days_30d") == [1, 2, 2]
    assert values("creators_total") == [1, 2, 2]
    assert values("categories_total") == [3, 4, 4]
    assert values("days_since_last_event") == [0, 0, 6]
    assert values("tenure_days") == [0, 1, 7]
    assert values("taste_energy") == [0.375] * 3, (
        "(3 x .25 + 1 x .75) / 4; the lamp's is missing and counts for nothing"
    )
    assert values("top_category_30d") == ["wood"] * 3
    assert values("category_diversity_30d")[0] == pytest.approx(1 - (2**2 + 1 + 1) / 16)
    assert values("evening_share_30d") == [0.5, pytest.approx(1 / 3), pytest.approx(1 / 3)]
    assert values("hours_30d") == [pytest.approx(3780 / 3600)] * 3
    assert values("registered") == [1.5, 2.5, 8.5]
    cat = snapshot(lake, "user_features", D2, "user_id")["cat"]
    assert (cat["events_total"], cat["country"], cat["age"]) == (0, "FR", 17)
    assert pd.isna(cat["days_since_last_event"])
    assert pd.isna(cat["taste_energy"])
    assert pd.isna(cat["registered"]), "registered later than this night"
    items = snapshot(lake, "item_features", D8, "item_id")
    assert items["desk"]["category"].tolist() == ["wood", "old"]
    assert items["vase"]["category"].tolist() == []
    assert (items["desk"]["year"], items["desk"]["decade"]) == (2001, "2000s")
    assert (items["lamp"]["title_length"], items["lamp"]["title_words"], items["desk"]["title_digits"]) == (11, 2, 2)
    assert pd.isna(items["vase"]["is_new_release_7d"]), "never chosen: nobody knows since when it is there"


events_drawn = st.lists(
    st.builds(
        Event,
        st.sampled_from(["ann", "bob", "cat"]),
        st.sampled_from(["desk", "lamp", "sofa", "vase"]),
        st.integers(0, 40 * 24 * 4).map(lambda quarter: datetime(2020, 1, 1) + timedelta(minutes=15 * quarter)),
        st.sampled_from([0.5, 1.0, 3.0]),
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip
PAIRS = ("country_category_affinity_30d", "country_category_affinity_7d", "age_band_category_affinity_30d")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events_drawn, st.lists(st.integers(0, 45), min_size=1, max_size=5, unique=True))
def test_many_nights_in_one_pass_equal_counting_by_hand(tmp_path: Path, drawn: list[Event], days: list[int]) -> None:
    lake, nights, profile = Lake(tmp_path), sorted(D1 + timedelta(days=day) for day in days), make_profile(pair=PAIRS)
    last = date(2020, 2, 28)
    land(lake, drawn, last)
    build_snapshots(lake, profile, dict.fromkeys(feature_tables(profile), nights), known=last)
    for night in nights:
        users = snapshot(lake, "user_features", night, "user_id")
        assert list(users) == list(USERS)
        for user, row in users.items():
            for name in USER_FEATURES:
                expected = user_value(name, user, drawn, ITEMS, night)
                assert same(row[name], expected), (night, user, name, row[name], expected)
        for item, row in snapshot(lake, "item_features", night, "item_id").items():
            for name in ITEM_FEATURES:
                expected = item_value(name, item, drawn, ITEMS, night)
                assert same(row[name], expected), (night, item, name, row[name], expected)
        table = lake.read("country_category_affinity", night).set_index(["country", "category"])
        for name in PAIRS[:2]:
            for country in ("UK", "FR", "DE"):
                for category in ("wood", "light", "old", "soft"):
                    expected = affinity(name, USERS, country, category, drawn, ITEMS, night)
                    found = table[name].get((country, category), None)
                    assert same(found, expected), (night, country, category, name, found, expected)


def test_the_snapshot_of_a_night_does_not_depend_on_the_others_built_with_it(tmp_path: Path) -> None:
    """However many nights and chunks, the same bits; and again, the same bits."""
    rng = np.random.default_rng(0)
    drawn = [
        Event(str(user), str(item), datetime(2020, 1, 1) + timedelta(minutes=int(minute)), float(weight))
        for user, item, minute, weight in zip(
            rng.choice(list(USERS), 3_000), rng.choice(list(ITEMS), 3_000), rng.integers(0, 86_400, 3_000),
            rng.random(3_000), strict=True,
        )
    ]  # fmt: skip
    profile = make_profile(pair=PAIRS)
    tables = list(feature_tables(profile))
    nights = [D1 + timedelta(days=n) for n in range(0, 60, 5)]
    whole, single = Lake(tmp_path / "whole"), Lake(tmp_path / "single")
    for lake in (whole, single):
        land(lake, drawn, nights[-1])
    build_snapshots(whole, profile, dict.fromkeys(tables, nights), known=nights[-1])
    for night in nights[::5]:
        build_snapshots(single, profile, {name: [night] for name in tables}, known=nights[-1])
        for name in tables:
            pd.testing.assert_frame_equal(whole.read(name, night), single.read(name, night), check_exact=True)


def test_long_histories_are_built_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, profile, said = Lake(tmp_path), make_profile(), []
    nights = [D1 + timedelta(days=n) for n in range(5)]
    land(lake, [Event("ann", "desk", datetime(2020, 1, 3, 5))], nights[-1])
    monkeypatch.setattr("recommender.features.snapshots.ROWS_AT_ONCE", 8)
    build_snapshots(lake, profile, {"user_features": nights}, nights[-1], said.append)
    assert len(said) == 3
    assert [snapshot(lake, "user_features", night, "user_id")["ann"]["events_total"] for night in nights] == [
        0,
        0,
        1,
        1,
        1,
    ]


def test_an_absurd_number_is_missing_and_not_fatal(tmp_path: Path) -> None:
    lake, profile = Lake(tmp_path), make_profile()
    items = {name: {**columns, "energy": value} for (name, columns), value in zip(
        ITEMS.items(), [float("nan"), float("inf"), 1e300, 0.5], strict=True)}  # fmt: skip
    events = [Event("ann", item, datetime(2020, 1, 1, 1), 1e30) for item in ITEMS]
    land(lake, [*events, Event("bob", "vase", datetime(2020, 1, 1), -2.0)], D1, items)
    build_snapshots(lake, profile, {"user_features": [D1]}, known=D1)
    users = snapshot(lake, "user_features", D1, "user_id")
    assert users["ann"]["taste_energy"] == 0.5
    assert pd.isna(users["bob"]["taste_energy"]), "a negative weight counts for nothing"


def test_a_duration_below_zero_is_missing(tmp_path: Path) -> None:
    lake, profile = Lake(tmp_path), make_profile()
    items = {name: {**columns, "duration": seconds} for (name, columns), seconds in zip(
        ITEMS.items(), [-7200.0, 3600.0, 0.0, -1.0], strict=True)}  # fmt: skip
    chosen = [("ann", "desk"), ("ann", "lamp"), ("bob", "vase"), ("cat", "sofa")]
    land(lake, [Event(user, item, datetime(2020, 1, 1, 1)) for user, item in chosen], D1, items)
    build_snapshots(lake, profile, {"user_features": [D1]}, known=D1)
    users = snapshot(lake, "user_features", D1, "user_id")
    assert (users["ann"]["hours_30d"], users["cat"]["hours_30d"]) == (1, 0)
    assert pd.isna(users["bob"]["hours_30d"]), "nothing is known of how long"


def test_titles_written_alike_have_close_embeddings(tmp_path: Path) -> None:
    lake, profile = Lake(tmp_path), make_profile(item=["title_embedding_64", "events_7d"])
    titles = ["Smells Like Teen Spirit", "smells like  teen spirit!", "Für Elise", None, ""]
    items = {f"t{n}": {**ITEMS["desk"], "title": title} for n, title in enumerate(titles)}
    land(lake, [Event("ann", "t0", datetime(2020, 1, 1))], D1, items)
    build_snapshots(lake, profile, {"item_features": [D1]}, known=D1)
    rows = snapshot(lake, "item_features", D1, "item_id")
    vectors = {item: rows[item]["title_embedding_64"] for item in rows}
    assert vectors["t3"] is None
    assert vectors["t4"] is None
    lengths = [np.linalg.norm(vectors[item]) for item in ("t0", "t1", "t2")]
    assert lengths == pytest.approx([1, 1, 1])
    assert vectors["t0"] @ vectors["t1"] > 0.85
    assert abs(vectors["t0"] @ vectors["t2"]) < 0.5


def test_no_events_before_the_night(tmp_path: Path) -> None:
    lake, profile = Lake(tmp_path), make_profile(pair=PAIRS)
    land(lake, [Event("ann", "desk", datetime(2020, 1, 8))], D8)
    build_snapshots(lake, profile, {name: [D1] for name in feature_tables(profile)}, known=D8)
    assert snapshot(lake, "user_features", D1, "user_id")["ann"]["events_total"] == 0
    assert len(lake.read("country_category_affinity", D1)) == 0
