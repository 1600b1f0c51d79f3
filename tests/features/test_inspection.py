"""What is listed of features: sources, marks and distributions; and how values are spread, counted by hand."""

import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from recommender.config.settings import Settings
from recommender.errors import ConfigError, NotReadyError
from recommender.features.definitions import Feature
from recommender.features.inspection import Listed, list_features, reference
from recommender.features.inspection.distributions import BINS, Distribution, distributions_of
from recommender.storage.lake import Lake
from tests.features.inspected import FIRST, SECOND


def listed(settings: Settings, table: str, ds: date | None = None) -> dict[str, Listed]:
    [found] = [one for one in list_features(Lake(settings.lake), settings.profile, ds) if one.table == table]
    return {one.feature.name: one for one in found.features}


def spread(one: Listed) -> Distribution:
    assert one.distribution is not None
    return one.distribution


def changed(settings: Settings, old: str, new: str, folder: Path) -> Settings:
    """The same world with another profile."""
    from recommender.config.settings import load_settings

    text = settings.profile_path.read_text()
    assert old in text
    (folder / "changed.yaml").write_text(text.replace(old, new))
    other = load_settings(str(folder / "changed.yaml"), reads_sources=False)
    return replace(settings, profile=other.profile)


def test_every_table_is_listed_with_its_newest_snapshot(shop: Settings) -> None:
    found = list_features(Lake(shop.lake), shop.profile)
    assert [(one.table, one.night, one.rows) for one in found] == [
        ("user_features", SECOND, 3),
        ("item_features", SECOND, 3),
        ("country_category_affinity", SECOND, 3),  # ann's country with the desk's two categories and the lamp's one
        ("pairs", SECOND, 2000),
    ]
    assert [one.night for one in list_features(Lake(shop.lake), shop.profile, date(2020, 1, 8))[:2]] == [FIRST, FIRST]


def test_sources_say_what_a_feature_is_computed_from(shop: Settings) -> None:
    users, items, pairs = (listed(shop, name) for name in ("user_features", "item_features", "pairs"))
    assert users["events_7d"].source == "events, 7 days"
    assert users["creators_total"].source == "events × items.creator"
    assert users["taste_energy"].source == "events × items.energy"
    assert users["age"].source == "users.age"
    assert items["creator_events_7d"].source == "events × items.creator, 7 days"
    assert items["is_new_release_7d"].source == "events, 7 days"
    assert items["title_words"].source == items["title_embedding_4"].source == "items.title"
    assert pairs["taste_gap_energy"].source == "user's taste_energy, item's energy"
    assert pairs["hour_of_day"].source == "the moment"
    affinity = listed(shop, "country_category_affinity")["country_category_affinity_30d"]
    assert affinity.source == "events × users.country × items.category, 30 days"


def test_what_pair_features_need_is_listed_and_told_apart(shop: Settings) -> None:
    users = listed(shop, "user_features")
    assert [name for name, one in users.items() if not one.declared] == ["taste_energy"]


def test_distributions_of_a_snapshot(shop: Settings) -> None:
    users, items = listed(shop, "user_features"), listed(shop, "item_features")
    assert spread(users["events_7d"]).missing_share == 0
    assert spread(users["days_since_last_event"]).missing_share == pytest.approx(1 / 3)
    assert spread(users["country"]) == Distribution(pytest.approx(1 / 3), (0.5, 0.5))
    assert spread(items["category"]) == Distribution(pytest.approx(1 / 3), (0.5, 0.5, 0.5))  # an empty list is missing
    energy = spread(items["energy"])
    assert (energy.low, energy.high) == (pytest.approx(0.255), pytest.approx(0.745))
    assert energy.shares == (0.5, *[0.0] * (BINS - 2), 0.5)
    assert spread(listed(shop, "pairs")["taste_gap_energy"]).missing_share > 0
    assert listed(shop, "pairs")["hour_of_day"].distribution is None


def test_ends_of_personal_columns_are_withheld(shop: Settings) -> None:
    assert spread(listed(shop, "user_features")["age"]).low is None
    assert sum(spread(listed(shop, "user_features")["age"]).shares) == 1


