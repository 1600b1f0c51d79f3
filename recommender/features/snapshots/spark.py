"""Spark, started as the profile wants it: in local mode on this machine, or on a cluster that exists.

PySpark comes with the extra `spark` and is imported only where the profile asks for it.
"""

import importlib.util
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from recommender.config.profile import Engine
from recommender.errors import ConfigError, RecommenderError, first_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOGGING = Path(__file__).with_name("log4j2.properties")
_ECHOES = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
"""Loggers of PySpark that print every error a second time, with the query and the Java stack."""


@contextmanager
def spark_session(engine: Engine) -> "Iterator[SparkSession]":
    """A Spark application; one that runs in this process already is taken as it is and left running.

    Raises
    ------
    ConfigError
        PySpark or Java is missing.
    RecommenderError
        Spark doesn't start.
    """
    conf = spark_conf(engine)
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.logger import PySparkLogger
    from pyspark.sql import SparkSession

    for name in _ECHOES:
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
    running = SparkContext._active_spark_context is not None
    try:
        session = SparkSession.builder.config(conf=SparkConf().setAll(list(conf.items()))).getOrCreate()
    except (Py4JError, PySparkException) as error:
        raise RecommenderError(
            f"Spark doesn't start on {conf['spark.master']} ({_said(error)}): Spark 4 needs Java 17 or later, "
            "and engine.spark_master a cluster that answers"
        ) from None
    try:
        yield session
    finally:
        if not running:
            session.stop()


def spark_conf(engine: Engine) -> dict[str, str]:
    """Settings of the Spark application, the profile's own last.

    Raises
    ------
    ConfigError
        PySpark or Java is missing.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise ConfigError("engine.kind: spark needs PySpark: pip install 'nightly-recommender[spark]'")
    home = os.environ.get("JAVA_HOME")
    if shutil.which(Path(home, "bin", "java") if home else "java") is None:
        where = f"{home} (JAVA_HOME) has no bin/java" if home else "no `java` is on the PATH"
        raise ConfigError(f"engine.kind: spark needs Java 17, and {where}: install it, or set JAVA_HOME")
    conf = {
        "spark.app.name": "nightly-recommender",
        "spark.master": engine.spark_master or f"local[{engine.threads or '*'}]",
        "spark.driver.memory": f"{round(engine.memory_gb * 1024)}m",
        "spark.driver.maxResultSize": "0",  # a night's snapshot passes through the driver, whatever its size
        "spark.driver.defaultJavaOptions": f'"-Dlog4j2.configurationFile=file:{_LOGGING}"',
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.mergeSchema": "true",  # a feature declared later is missing in older snapshots
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    if engine.spark_master is None:
        conf |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        # Spark's 200 are meant for a cluster; here they are most of the time that a snapshot takes
        conf["spark.sql.shuffle.partitions"] = str(4 * (engine.threads or os.cpu_count() or 1))
    own = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in engine.spark.items()}
    return conf | own


def spark_backend(session: "SparkSession") -> ibis.BaseBackend:
    """Ibis over settings and views of its own: in the shared session Feast changes what a quoted name means."""
    from ibis.backends.pyspark import Backend

    class Spark(Backend):  # type: ignore[misc]
        def _create_cached_table(self, name: str, expr: ir.Table) -> ir.Table:
            """Ibis 12 doesn't hand Spark the tables in memory that a cached one is computed from."""
            self._run_pre_execute_hooks(expr)
            return super()._create_cached_table(name, expr)

    Spark.register_options()
    backend: ibis.BaseBackend = Spark().connect(session.newSession())
    return backend


def _said(error: Exception) -> str:
    """What Spark says, without the Java stack."""
    lines = [line.strip(": ") for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 and lines[0].startswith("An error occurred while calling") else first_line(error)
