from typing import Any

import pytest

from recommender.config.profile import Profile
from recommender.errors import ConfigError
from recommender.features import attributes
from recommender.features.definitions import declared_features


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ({"column": "tags", "separator": "|"}, "categories"),
        ({"column": "tags", "type": "list"}, "categories"),
        ({"column": "tags"}, "categorical"),
        ({"column": "tags", "type": "number"}, "numeric"),
    ],
)
def test_the_kind_of_an_attribute_is_that_of_its_column(column: dict[str, str], kind: str) -> None:
    profile = Profile.model_validate(
        {
            "name": "shop",
            "events": {"path": "events.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
            "items": {"path": "items.csv", "columns": {"item_id": "i", "tags": column}},
            "features": {"user": [], "item": ["tags"]},
        }
    )
    assert [feature.kind for feature in declared_features(profile, "item")] == [kind]


def shop(joined: dict[str, Any] | None = None, **features: Any) -> Profile:
    """Events whose weight comes from a side table."""
    stars = {"name": "r", "path": "r.csv", "on": {"i": "i"}, "columns": {"stars": "max(stars)"}, **(joined or {})}
    event_columns = {"user_id": "u", "item_id": "i", "ts": "t", "weight": {"sql": "r.stars"}}
    item_columns = {
        "item_id": "i",
        "price": {"column": "p", "type": "number"},
        "released": {"column": "r", "type": "time"},
    }
    return Profile.model_validate(
        {
            "name": "shop",
            "events": {"path": "events.csv", "columns": event_columns, "joins": [stars]},
            "users": {"path": "users.csv", "columns": {"user_id": "u", "age": "a"}},
            "items": {"path": "items.csv", "columns": item_columns},
            "features": {"user": ["taste_price", "age_band", "age"], "item": ["price", "released"], **features},
        }
    )


def versions(profile: Profile) -> dict[str, str]:
    return {feature.name: feature.version for feature in declared_features(profile, "user")}


def test_a_side_table_of_the_events_is_part_of_what_a_measure_means() -> None:
    changed = versions(shop({"columns": {"stars": "min(stars)"}}))
    assert {name for name, version in versions(shop()).items() if changed[name] != version} == {"taste_price"}
    assert versions(shop({"path": "elsewhere/r.csv"})) == versions(shop()), "not where it lies"


def test_the_bounds_of_the_age_bands_are_part_of_what_a_band_means(monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions(shop())
    monkeypatch.setattr(attributes, "AGE_BANDS", (18, 30, 60))
    assert {name for name, version in versions(shop()).items() if before[name] != version} == {"age_band"}


@pytest.mark.parametrize("feature", [{"user": ["taste_released"]}, {"pair": ["taste_gap_released"]}])
def test_there_is_no_taste_in_times(feature: dict[str, Any]) -> None:
    """A time becomes the days since then, other ones every night: its average over past events says nothing."""
    subject = next(iter(feature))
    with pytest.raises(ConfigError, match=f"features.{subject}: no feature named '{feature[subject][0]}'"):
        declared_features(shop(**feature), subject)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subject", "name", "nearest"),
    [
        ("user", "evnts_365d", "events_365d"),
        ("user", "events_45", "events_45d"),
        ("item", "evnts_30d", "events_30d"),
        ("pair", "tase_gap_price_14d", "taste_gap_price_14d"),
    ],
)
def test_the_nearest_name_has_the_window_that_was_written(subject: Any, name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"no feature named '{name}'; did you mean '{nearest}'"):
        declared_features(shop(**{subject: [name]}), subject)


@pytest.mark.parametrize(
    ("subject", "name", "needed"),
    [
        ("user", "taste_price", "a number of the items"),
        ("pair", "taste_gap_price_30d", "a number of the items"),
        ("pair", "country_category_affinity_30d", "a category of the users"),
    ],
)
def test_what_a_source_that_is_not_there_would_be_for_is_said(subject: Any, name: str, needed: str) -> None:
    events = {"path": "events.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}}
    bare = Profile.model_validate({"name": "bare", "events": events, "features": {subject: [name]}})
    with pytest.raises(ConfigError, match=f"{name} needs {needed}, and the profile has none"):
        declared_features(bare, subject)
