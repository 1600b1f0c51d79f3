"""Drift of features between two snapshots, by Evidently: a report for people, figures for the gate.

Two samples of a column are compared by the population stability index (PSI): 0 for equal distributions, above 0.1
for a moderate shift (Siddiqi, Credit Risk Scorecards, 2006). Two small samples of one table differ by chance too: of
categories the PSI then has (1/n + 1/m) times a chi-square distribution (Yurdakul, Statistical Properties of the
Population Stability Index, 2018), whose 99 % quantile raises the threshold; numbers take the Kolmogorov-Smirnov test.
"""

import json
import math
import os
import uuid
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2

from recommender.features.definitions import Feature

_SAMPLE_ROWS = 20_000
_PSI_SHIFT = 0.1
_CHANCE = 0.01
"""How often a column of two small samples of one table may pass for drift."""
_SMALL_ROWS = 1_000
_LEAST_ROWS = 30
"""Fewer known values than this say nothing about a distribution."""
_MISSING_SHIFT = 0.1
"""A change of the share of missing values by more than this, and than chance, is drift whatever the rest does."""
_COMMON_CATEGORIES = 30
"""Categories compared by name; the rest count as one, since a distance over many rare values is noise."""
_COMMON_ROWS = 10
"""Rows of both tables that make a category common: five expected in each (Cochran, 1954)."""
_SEED = 17
_MISSING, _OTHER = "(missing)", "(other)"
_BY_NAME = ("categorical", "categories")
"""Kinds compared as categories, the others as numbers."""


@dataclass(frozen=True)
class ColumnDrift:
    """How one feature moved."""

    score: float
    """PSI, or the p-value of a test, or the change of the share of missing values; `method` says which."""
    method: str
    drifted: bool


@dataclass(frozen=True)
class DriftReport:
    """What moved between two snapshots."""

    drifted: list[str]
    share: float
    """Of the features, 0 to 1."""
    columns: dict[str, ColumnDrift] = field(default_factory=dict)
    reference_rows: int = 0
    """Rows compared, after sampling."""
    current_rows: int = 0


def feature_drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    features: list[Feature],
    html: Path,
    personal: Collection[str] = (),
) -> DriftReport:
    """Compare every feature's distribution and write the report for people to `html`, one self-contained file.

    Skewed features are compared on a log scale, as models read them; of lists of categories every value counts; of
    vectors their component along the reference's mean vector. A feature that one frame lacks counts as
    missing there. Large frames are sampled with a fixed seed. The report shows distributions, no row; of `personal`
    features no value either: categories are numbered, numbers centred and scaled, which changes no score.
    """
    first, second = _sampled(reference), _sampled(current)
    rows = len(first), len(second)
    directions = {feature.name: _mean_vector(first, feature) for feature in features if feature.kind == "vector"}
    before, after = _columns(first, features, directions), _columns(second, features, directions)
    shifts, compared = {}, []
    for feature in features:
        known = _known_rows(before[feature.name]), _known_rows(after[feature.name])
        missing = [1 - count / all_ if all_ else 1.0 for count, all_ in zip(known, rows, strict=True)]
        shifts[feature.name] = abs(missing[0] - missing[1])
        if min(known) >= _LEAST_ROWS:
            compared.append(feature)
    for feature in compared:
        if feature.name in personal:
            _disguise(before, after, feature)
    scores = _compare(before, after, rows, compared, html)
    # two standard errors of a share of one half: what two small samples of the same table may differ by
    chance = math.sqrt(sum(1 / max(1, count) for count in rows))
    bound = max(_MISSING_SHIFT, chance)
    columns = {
        name: ColumnDrift(shift, "change of the missing share", shift > bound)
        if shift > bound or name not in scores
        else scores[name]
        for name, shift in shifts.items()
    }
    drifted = [name for name, column in columns.items() if column.drifted]
    return DriftReport(drifted, len(drifted) / max(1, len(columns)), columns, *rows)


def _sampled(frame: pd.DataFrame) -> pd.DataFrame:
    """At most so many rows, numbered."""
    rows = frame.sample(_SAMPLE_ROWS, random_state=_SEED) if len(frame) > _SAMPLE_ROWS else frame
    return rows.reset_index(drop=True)


def _columns(
    rows: pd.DataFrame, features: list[Feature], directions: dict[str, npt.NDArray[np.float64]]
) -> dict[str, pd.Series]:
    """What is compared of each feature; the index says of which row. Of lists every value is one of its own."""
    columns: dict[str, pd.Series] = {}
    for feature in features:
        values = rows[feature.name] if feature.name in rows else pd.Series(np.nan, index=rows.index)
        match feature.kind:
            case "categorical":
                columns[feature.name] = values.astype(object)
            case "categories":
                columns[feature.name] = values.astype(object).explode()
            case "vector":
                columns[feature.name] = _projected(values, directions[feature.name])
            case "numeric":
                numbers = pd.to_numeric(values).astype("float64")
                columns[feature.name] = numbers.clip(lower=0).map(math.log1p) if feature.skewed else numbers
    return columns


