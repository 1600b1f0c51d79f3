"""The ranges that features declare are expected of their snapshots, and nobody writes them twice."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recommender.config.profile import Quality
from recommender.config.settings import Settings
from recommender.data.quality import CheckResult, validate_partition
from recommender.errors import DataQualityError
from recommender.features.definitions import feature_tables
from recommender.features.expectations import declared_expectations
from recommender.storage.lake import Lake
from tests.features.inspected import FIRST, SECOND


def validate(shop: Settings, table: str, folder: Path, **values: Any) -> list[CheckResult]:
    """The second night's snapshot with values of its first row changed."""
    rows = Lake(shop.lake).read(table, SECOND)
    for name, value in values.items():
        rows[name] = pd.Series([value, *rows[name].iloc[1:]], dtype=rows[name].dtype)
    lake = Lake(folder)
    lake.write(table, SECOND, rows)
    declared = declared_expectations(feature_tables(shop.profile)[table], SECOND)
    return validate_partition(table, lake, SECOND, shop, declared)


@pytest.mark.parametrize("table", ["user_features", "item_features", "country_category_affinity"])
def test_snapshots_keep_what_is_declared(shop: Settings, tmp_path: Path, table: str) -> None:
    results = validate(shop, table, tmp_path)
    assert all(result.success for result in results)
    features = feature_tables(shop.profile)[table].features
    bounded = {one.name for one in features if one.kind == "numeric" and (one.low, one.high) != (None, None)}
    assert bounded <= {result.column for result in results}


@pytest.mark.parametrize(
    ("table", "values", "words"),
    [
        ("user_features", {"events_7d": -1}, "events_7d values must be greater than or equal to 0"),
        ("user_features", {"days_since_last_event": -0.5}, "days since the last event: can't be"),
        ("item_features", {"is_new_release_7d": 1.5}, "is_new_release_7d values must be"),
        ("country_category_affinity", {"category": None}, "category values must never be null"),
        ("country_category_affinity", {"category": "old"}, "unique together"),
        ("country_category_affinity", {"event_timestamp": pd.Timestamp(FIRST)}, "event_timestamp values must be"),
    ],
)
def test_what_cannot_be_fails_the_night(
    shop: Settings, tmp_path: Path, table: str, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataQualityError, match=f"{table} for 2020-01-09 failed 1 expectation") as caught:
        validate(shop, table, tmp_path, **values)
    assert words in str(caught.value)
    assert "Zanzibarland" not in str(caught.value)


def test_an_attribute_beyond_its_range_warns(shop: Settings, tmp_path: Path) -> None:
    broken = [result for result in validate(shop, "item_features", tmp_path, energy=1.25) if not result.success]
    assert [(result.column, result.severity) for result in broken] == [("energy", "warn")]


def test_a_bound_is_rounded_as_its_values_are(shop: Settings) -> None:
    table = feature_tables(shop.profile)["item_features"]
    narrow = replace(table, features=tuple(replace(one, high=0.3) for one in table.features if one.name == "energy"))
    [expected] = declared_expectations(narrow, SECOND)
    assert expected.arguments["max_value"] == float(pd.Series([0.3], dtype="float32")[0]) > 0.3


def test_the_profiles_own_suite_replaces_a_declared_range(shop: Settings, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "user_features.yaml").write_text(
        "- {expect: expect_column_values_to_be_between, column: events_7d, severity: off}\n"
    )
    profile = shop.profile.model_copy(update={"quality": Quality(expectations=tmp_path / "own")})
    results = validate(replace(shop, profile=profile), "user_features", tmp_path / "lake", events_7d=-1)
    assert "events_7d" not in {result.column for result in results}
