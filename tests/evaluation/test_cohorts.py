"""Who is in which cohort, what is told of each, and what the judged stand for."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.config.profile import Profile
from recommender.config.yaml12 import read_yaml
from recommender.data.dataset import SECONDS_A_DAY, Dataset, night_end
from recommender.evaluation.cohorts import MIN_USERS, Cohort, cohort_figures, cohorts_of, represented, weighted
from recommender.evaluation.confidence import compare, intervals

DS = date(2020, 6, 30)
UNTIL = int(night_end(DS).timestamp())
PROFILE = """
name: board
events: {path: events.csv, columns: {user_id: u, item_id: i, ts: t}}
users: {path: users.csv, columns: {user_id: u, country: c, gender: g, age: a, plan: p, town: w}}
items: {path: items.csv, columns: {item_id: i}}
features: {user: [events_total, USER], item: [events_total]}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return declaring(tmp_path, "country, gender, age, plan, town")


def declaring(folder: Path, features: str) -> Profile:
    path = folder / "board.yaml"
    path.write_text(PROFILE.replace("USER", features))
    return Profile.model_validate(read_yaml(path))


def people(events: list[int], days: list[int], **features: list[object]) -> Dataset:
    """Users with so many events each, the first of them so many days ago."""
    user = np.repeat(np.arange(len(events)), events).astype(np.int32)
    first = np.concatenate([[True], user[1:] != user[:-1]])
    ago = np.where(first, np.array(days)[user], 0)
    return Dataset(
        DS,
        np.array([f"u{n:04}" for n in range(len(events))], object),
        np.array(["i0"], object),
        user,
        np.zeros(len(user), np.int32),
        UNTIL - 1 - ago * SECONDS_A_DAY,
        np.ones(len(user), np.float32),
        pd.DataFrame(features, index=range(len(events))),
        pd.DataFrame(index=range(1)),
    )


def sizes(cohorts: list[Cohort], dimension: str) -> dict[str, int]:
    return {one.label: int(one.members.sum()) for one in cohorts if one.dimension == dimension}


def test_users_are_grouped_by_what_they_are(profile: Profile) -> None:
    count = 200
    dataset = people(
        [1] * count,
        [0] * count,
        country=["SE"] * 100 + ["FR"] * 60 + ["AT"] * 20 + ["BE"] * 20,
        gender=["f"] * 120 + ["m"] * 50 + [None] * 30,
        age=[17.0] * 30 + [18.0] * 40 + [24.9] * 40 + [55.0] * 40 + [90.0] * 40 + [float("nan")] * 10,
        plan=["gold"] * 180 + ["silver"] * 20,
        town=[f"town {n}" for n in range(count)],
    )
    cohorts = cohorts_of(profile, dataset, np.arange(count))
    assert sizes(cohorts, "country") == {"FR": 60, "SE": 100, "other": 40}
    assert sizes(cohorts, "gender") == {"f": 120, "m": 50, "unknown": 30}
    assert list(sizes(cohorts, "age_band").items()) == [("under 18", 30), ("18-24", 80), ("55+", 80)]
    assert sizes(cohorts, "plan") == {"gold": 180}  # twenty are too few to be told of, alone or as others
    assert sizes(cohorts, "town") == {}  # too many values
    assert [one.dimension for one in cohorts][:3] == ["age_band"] * 3
    (french,) = [one.members for one in cohorts if one.label == "FR"]
    np.testing.assert_array_equal(french, (np.arange(count) >= 100) & (np.arange(count) < 160))


def test_only_declared_features_make_cohorts(tmp_path: Path) -> None:
    dataset = people([1] * 80, [0] * 80, country=["SE"] * 40 + ["FR"] * 40, gender=["f"] * 40 + ["m"] * 40)
    cohorts = cohorts_of(declaring(tmp_path, "gender"), dataset, np.arange(80))
    assert {one.dimension for one in cohorts} == {"gender"}
    segment = replace(dataset, user_features=dataset.user_features[["gender"]], affinity_keys={
        "country": dataset.user_features["country"].to_numpy(object)})  # fmt: skip
    cohorts = cohorts_of(declaring(tmp_path, "gender"), segment, np.arange(40, 80))
    assert cohorts == []  # everybody is m of FR
    cohorts = cohorts_of(declaring(tmp_path, "gender"), segment, np.arange(80))
    assert sizes(cohorts, "country") == {"FR": 40, "SE": 40}


def test_users_are_grouped_by_what_they_did(profile: Profile) -> None:
    events = [0] * 3 + [2] * 40 + [5] * 40 + [6] * 40 + [30] * 40
    days = [0] * 3 + [30] * 30 + [31] * 30 + [180] * 30 + [365] * 30 + [366] * 40
    users = np.arange(3, 163)  # who has no event is not judged
    cohorts = cohorts_of(profile, people(events, days), users)
    assert sizes(cohorts, "activity") == {"up to 5 events": 80, "6 to 6 events": 40, "over 6 events": 40}
    assert sizes(cohorts, "tenure") == {
        "up to 30 days": 30,
        "31 to 180 days": 60,
        "181 to 365 days": 30,
        "over 365 days": 40,
    }
    assert sizes(cohorts, "warmth") == {"cold": 80, "warm": 80}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 300))
