"""How the published lists did: judged on what people chose afterwards, read from the source and not kept."""

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import psycopg

from recommender.columns import ITEM_ID, TS, USER_ID
from recommender.config.settings import Settings
from recommender.data.dataset import Dataset, Truth, night_end
from recommender.data.sources import open_source
from recommender.errors import NotReadyError
from recommender.evaluation.findings import Figures
from recommender.evaluation.metrics import coverage, per_user_metrics
from recommender.features.loading import load_dataset, truth_of
from recommender.storage.lake import Lake


def evaluate_published(settings: Settings, connection: psycopg.Connection, ds: date, last: date) -> Figures:
    """Mean metrics of the publication of `ds` over users with new choices up to the end of `last`.

    New choices are of users and items seen before, and pairs not seen before; the ranking is the published
    list. Raises `NotReadyError` where `ds` has no publication or the source has no later events.
    """
    row = connection.execute(
        "select publication_id from reco.publications where ds = %s and status in ('live', 'retired') order by 1 desc",
        [ds],
    ).fetchone()
    if row is None:
        raise NotReadyError(f"no publication of {ds} is kept: run `recommender nightly --ds {ds}` first")
    dataset = load_dataset(Lake(settings.lake), settings.profile, ds, known=ds)
    truth = choices_after(settings, dataset, last)
    if len(truth.users) == 0:
        raise NotReadyError(f"{settings.data} has no new choices of known users between {ds} and {last}")
    lists = connection.execute(
        """select user_id, item_ids from reco.recommendation_lists
           where publication_id = %s and user_id = any (%s)""",
        [row[0], dataset.user_ids[truth.users].tolist()],
    ).fetchall()
    position = {user_id: number for number, user_id in enumerate(dataset.user_ids[truth.users])}
    items = pd.Index(dataset.item_ids)
    ks = sorted({*settings.profile.evaluation.k, 20})
    ranked = np.full((len(truth.users), max(ks)), -1, np.int32)
    for user_id, item_ids in lists:
        top = items.get_indexer(pd.Index(item_ids[: max(ks)], dtype=object))
        ranked[position[user_id], : len(top)] = top
    means = {name: float(values.mean()) for name, values in per_user_metrics(ranked, truth.relevant, ks).items()}
    shares = {f"coverage@{k}": coverage(ranked, k, int(dataset.known_items.sum())) for k in ks}
    return {**means, **shares, "users": float(len(truth.users))}


def choices_after(settings: Settings, dataset: Dataset, last: date) -> Truth:
    """New choices up to the end of `last`, after the data set's night, read from the source."""
    later = _events_between(settings, dataset.ds, last)
    return truth_of(dataset, later[USER_ID].to_numpy(object), later[ITEM_ID].to_numpy(object))


def _events_between(settings: Settings, ds: date, last: date) -> pd.DataFrame:
    reader = duckdb.connect()
    reader.execute("set timezone = 'UTC'; set enable_progress_bar = false")
    open_source(reader, settings.profile, "events", settings.data)
    bounds = [night_end(ds).replace(tzinfo=None), night_end(last).replace(tzinfo=None)]
    query = f"select {USER_ID}, {ITEM_ID} from events where {TS} >= ? and {TS} < ?"
    return reader.execute(query, bounds).df()
