"""What the declared features promise of a snapshot, as expectations: the ranges need no second place."""

from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np

from recommender.columns import EVENT_TIMESTAMP
from recommender.data.quality.suites import Expected
from recommender.features.definitions import Feature, FeatureTable
from recommender.features.measures import ATTRIBUTE, ATTRIBUTE_AGE
from recommender.storage.quality_results import Severity


def declared_expectations(table: FeatureTable, ds: date) -> list[Expected]:
    """The ranges of the table's features, and for a table of several keys what makes its rows findable.

    A measure outside its range is an error of ours and fails the night; an attribute is as the source says, and warns.
    Numbers in vectors are not looked at.
    """
    ranges = [_range(feature) for feature in table.features if _bounds(feature)]
    return [*_structure(table, ds), *ranges] if len(table.keys) > 1 else ranges


def _range(feature: Feature) -> Expected:
    attribute = feature.measure in (ATTRIBUTE, ATTRIBUTE_AGE)
    return _expected(
        "expect_column_values_to_be_between",
        {"column": feature.name, **_bounds(feature)},
        "warn" if attribute else "fail",
        "the profile says that this column has no such values" if attribute else f"{feature.description}: can't be",
        feature.entity,
    )


def _bounds(feature: Feature) -> dict[str, float]:
    """As the snapshot's 32 bits hold them: a value at the bound is rounded like the bound."""
    if feature.kind != "numeric":
        return {}
    bounds = {"min_value": feature.low, "max_value": feature.high}
    return {name: float(np.float32(value)) for name, value in bounds.items() if value is not None}


def _structure(table: FeatureTable, ds: date) -> list[Expected]:
    end = datetime.combine(ds, time()) + timedelta(days=1)
    found = [
        _expected(
            "expect_column_values_to_not_be_null", {"column": key}, "fail", "rows are looked up by it", table.name
        )
        for key in table.keys
    ]
    found.append(
        _expected(
            "expect_compound_columns_to_be_unique",
            {"column_list": list(table.keys)},
            "fail",
            "two rows for one key and one instant would make training rows depend on chance",
            table.name,
        )
    )
    found.append(
        _expected(
            "expect_column_values_to_be_between",
            {"column": EVENT_TIMESTAMP, "min_value": end, "max_value": end},
            "fail",
            "a snapshot stands for the end of its night, no row for another instant",
            table.name,
        )
    )
    return found


def _expected(expectation: str, arguments: dict[str, Any], severity: Severity, note: str, of: str) -> Expected:
    return Expected(expectation, arguments, severity, False, note, f"features.{of}")