def test_no_cohort_is_small_or_everybody_and_none_overlap(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    profile = Profile.model_validate({
        "name": "board",
        "events": {"path": "e", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
        "users": {"path": "u", "columns": {"user_id": "u", "country": "c"}},
        "features": {"user": ["country"], "item": []},
    })  # fmt: skip
    country = rng.choice(["A", "B", "C", "D", None], count, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    dataset = people(rng.integers(0, 40, count).tolist(), rng.integers(0, 700, count).tolist(), country=list(country))
    users = np.flatnonzero(rng.random(count) < 0.8)
    cohorts = cohorts_of(profile, dataset, users)
    assert all(MIN_USERS <= one.members.sum() < len(users) for one in cohorts)
    for dimension in {one.dimension for one in cohorts}:
        together = np.sum([one.members for one in cohorts if one.dimension == dimension], axis=0)
        assert together.max() <= 1


def halves() -> list[Cohort]:
    first = np.arange(100) < 60
    return [Cohort("plan", "gold", first), Cohort("plan", "silver", ~first)]


def test_a_loss_of_one_cohort_alone_is_seen() -> None:
    rng = np.random.default_rng(0)
    before = {"recall@20": rng.random(100), "ndcg@20": rng.random(100)}
    after = {"recall@20": before["recall@20"] + np.where(np.arange(100) < 60, 0.05, -0.05)}
    gold, silver = cohort_figures(after, before, halves(), ["recall@20", "ndcg@20", "absent"], 1)
    assert (gold.users, silver.users) == (60, 40)
    assert gold.challenger["recall@20"].value == pytest.approx(after["recall@20"][:60].mean())
    assert gold.challenger == intervals({"recall@20": after["recall@20"][:60]}, 1)
    assert list(gold.champion) == ["recall@20", "ndcg@20"] and list(gold.beside) == ["recall@20"]
    assert gold.beside["recall@20"].difference.low > 0 > silver.beside["recall@20"].difference.high
    members = halves()[1].members
    assert silver.beside == compare(
        {"recall@20": after["recall@20"][members]}, {"recall@20": before["recall@20"][members]}, 1
    )


def test_without_a_champion_there_is_nothing_beside() -> None:
    (gold, _) = cohort_figures({"recall@20": np.ones(100)}, None, halves(), ["recall@20"], 1)
    assert (gold.champion, gold.beside) == ({}, {})


def test_what_a_sample_leaves_too_small_is_not_told() -> None:
    rows = np.arange(20, 80)  # 40 of gold, 20 of silver
    sampled = [one.at(rows) for one in halves()]
    found = cohort_figures({"auc": np.ones(60)}, None, sampled, ["auc"], 1)
    assert [(one.label, one.users) for one in found] == [("gold", 40)]


def test_the_judged_stand_for_users_like_them() -> None:
    # 300 users came once, 100 days ago; 100 are regulars. Of the former 50 are judged, of the latter 90
    dataset = people([1] * 300 + [40] * 100 + [0] * 50, [100] * 300 + [400] * 100 + [0] * 50)
    users = np.concatenate([np.arange(50), np.arange(300, 390)])
    values = np.concatenate([np.full(50, 0.1), np.full(90, 0.5)])
    assert represented(dataset, users) == pytest.approx(140 / 400)
    assert values.mean() == pytest.approx(0.357, abs=0.001)
    assert weighted(values, dataset, users) == pytest.approx((300 * 0.1 + 100 * 0.5) / 400)


def test_strata_of_few_judged_users_lean_on_their_third_then_on_all() -> None:
    # the newcomers among the rare visitors: three judged. The regulars: ten judged
    dataset = people([1] * 330 + [40] * 60, [100] * 300 + [3] * 30 + [400] * 60)
    users = np.concatenate([np.arange(47), np.arange(300, 303), np.arange(330, 340)])
    values = np.concatenate([np.full(47, 0.1), np.full(3, 0.9), np.full(10, 0.5)])
    rare, everybody = (47 * 0.1 + 3 * 0.9) / 50, values.mean()
    expected = (300 * 0.1 + 30 * rare + 60 * everybody) / 390
    assert weighted(values, dataset, users) == pytest.approx(expected)


def test_where_all_are_judged_weights_change_nothing() -> None:
    rng = np.random.default_rng(0)
    dataset = people(rng.integers(1, 60, 500).tolist(), rng.integers(0, 700, 500).tolist())
    values = rng.random(500)
    assert weighted(values, dataset, np.arange(500)) == pytest.approx(values.mean(), abs=0.01)
    assert represented(dataset, np.arange(500)) == 1