def _mean_vector(rows: pd.DataFrame, feature: Feature) -> npt.NDArray[np.float64]:
    """The direction that a vector feature has on average, of length 1; zeros where nobody has it."""
    known = rows[feature.name].dropna() if feature.name in rows else pd.Series(dtype=object)
    if known.empty:
        return np.zeros(feature.width or 0)
    mean = np.stack(list(known)).mean(axis=0, dtype=np.float64)
    return np.asarray(mean / (np.linalg.norm(mean) or 1.0))


def _projected(values: pd.Series, direction: npt.NDArray[np.float64]) -> pd.Series:
    """Each vector's component along a direction."""
    known = values.dropna()
    projected = pd.Series(np.nan, index=values.index)
    if len(known):
        projected[known.index] = np.stack(list(known)) @ direction
    return projected


def _known_rows(column: pd.Series) -> int:
    return int(column.dropna().index.nunique())


def _disguise(first: dict[str, pd.Series], second: dict[str, pd.Series], feature: Feature) -> None:
    """Replace a column's values on both sides by others that are distributed alike and tell nobody's attribute."""
    name = feature.name
    both = pd.concat([first[name], second[name]])
    if feature.kind in _BY_NAME:
        ranked = both.dropna().value_counts().index
        codes = {value: f"value {rank}" for rank, value in enumerate(ranked, start=1)}
        for columns in (first, second):
            columns[name] = columns[name].map(codes).astype(object)
    else:
        scale = float(both.std()) or 1.0
        for columns in (first, second):
            columns[name] = (columns[name] - both.mean()) / scale


def _compare(
    first: dict[str, pd.Series],
    second: dict[str, pd.Series],
    rows: tuple[int, int],
    features: list[Feature],
    html: Path,
) -> dict[str, ColumnDrift]:
    """Evidently's verdict on every column, and its report."""
    html.parent.mkdir(parents=True, exist_ok=True)
    scratch = html.with_name(f".{html.stem}-{uuid.uuid4().hex}.html")
    numbers = [feature.name for feature in features if feature.kind not in _BY_NAME]
    categories = [feature.name for feature in features if feature.kind in _BY_NAME]
    if not features:
        scratch.write_text("<!doctype html><title>Drift</title><p>No feature has enough values in both snapshots.</p>")
        scratch.replace(html)
        return {}
    tests = {name: "ks" if min(first[name].count(), second[name].count()) < _SMALL_ROWS else "psi" for name in numbers}
    thresholds = {name: _CHANCE if test == "ks" else _PSI_SHIFT for name, test in tests.items()}
    sides = [{name: side[name].reset_index(drop=True) for name in numbers + categories} for side in (first, second)]
    for name in categories:
        counts = pd.concat([side[name] for side in sides]).value_counts()
        common = counts[counts >= _COMMON_ROWS].index[:_COMMON_CATEGORIES]
        for side in sides:
            known = side[name].where(side[name].isin(common) | side[name].isna(), _OTHER)
            side[name] = known.fillna(_MISSING).astype(str)
        freedom = max(1, pd.concat([side[name] for side in sides]).nunique() - 1)
        chance = chi2.ppf(1 - _CHANCE, freedom) * sum(1 / count for count in rows)
        tests[name], thresholds[name] = "psi", max(_PSI_SHIFT, chance)
    # lists have more values than there are rows: the other columns end in NaN, which nothing counts
    frames = [pd.DataFrame(side) for side in sides]
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of its plotting and of empty bins
        from evidently import DataDefinition, Dataset, Report  # takes seconds, and nobody else needs it
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
        before, after = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
        preset = DataDriftPreset(per_column_method=tests, per_column_threshold=thresholds)
        snapshot = Report([preset], include_tests=True).run(current_data=after, reference_data=before)
        content = json.loads(snapshot.json())
        snapshot.save_html(str(scratch))
    scratch.replace(html)
    drifted = {
        test["metric_config"]["params"]["column"]: test["status"] == "FAIL"
        for test in content["tests"]
        if test["id"] == "drift"
    }
    return {
        metric["config"]["column"]: ColumnDrift(
            float(metric["value"]), metric["config"]["method"], drifted[metric["config"]["column"]]
        )
        for metric in content["metrics"]
        if "column" in metric["config"]
    }
