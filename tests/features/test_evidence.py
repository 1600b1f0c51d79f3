"""What is behind one user's and one item's values, counted by hand."""

from datetime import date, datetime
from pathlib import Path

import pytest

from recommender.config.settings import Settings
from recommender.errors import NotReadyError
from recommender.features.inspection.evidence import Explained, Explanation, explain, explain_pair
from recommender.features.measures import Entity
from recommender.storage.lake import Lake
from tests.features.inspected import FIRST, SECOND


def explained(shop: Settings, entity: Entity, entity_id: str, ds: date | None = None) -> dict[str, Explained]:
    found = explain(Lake(shop.lake), shop.profile, entity, entity_id, ds)
    return {one.feature.name: one for one in found.values}


def behind(one: Explained) -> tuple[int | None, datetime | None, datetime | None]:
    return one.events, one.first, one.last


NOON, WEEK, LAST = datetime(2020, 1, 1, 12), datetime(2020, 1, 3), datetime(2020, 1, 9, 23, 59, 59)


def test_events_behind_a_users_measures(shop: Settings) -> None:
    ann = explained(shop, "user", "ann")
    assert (ann["events_7d"].value, *behind(ann["events_7d"])) == (2, 2, WEEK, LAST)
    assert (ann["events_total"].value, *behind(ann["events_total"])) == (3, 3, NOON, LAST)
    assert (ann["creators_total"].value, *behind(ann["creators_total"])) == (2, 3, NOON, LAST)
    # the sofa has no energy
    assert (ann["taste_energy"].value, *behind(ann["taste_energy"])) == (0.5, 2, NOON, LAST)
    bob = explained(shop, "user", "bob")
    assert (bob["events_7d"].value, *behind(bob["events_7d"])) == (0, 0, None, None)
    assert bob["events_total"].events == 1, "the next night's first instant is not known"


def test_an_attribute_names_the_table_it_is_from(shop: Settings) -> None:
    ann = explained(shop, "user", "ann")["age"]
    assert (ann.value, ann.source, ann.taken_from, *behind(ann)) == (34, "users.age", SECOND, None, None, None)
    assert explained(shop, "user", "bob")["country"].value is None


def test_an_items_values_and_those_of_its_creator(shop: Settings) -> None:
    desk = explained(shop, "item", "desk")
    assert (desk["events_7d"].value, desk["events_7d"].events) == (0, 0)
    release = desk["is_new_release_7d"]  # not of this week, which an older event says
    assert (release.value, release.events, release.first) == (0, 2, NOON)
    assert (desk["creator_events_7d"].value, *behind(desk["creator_events_7d"])) == (1, 1, WEEK, WEEK)  # on the sofa
    assert desk["category"].value == ["wood", "old"]
    assert len(desk["title_embedding_4"].value) == 4
    assert desk["title_words"].taken_from == SECOND
    assert explained(shop, "item", "sofa")["category"].value == []


def test_an_earlier_night_is_seen_by_its_own_snapshot(shop: Settings) -> None:
    found = explain(Lake(shop.lake), shop.profile, "user", "ann", date(2020, 1, 5))
    assert (found.night, found.instant) == (FIRST, datetime(2020, 1, 2))
    assert {one.feature.name: (one.value, one.events) for one in found.values}["events_total"] == (1, 1)


def test_a_pair_is_computed_from_the_two_and_looked_up(shop: Settings) -> None:
    lake, profile = Lake(shop.lake), shop.profile
    user, item = explain(lake, profile, "user", "ann"), explain(lake, profile, "item", "lamp")
    pair = {one.feature.name: one for one in explain_pair(lake, profile, "ann", "lamp", user, item).values}
    gap = pair["taste_gap_energy"]
    assert (gap.value, gap.inputs) == (0.25, (("user's taste_energy", 0.5), ("item's energy", 0.75)))
    affinity = pair["country_category_affinity_30d"]
    rows = lake.read("country_category_affinity", SECOND).set_index("category")
    assert affinity.value == rows.loc["light", "country_category_affinity_30d"]
    assert affinity.inputs == (("country", "Zanzibarland"), ("category", "light"))
    assert pair["hour_of_day"].value == "0"
    # bob's country is missing, and so is what is looked up by it; the sofa has no energy
    other, sofa = explain(lake, profile, "user", "bob"), explain(lake, profile, "item", "sofa")
    missing = explain_pair(lake, profile, "bob", "sofa", other, sofa)
    assert [one.value for one in missing.values] == [None, None, "0"]


def test_who_is_unknown_is_told_without_an_id(shop: Settings) -> None:
    with pytest.raises(NotReadyError, match="user_features of 2020-01-09 has no such user") as caught:
        explain(Lake(shop.lake), shop.profile, "user", "a-private-id")
    assert "private" not in str(caught.value)
    with pytest.raises(NotReadyError, match="no item 'chair'"):
        explain(Lake(shop.lake), shop.profile, "item", "chair")


def test_without_snapshots_the_cure_is_told(shop: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="run `recommender run features"):
        explain(Lake(tmp_path), shop.profile, "user", "ann")


def test_the_online_value_is_compared_for_the_same_instant_only(shop: Settings) -> None:
    found = explain(Lake(shop.lake), shop.profile, "user", "ann")
    same = {one.feature.name: one.value for one in found.values}
    of = Explanation
    assert of(found.table, found.night, found.instant, found.values, found.instant, same).differing == []
    other = {**same, "age": 35.0}
    assert of(found.table, found.night, found.instant, found.values, found.instant, other).differing == ["age"]
    assert of(found.table, found.night, found.instant, found.values, datetime(2020, 1, 2), other).differing == []
