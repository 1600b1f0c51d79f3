"""What models are compared on: a world to learn from, and what its users went on to choose."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from recommender import pipeline
from recommender.config.profile import Profile
from recommender.config.settings import load_settings
from recommender.data.dataset import SECONDS_A_DAY, Dataset, Past, TrainingRows, Truth, night_end
from recommender.errors import ConfigError

SOME_NIGHT = date(2020, 1, 1)
"""Of sets that don't say when anything happened."""
MONTH = 31


@dataclass(frozen=True, eq=False)
class Problem:
    """One set, cut."""

    name: str
    profile: Profile
    dataset: Dataset
    rows: TrainingRows
    truth: Truth
    past: Past | None = None


@contextmanager
def opened(name: str) -> Iterator[Problem]:
    """A problem by its name in `models.yaml`.

    Raises
    ------
    ConfigError
        RECOMMENDER_SHARED_DATA does not lead to the set.
    """
    shared = os.environ.get("RECOMMENDER_SHARED_DATA")
    if not shared or not Path(shared).is_dir():
        raise ConfigError("RECOMMENDER_SHARED_DATA does not name a folder with the real data sets")
    if name in _BY_TIME:
        with _by_time(name, Path(shared)) as problem:
            yield problem
    else:
        yield _without_time(name, Path(shared) / "bench" / name)


_BY_TIME = {"lfm": ("music", date(2014, 4, 30)), "ml1m": ("films", date(2000, 11, 30))}


@contextmanager
def _by_time(name: str, shared: Path) -> Iterator[Problem]:
    """Everything known at a night's end, and the new choices of the month after it; through the lake and Feast."""
    from recommender.evaluation.published import choices_after
    from recommender.features.loading import load_dataset, training_rows
    from recommender.features.store import feature_store
    from recommender.nightly.past import LakePast
    from recommender.storage.lake import Lake
    from recommender.storage.postgres import libpq_url

    profile, night = _BY_TIME[name]
    settings = load_settings(profile, shared / name)
    lake = Lake(settings.lake)
    if night not in lake.nights("item_features"):
        pipeline.ingest(settings, night)
        pipeline.features(settings, night)
    store = feature_store(settings, libpq_url(settings))
    dataset = load_dataset(lake, settings.profile, night, known=night)
    rows = training_rows(store, settings.profile, dataset)
    truth = choices_after(settings, dataset, night + timedelta(days=MONTH))
    yield Problem(name, settings.profile, dataset, rows, truth, LakePast(lake, settings.profile, store, night, night))


def _without_time(name: str, folder: Path) -> Problem:
    """A published split of pairs: no times, no attributes."""
    if name == "lastfm-lightgcn":
        train, test = (_pairs_of_counts(folder / file) for file in ("data1.txt", "test1.txt"))
    else:
        train, test = (_pairs_of_lists(folder / f"{part}.txt.gz") for part in ("train", "test"))
    users, items = (np.unique(np.concatenate([train[:, side], test[:, side]])) for side in (0, 1))
    user, item = (np.searchsorted(ids, train[:, side]) for side, ids in ((0, users), (1, items)))
    order = np.lexsort((item, user))
    nothing = pd.DataFrame(index=pd.RangeIndex(len(train)))
    dataset = Dataset(
        ds=SOME_NIGHT,
        user_ids=_text("u", users),
        item_ids=_text("i", items),
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        ts=np.full(len(train), int(night_end(SOME_NIGHT).timestamp()) - SECONDS_A_DAY, np.int64),
        weight=np.ones(len(train), np.float32),
        user_features=pd.DataFrame(index=pd.RangeIndex(len(users))),
        item_features=pd.DataFrame(index=pd.RangeIndex(len(items))),
    )
    chosen = sparse.csr_matrix(
        (np.ones(len(test), np.float32), (np.searchsorted(users, test[:, 0]), np.searchsorted(items, test[:, 1]))),
        shape=(len(users), len(items)),
    )
    chosen.data[:] = 1.0
    judged = np.flatnonzero(np.diff(chosen.indptr))
    return Problem(
        name,
        _PLAIN,
        dataset,
        TrainingRows(np.arange(len(train), dtype=np.int64), nothing, nothing),
        Truth(judged, chosen[judged]),
    )


_PLAIN = Profile.model_validate(
    {
        "name": "pairs",
        "events": {"path": "none.csv", "columns": {"user_id": "user", "item_id": "item", "ts": "ts"}},
        "features": {"user": [], "item": []},
    }
)


def _pairs_of_lists(path: Path) -> np.ndarray:
    """(pairs, 2) of lines `user item item …`."""
    pairs = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            user, *items = map(int, line.split())
            pairs += [(user, item) for item in items]
    return np.unique(np.array(pairs, np.int64), axis=0)


def _pairs_of_counts(path: Path) -> np.ndarray:
    """(pairs, 2) of lines `user item count`."""
    return np.unique(np.loadtxt(path, np.int64, usecols=(0, 1)), axis=0)


def _text(prefix: str, numbers: np.ndarray) -> np.ndarray:
    """Ids that sort as their numbers do."""
    return np.array([f"{prefix}{number:07}" for number in numbers.tolist()], dtype=object)
