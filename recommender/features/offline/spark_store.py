"""Feast's own offline store over Spark, with what it gets wrong mended."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from recommender.errors import NotReadyError

with warnings.catch_warnings():  # importing Feast turns every library's deprecation warnings on
    from feast.errors import DataSourceNotFoundException
    from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
        SparkOfflineStore,
        SparkOfflineStoreConfig,
        SparkRetrievalJob,
    )
    from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
    from feast.infra.offline_stores.offline_store import RetrievalJob

__all__ = ["LakeSparkOfflineStore", "LakeSparkOfflineStoreConfig", "SparkSource"]

warnings.filterwarnings("ignore", "The spark (data source|offline store)", RuntimeWarning)  # is experimental, it says
# it logs the stack of errors that it raises
logging.getLogger("feast.infra.offline_stores.contrib.spark_offline_store.spark_source").setLevel(logging.CRITICAL)

_KEY_ENDS = " AS STRING),"
"""In Feast's query, after each key of what identifies an entity row; the row's instant follows the last."""


class LakeSparkOfflineStoreConfig(SparkOfflineStoreConfig):
    """Chooses this store in Feast's configuration."""

    type: Literal["recommender.features.offline.spark_store.LakeSparkOfflineStore"] = (
        "recommender.features.offline.spark_store.LakeSparkOfflineStore"
    )


class LakeSparkOfflineStore(SparkOfflineStore):
    """`SparkOfflineStore` that tells rows of several keys apart and says when there are no snapshots."""

    @staticmethod
    def get_historical_features(*asked: Any, **named: Any) -> RetrievalJob:
        """Each entity row with the last snapshot at or before its instant of each view; rows keep no order.

        Raises
        ------
        NotReadyError
            A view has no snapshots.
        """
        with _reading():
            job = SparkOfflineStore.get_historical_features(*asked, **named)
        if isinstance(job, SparkRetrievalJob):
            # Feast joins keys without anything between: ("a", "bc") would be ("ab", "c")
            job.query = job.query.replace(_KEY_ENDS, f"{_KEY_ENDS} '\\u0000',")
        return job

    @staticmethod
    def pull_latest_from_table_or_query(*asked: Any, **named: Any) -> RetrievalJob:
        """The last row of every entity with a timestamp from `start_date` to `end_date`, both included.

        Raises
        ------
        NotReadyError
            There are no snapshots.
        """
        with _reading():
            return SparkOfflineStore.pull_latest_from_table_or_query(*asked, **named)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except DataSourceNotFoundException as error:
        path = str(error).partition("'")[2].partition("'")[0]
        raise NotReadyError(f"{path} can't be read: run `recommender run features` for a night first") from None
