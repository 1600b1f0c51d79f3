"""What the rules of a list go by: how old each item is, who made it, what it is like."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from recommender.columns import CATEGORY, CREATOR, ITEM_ID
from recommender.config.publish import Publish
from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.errors import ConfigError
from recommender.retrieval.exact import unit

_EPOCH_YEAR, _LAST_YEAR = 1970, 9999


@dataclass(frozen=True, eq=False)
class Traits:
    """Of every item of a data set, in its order."""

    ages: npt.NDArray[np.float32]
    """(items,) days, at the end of the night."""
    creators: npt.NDArray[np.int32]
    """(items,) a code for each creator, -1 for none."""
    categories: npt.NDArray[np.int32]
    """(items,) likewise, the first of each item's."""
    vectors: npt.NDArray[np.float32] | None = None
    """(items, d) of length 1, whose cosine says how alike two items are; None: their creator and their category do."""

    def is_new(self, config: Publish) -> npt.NDArray[np.bool_]:
        """(items,) True for what exploration calls new."""
        if config.exploration is None:
            return np.zeros(len(self.ages), bool)
        return self.ages <= config.exploration.new_days


def item_traits(
    dataset: Dataset, items: Path, config: Publish, vectors: npt.NDArray[np.float32] | None = None
) -> Traits:
    """What a night knows of its items; `vectors` (items, d) of any length, and `items` the lake's table."""
    table = pd.read_parquet(items, columns=_present(items, (ITEM_ID, CREATOR, CATEGORY)))
    table = table.set_index(ITEM_ID).reindex(dataset.item_ids)
    directions = None if vectors is None else unit(vectors)
    return Traits(ages(dataset, items, config), _codes(table, CREATOR), _codes(table, CATEGORY), directions)


def ages(dataset: Dataset, items: Path, config: Publish) -> npt.NDArray[np.float32]:
    """(items,) days from an item's first event to the end of the night; without an event, from its release.

    What was never chosen, and of which nobody says when it came out, has age 0; so has what is yet to come out. Of a
    year its last day counts, as long as the night lies after it.

    Raises
    ------
    ConfigError
        `publish.released` is no column of the items, or holds neither times nor years.
    """
    first = np.full(len(dataset.item_ids), dataset.until, np.int64)
    if config.released is not None:
        first = _released(dataset, items, config.released)
    known = dataset.known_items
    first[known] = dataset.until
    np.minimum.at(first, dataset.item, dataset.ts)
    return (np.maximum(dataset.until - first, 0) / SECONDS_A_DAY).astype(np.float32)


def _released(dataset: Dataset, items: Path, column: str) -> npt.NDArray[np.int64]:
    """(items,) seconds since the epoch; the end of the night where it is not known."""
    if column not in (columns := pq.read_schema(items).names):
        near = difflib.get_close_matches(column, columns, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(columns)}"
        raise ConfigError(f"publish.released: the items have no column {column!r}; {hint}")
    values = pd.read_parquet(items, columns=[ITEM_ID, column]).set_index(ITEM_ID)[column].reindex(dataset.item_ids)
    if pd.api.types.is_datetime64_any_dtype(values):
        seconds = (pd.to_datetime(values, utc=True) - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)
    elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        seconds = _ends_of_years(values.to_numpy(np.float64, na_value=np.nan))
    else:
        raise ConfigError(
            f"publish.released: {column!r} holds neither times nor years; say `type: time` for it in items.columns"
        )
    return np.where(seconds < dataset.until, seconds, dataset.until).astype(np.int64)


def _ends_of_years(years: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Seconds since the epoch at the end of each year; NaN for what is none."""
    ends = np.full(len(years), np.nan)
    known = (years >= 1) & (years < _LAST_YEAR)
    following = years[known].astype(np.int64) - _EPOCH_YEAR + 1
    ends[known] = following.astype("datetime64[Y]").astype("datetime64[s]").astype(np.int64)
    return ends


def _present(items: Path, names: tuple[str, ...]) -> list[str]:
    columns = set(pq.read_schema(items).names)
    return [name for name in names if name in columns]


def _codes(table: pd.DataFrame, name: str) -> npt.NDArray[np.int32]:
    """(items,) a code for each value; of a list its first counts."""
    if name not in table.columns:
        return np.full(len(table), -1, np.int32)
    firsts = [next(iter(value), None) if isinstance(value, np.ndarray) else value for value in table[name]]
    return pd.factorize(np.array(firsts, object))[0].astype(np.int32)
