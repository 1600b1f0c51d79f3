"""Features of a user and an item together: computed row by row for Feast, and by the million for ranking.

    pairs = PairFeatures(features, user_frame, item_frame, affinities, asked_at)
    matrix = pairs.matrix(users, items)     # (n, features) float32, in the declared order

An affinity is looked up, everything else is computed from the user's and the item's own features and from the
instant at which the pair is asked for. Where an input is missing, so is the feature.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.columns import CATEGORY
from recommender.features.definitions import Feature, is_affinity, table_of
from recommender.features.measures import DAYPARTS, KEYS, Entity, filled, measure_of

ASKED_AT = "asked_at"
"""The instant at which a pair is asked for; in training rows that of the event."""

LARGEST_HOUR = 23
BLOCK = 1 << 14
"""Pairs at a time: what they take stays in a core's cache."""

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.integer]


class Recipe(NamedTuple):
    """What of a pair feature's definition its computation reads."""

    name: str
    measure: str
    of: str | None = None
    window_days: int | None = None


def computed(features: Sequence[Feature]) -> list[Feature]:
    """Those of the pair features that aren't looked up."""
    return [feature for feature in features if not is_affinity(feature)]


def recipe(feature: Feature) -> Recipe:
    return Recipe(feature.name, feature.measure, feature.of, feature.window_days)


def input_names(feature: Feature | Recipe, entity: Entity) -> list[str]:
    """Names of the entity's features that a pair feature is computed from."""
    return [
        filled(pattern, {"a": feature.of, "w": feature.window_days})
        for subject, pattern in measure_of("pair", feature.measure).inputs
        if subject == entity
    ]


def reads_instant(feature: Feature | Recipe) -> bool:
    """True for a feature of the instant at which a pair is asked for."""
    return feature.measure in ("hour_of_day", "day_of_week")


def pair_values(
    features: Sequence[Feature | Recipe],
    user_frame: pd.DataFrame,
    item_frame: pd.DataFrame,
    asked_at: pd.Series | None = None,
) -> pd.DataFrame:
    """Computed pair features of each row's user and item.

    Parameters
    ----------
    user_frame, item_frame
        (n, …) the features they are computed from, among others, under their own names.
    asked_at
        (n,) instants, UTC where they name no zone; may be None where no feature reads it.

    Returns
    -------
    (n, features) frame in the order of `features`: float32, and text for the hour (0 to 23) and the weekday (1 is
    Monday), both UTC.
    """
    columns: dict[str, npt.NDArray[Any]] = {}
    for feature in features:
        user, item = _columns(user_frame, feature, "user"), _columns(item_frame, feature, "item")
        if reads_instant(feature):
            instants = pd.Series(asked_at).reset_index(drop=True)
            columns[feature.name] = _text(_instant_number(feature, pd.to_datetime(instants, utc=True)))
        else:
            columns[feature.name] = _distance(user, item) if _is_gap(feature) else _overlap(user, item)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(user_frame)))


def on_demand(inputs: pd.DataFrame, recipes: Sequence[Recipe]) -> pd.DataFrame:
    """`pair_values` of a frame as Feast hands it over: columns `user_features__…`, `item_features__…`, `asked_at`."""
    user, item = (
        inputs[[f"{table_of(entity)}__{name}" for name in names]].set_axis(names, axis="columns")
        for entity in KEYS
        for names in [sorted({name for recipe in recipes for name in input_names(recipe, entity)})]
    )
    return pair_values(recipes, user, item, inputs.get(ASKED_AT))


