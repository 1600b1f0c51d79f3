"""What is compared between two nights, as columns: features, scores, recommendations and choices."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from recommender.evaluation.drift.bars import Column
from recommender.evaluation.reference import Sample
from recommender.features.definitions import Feature

_AGES = ("tenure_days", "days_since_first_event")
_RECOMMENDED = ("popularity", "age_days", "days_since_last_event", "category", "knows_creator")
_CHOSEN = ("popularity", "age_days", "category", "is_new")


def feature_columns(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    features: Sequence[Feature],
    personal: Collection[str],
    days: int = 0,
) -> list[Column]:
    """A column a feature. Of lists of categories every value counts, of vectors their component along the reference's
    mean vector. A feature that one frame lacks is missing there. Ages grow by a day a day, which is no drift: so many
    `days` are taken off the current ones.
    """
    rows = len(reference), len(current)
    columns = []
    for feature in features:
        before, now = _values(reference, feature), _values(current, feature)
        if feature.measure in _AGES:
            now = now - days
        match feature.kind:
            case "categories":
                before, now = before.explode(), now.explode()
            case "vector":
                direction = _mean_vector(before, feature.width or 0)
                before, now = _projected(before, direction), _projected(now, direction)
        numeric = feature.kind in ("numeric", "vector")
        columns.append(Column(feature.name, before, now, rows, numeric, feature.name in personal))
    return columns


def score_columns(past: Sample | None, champion: Sample | None, challenger: Sample) -> list[Column]:
    """The champion's scores at its verdict and tonight; and how its and the challenger's lists spread their scores."""
    then = _named(past, champion, {"score": "the champion's scores"}) if past and champion else []
    models = {"standard_score": "scores within a list, beside the champion's"}
    return then + (_named(champion, challenger, models) if champion else [])


def recommended_columns(past: Sample, challenger: Sample, days: int = 0) -> list[Column]:
    """What the champion recommended at its verdict, and the challenger tonight, so many days later."""
    return _named(past, _younger(challenger, days), dict(zip(_RECOMMENDED, _RECOMMENDED, strict=True)))


def choice_columns(past: Sample, tonight: Sample, days: int = 0) -> list[Column]:
    """What people chose then, and so many days later."""
    return _named(past, _younger(tonight, days), dict(zip(_CHOSEN, _CHOSEN, strict=True)))


def _younger(sample: Sample, days: int) -> Sample:
    """With the items' ages as of so many days before."""
    return replace(sample, rows=sample.rows.assign(age_days=sample.rows["age_days"] - days))


def _named(reference: Sample, current: Sample, names: dict[str, str]) -> list[Column]:
    """Columns that both samples have, by the name people read."""
    rows = reference.users, current.users
    both = [name for name in names if name in reference.rows and name in current.rows]
    return [
        Column(names[name], reference.rows[name], current.rows[name], rows, _is_number(current.rows[name]))
        for name in both
    ]


def _is_number(values: pd.Series) -> bool:
    return bool(is_numeric_dtype(values) and not is_bool_dtype(values))


def _values(rows: pd.DataFrame, feature: Feature) -> pd.Series:
    if feature.name not in rows:
        return pd.Series(np.nan, index=rows.index)
    return pd.to_numeric(rows[feature.name]) if feature.kind == "numeric" else rows[feature.name].astype(object)


def _mean_vector(values: pd.Series, width: int) -> npt.NDArray[np.float64]:
    """The direction that the vectors have on average, of length 1; zeros where nobody has one."""
    known = values.dropna()
    if known.empty:
        return np.zeros(width)
    mean = np.stack(list(known)).mean(axis=0, dtype=np.float64)
    return np.asarray(mean / (np.linalg.norm(mean) or 1.0))


def _projected(values: pd.Series, direction: npt.NDArray[np.float64]) -> pd.Series:
    """Each vector's component along a direction."""
    known = values.notna().to_numpy()
    projected = np.full(len(values), np.nan)
    if known.any():
        projected[known] = np.stack(list(values[known])) @ direction
    return pd.Series(projected)