def test_another_definition_is_marked(shop: Settings, tmp_path: Path) -> None:
    assert not any(one.outdated for one in listed(shop, "user_features").values())
    other = changed(shop, "{column: a, min: 10, max: 99}", "{column: b, min: 10, max: 99}", tmp_path)
    assert [name for name, one in listed(other, "user_features").items() if one.outdated] == ["age"]
    retyped = changed(shop, "{column: a, min: 10, max: 99}", "{column: a, type: text}", tmp_path)
    age = listed(retyped, "user_features")["age"]
    assert (age.outdated, age.distribution) == (True, None)
    later = changed(shop, "events_7d, events_total", "events_7d, events_9d, events_total", tmp_path)
    added = listed(later, "user_features")["events_9d"]
    assert (added.outdated, added.distribution) == (True, None)


def test_without_snapshots_the_declarations_are_listed(shop: Settings, tmp_path: Path) -> None:
    found = list_features(Lake(tmp_path), shop.profile)
    assert [one.night for one in found] == [None] * 4
    assert not any(one.distribution or one.outdated for listing in found for one in listing.features)
    with pytest.raises(NotReadyError, match="the first snapshot of user_features is that of 2020-01-01"):
        list_features(Lake(shop.lake), shop.profile, date(2019, 12, 31))


def feature(name: str, kind: str = "numeric", *, skewed: bool = False) -> Feature:
    return Feature(name, "user", kind, skewed, "attribute", None, "", low=-1, high=1)  # type: ignore[arg-type]


def spread_of(values: pd.Series, one: Feature) -> Distribution:
    with duckdb.connect() as connection:
        connection.register("rows", values.rename(one.name).to_frame())
        rows, found = distributions_of(connection, "rows", [one])
    assert rows == len(values)
    return found[one.name]


def test_constant_missing_and_infinite_numbers() -> None:
    assert spread_of(pd.Series([3.0, 3.0]), feature("x")) == Distribution(0, (1.0, *[0.0] * (BINS - 1)), 3, 3)
    nothing = spread_of(pd.Series([math.nan, math.inf, -math.inf, None], dtype="float32"), feature("x"))
    assert nothing == Distribution(1, ())
    assert spread_of(pd.Series([], dtype="float32"), feature("x")).shares == ()


def test_skewed_numbers_are_spread_on_a_log_scale() -> None:
    powers = pd.Series([float(2**power - 1) for power in range(13)])
    assert max(spread_of(powers, feature("x")).shares) > 0.5
    assert max(spread_of(powers, feature("x", skewed=True)).shares) < 0.2


def test_categories_lists_and_vectors() -> None:
    assert spread_of(pd.Series(["a", "b", "a", None]), feature("x", "categorical")).shares == pytest.approx(
        (2 / 3, 1 / 3)
    )
    lists = spread_of(pd.Series([["a", "a", "b"], ["a"], [], None]), feature("x", "categories"))
    assert lists == Distribution(0.5, (1.0, 0.5))
    vectors = spread_of(pd.Series([[-1.0, 1.0], None]), feature("x", "vector"))
    assert vectors == Distribution(0.5, (0.5, *[0.0] * (BINS - 2), 0.5))


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(width=32) | st.none(), min_size=1, max_size=30), st.booleans())
def test_shares_are_of_all_that_is_there(values: list[float | None], skewed: bool) -> None:
    found = spread_of(pd.Series(values, dtype="float32"), feature("x", skewed=skewed))
    present = [value for value in values if value is not None and math.isfinite(value)]
    assert found.missing_share == pytest.approx(1 - len(present) / len(values))
    assert len(found.shares) == (BINS if present else 0)
    assert sum(found.shares) == pytest.approx(1 if present else 0)
    if present:
        assert min(present) <= found.low <= found.high <= max(present)


def test_the_catalogue_marks_what_is_declared(shop: Settings) -> None:
    entries = {(entry.subject, entry.name): entry for entry in reference.catalogue(shop.profile)}
    assert entries["user", "events_{w}d"].declared == ("events_7d",)
    assert entries["user", "tenure_days"].declared == ()
    assert entries["user", "age"].range == "10 … 99"
    assert entries["item", "energy"].declared == ("energy",)
    assert entries["pair", "taste_gap_{a}"].declared == ("taste_gap_energy",)
    assert ("item", "decade") not in entries, "the items have no year"


def test_the_committed_catalogue_is_the_one_the_code_makes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "features.md").read_text()
    assert page == reference.renewed(page), "run `python -m recommender.features.inspection.reference docs/features.md`"
    with pytest.raises(ConfigError, match="lacks the markers"):
        reference.renewed("# Features")
