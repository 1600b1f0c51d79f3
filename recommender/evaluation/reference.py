"""What a model showed and what people chose at its verdict: what later nights are compared with.

Two samples, without an id of a user, beside the report: `shown.parquet` has a row for each item of some users' lists,
`choices.parquet` one for each item that they went on to choose. Rows of one user don't stand together.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import rankdata

from recommender.columns import CATEGORY, CREATOR
from recommender.data.dataset import SECONDS_A_DAY, Dataset, Truth
from recommender.evaluation.groups import Groups
from recommender.retrieval.exact import TopK
from recommender.storage.lake import replacing

SHOWN = 20
"""Ranks of each list."""
NEW_DAYS = 30
"""An item is new for so long after its first event."""
_MOST_USERS = 5_000
_SEED = 17
_USERS = b"users"
_FILES = ("shown.parquet", "choices.parquet")


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of some users."""

    rows: pd.DataFrame
    users: int
    """How many they are of: rows of one user are not independent."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What a later night is compared with."""

    shown: Sample
    choices: Sample


def take_reference(top: TopK, truth: Truth, dataset: Dataset) -> Reference:
    """What a model shows the users of a truth, and what these chose."""
    return Reference(shown_frame(top, truth.users, dataset), choices_frame(truth, dataset))


def shown_frame(top: TopK, users: npt.NDArray[np.int64], dataset: Dataset) -> Sample:
    """A row a sampled user and rank of at most `SHOWN`, by rank.

    `rank` (from 1); `score`; `standard_score`, the score less the list's mean, in standard deviations of the list;
    `popularity`, the share of known items with fewer events, half of those with as many; `age_days` and
    `days_since_last_event`, since the item's first and last; and where items have them `category`, the first one, and
    `knows_creator`, whether the user has met an item of the creator.

    Parameters
    ----------
    top
        Lists of the `users`, indices of the data set.
    """
    drawn = _draw(len(users))
    items, scores = top.items[drawn, :SHOWN], top.scores[drawn, :SHOWN].astype(np.float64)
    listed = items >= 0
    columns = {
        "rank": np.broadcast_to(np.arange(1, items.shape[1] + 1), items.shape),
        "score": scores,
        "standard_score": _standardised(scores, listed),
    }
    if (creators := Groups.of(dataset.item_features, CREATOR)) is not None:
        columns["knows_creator"] = creators.met(items, dataset.seen[users[drawn]])
    rows = pd.DataFrame({name: values[listed] for name, values in columns.items()})
    rows = pd.concat([rows, _described(items[listed], dataset)], axis="columns")
    return Sample(_ordered(rows, ["rank", "score", "popularity"]), len(drawn))


def choices_frame(truth: Truth, dataset: Dataset) -> Sample:
    """A row an item that a sampled user chose: as in `shown_frame`, and `is_new`, up to `NEW_DAYS` old; by age."""
    drawn = _draw(len(truth.users))
    rows = _described(truth.relevant[drawn].indices, dataset)
    rows["is_new"] = rows["age_days"] <= NEW_DAYS
    return Sample(_ordered(rows, ["age_days", "popularity"]), len(drawn))


def write_reference(folder: Path, reference: Reference) -> None:
    """Keep both samples in the folder; each file appears by one rename."""
    for file, sample in zip(_FILES, (reference.shown, reference.choices), strict=True):
        table = pa.Table.from_pandas(sample.rows, preserve_index=False)
        described = table.replace_schema_metadata({_USERS: json.dumps(sample.users)})
        with replacing(folder / file) as scratch:
            pq.write_table(described, scratch, compression="zstd")


def read_reference(folder: Path) -> Reference | None:
    """What `write_reference` kept; None where there is none, or only half of one."""
    paths = [folder / file for file in _FILES]
    if not all(path.is_file() for path in paths):
        return None
    shown, choices = (_read(path) for path in paths)
    return Reference(shown, choices)


def _read(path: Path) -> Sample:
    table = pq.ParquetFile(path).read()
    return Sample(table.to_pandas(), int(json.loads(table.schema.metadata[_USERS])))


def _ordered(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """In an order that tells nothing of whose the rows are; numbers in single precision."""
    ordered = rows.sort_values(by, kind="stable", ignore_index=True)
    return ordered.astype(dict.fromkeys(ordered.select_dtypes(np.float64), np.float32))


def _draw(users: int) -> npt.NDArray[np.int64]:
    """Positions of the sampled users, ascending."""
    if users <= _MOST_USERS:
        return np.arange(users)
    return np.sort(np.random.default_rng(_SEED).choice(users, _MOST_USERS, replace=False))


def _standardised(scores: npt.NDArray[np.float64], listed: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(users, k) scores less their list's mean, in its standard deviations; 0 in a list of equal ones."""
    known = np.where(listed, scores, 0.0)
    counts = np.maximum(1, listed.sum(axis=1, keepdims=True))
    centred = np.where(listed, known - known.sum(axis=1, keepdims=True) / counts, 0.0)
    deviations = np.sqrt((centred**2).sum(axis=1, keepdims=True) / counts)
    return np.asarray(centred / np.where(deviations > 0, deviations, 1.0))


def _described(items: npt.NDArray[np.integer], dataset: Dataset) -> pd.DataFrame:
    """(n,) what is known of items: popularity, age, last event, category."""
    size = len(dataset.item_ids)
    counts = np.bincount(dataset.item, minlength=size)
    known = counts > 0
    popularity = np.full(size, np.nan)
    popularity[known] = (rankdata(counts[known]) - 0.5) / max(1, known.sum())
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(first, dataset.item, dataset.ts)
    np.maximum.at(last, dataset.item, dataset.ts)
    ages = {"age_days": first, "days_since_last_event": last}
    rows = {"popularity": popularity[items]}
    for name, instants in ages.items():
        rows[name] = np.where(known[items], (dataset.until - instants[items]) / SECONDS_A_DAY, np.nan)
    frame = pd.DataFrame(rows)
    if (categories := Groups.of(dataset.item_features, CATEGORY)) is not None:
        frame["category"] = _first_values(categories, size)[items]
    return frame


def _first_values(groups: Groups, size: int) -> npt.NDArray[np.object_]:
    """(items,) each item's first value; None where it has none."""
    values, found = groups.values, np.full(size, None, dtype=object)
    row, place = np.unique(values.row, return_index=True)
    found[row] = values.names.to_numpy(object)[values.code[place]]
    return found