class PairFeatures:
    """The pair features of one night's users and items, asked for at one instant; a pair is two indices.

    Holds each input once, as a column of float32 a user or an item, and each affinity as a table of segments ×
    categories. What an answer takes beside its own size is one column: the caller's chunk bounds the memory.

    Parameters
    ----------
    features
        The declared ones, affinities among them; the order of the answers' columns.
    user_frame, item_frame
        (users, …) and (items, …) the features they are computed from, among others.
    keys
        What affinities are looked up by: a value a user under each segment's name, and one an item under `category`,
        its first. None is missing.
    affinities
        By segment, a row a segment and category: both columns, and the features.
    asked_at
        The instant, with a zone.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        user_frame: pd.DataFrame,
        item_frame: pd.DataFrame,
        keys: Mapping[str, npt.NDArray[np.object_]],
        affinities: Mapping[str, pd.DataFrame],
        asked_at: datetime,
    ) -> None:
        self.features = tuple(features)
        self._inputs: dict[str, tuple[list[Floats], list[Floats]]] = {}
        self._constants: dict[str, float] = {}
        self._tables: dict[str, Floats] = {}
        self._codes: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = {}
        instant = pd.Series([pd.Timestamp(asked_at)]).dt.tz_convert("UTC")
        for feature in features:
            if is_affinity(feature):
                self._add_affinity(feature, keys, affinities[str(feature.of)])
            elif reads_instant(feature):
                self._constants[feature.name] = float(_instant_number(feature, instant)[0])
            else:
                user, item = _columns(user_frame, feature, "user"), _columns(item_frame, feature, "item")
                self._inputs[feature.name] = (user, item)

    @property
    def names(self) -> tuple[str, ...]:
        """The answers' columns."""
        return tuple(feature.name for feature in self.features)

    def matrix(self, users: Indices, items: Indices) -> Floats:
        """(n, features) values of the pairs of user and item indices, both (n,); missing is NaN.

        Hours and weekdays are numbers. Columns are contiguous: it is the transpose of a (features, n) array.
        """
        values = np.empty((len(self.features), len(users)), np.float32)
        for start in range(0, len(users), BLOCK):
            part = slice(start, start + BLOCK)
            self._fill(values[:, part], np.asarray(users[part], np.intp), np.asarray(items[part], np.intp))
        return values.T

    def frame(self, users: Indices, items: Indices) -> pd.DataFrame:
        """The same as a frame as training rows have it: hours and weekdays are text."""
        frame = pd.DataFrame(self.matrix(users, items), columns=[feature.name for feature in self.features])
        return frame.assign(
            **{f.name: _text(frame[f.name].to_numpy(np.float32)) for f in self.features if reads_instant(f)}
        )

    def _fill(self, values: Floats, users: npt.NDArray[np.intp], items: npt.NDArray[np.intp]) -> None:
        for row, feature in zip(values, self.features, strict=True):
            if feature.name in self._constants:
                row[:] = self._constants[feature.name]
            elif feature.name in self._tables:
                segment, category = self._codes[str(feature.of)]
                table = self._tables[feature.name]
                position = segment.take(users)
                position *= table.shape[1]
                position += category.take(items)
                table.take(position, out=row, mode="clip")  # without a mode NumPy fills a copy first
            else:
                user, item = self._inputs[feature.name]
                combine = _distance if _is_gap(feature) else _overlap
                combine([column.take(users) for column in user], [column.take(items) for column in item], row)

    def _add_affinity(self, feature: Feature, keys: Mapping[str, npt.NDArray[np.object_]], rows: pd.DataFrame) -> None:
        segment = str(feature.of)
        segments, categories = (pd.Index(rows[name].unique()) for name in (segment, CATEGORY))
        # the last row and column stay missing: they stand for whom or what the table doesn't know
        table = np.full((len(segments) + 1, len(categories) + 1), np.nan, np.float32)
        table[segments.get_indexer(pd.Index(rows[segment])), categories.get_indexer(pd.Index(rows[CATEGORY]))] = rows[
            feature.name
        ]
        self._tables[feature.name] = table
        self._codes[segment] = (_known_code(segments, keys[segment]), _known_code(categories, keys[CATEGORY]))


def _columns(frame: pd.DataFrame, feature: Feature | Recipe, entity: Entity) -> list[Floats]:
    return [
        np.ascontiguousarray(frame[name].to_numpy(np.float32, na_value=np.nan)) for name in input_names(feature, entity)
    ]


def _known_code(known: pd.Index, values: npt.NDArray[np.object_]) -> npt.NDArray[np.intp]:
    """(n,) each value's position in `known`, or one past its end."""
    codes: npt.NDArray[np.intp] = known.get_indexer(pd.Index(values, dtype=object))
    codes[(codes < 0) | pd.isna(values)] = len(known)
    return codes


def _is_gap(feature: Feature | Recipe) -> bool:
    return feature.measure.startswith("taste_gap")


def _distance(user: Sequence[Floats], item: Sequence[Floats], out: Floats | None = None) -> Floats:
    [taste], [value] = user, item
    gap: Floats = np.subtract(taste, value, out=out)
    return np.abs(gap, out=gap)


def _overlap(user: Sequence[Floats], item: Sequence[Floats], out: Floats | None = None) -> Floats:
    """Sum over the dayparts of the lesser share: 1 for equal habits, 0 for none in common."""
    total: Floats = np.minimum(user[0], item[0], out=out)
    for part in range(1, len(DAYPARTS)):
        total += np.minimum(user[part], item[part])
    return total


def _instant_number(feature: Feature | Recipe, instants: pd.Series) -> npt.NDArray[np.float64]:
    """The hour, or the weekday from 1 for Monday; NaN where the instant is missing."""
    number = instants.dt.hour if feature.measure == "hour_of_day" else instants.dt.dayofweek + 1
    values: npt.NDArray[np.float64] = number.to_numpy(np.float64, na_value=np.nan)
    return values


def _text(numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.object_]:
    """Small whole numbers as text, None where missing."""
    texts = np.array([*map(str, range(LARGEST_HOUR + 1)), None], dtype=object)
    text: npt.NDArray[np.object_] = texts[np.where(np.isnan(numbers), -1, numbers).astype(np.int64)]
    return text
