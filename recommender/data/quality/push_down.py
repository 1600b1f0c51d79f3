"""Great Expectations on a relation of DuckDB: its metrics become a few SQL queries, and no row leaves the database."""

from collections.abc import Iterable
from typing import Any

import duckdb

from recommender.data.quality.duckdb_dialect import engine_on

IN_MEMORY_ROWS = 1_000_000
"""Some expectations (JSON schemas, `strftime` formats, increasing values …) have no SQL form: Great Expectations looks
at them in pandas, for which the rows must fit into memory."""
_NO_SQL_FORM = "No provider found for"
_EXAMPLES = 3


def measure(connection: duckdb.DuckDBPyConnection, relation: str, suite: Any, context: Any) -> Any:
    """Great Expectations' result of a suite on every row of a table or view of this connection.

    An error in one expectation leaves the others their results. Runs on the connection itself: an open transaction of
    the caller is aborted by an expectation that DuckDB can't evaluate.
    """
    from great_expectations import __version__
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
    from great_expectations.validator.validation_statistics import calc_validation_statistics

    results = _measured(_sql_validator(connection, relation, context), suite.expectation_configurations)
    for place, result in enumerate(results):
        if _NO_SQL_FORM in str(result.exception_info):
            results[place] = _measured_in_memory(connection, relation, result, context)
        elif _raised(result):  # alone, so that its message is not another one's
            alone = _sql_validator(connection, relation, context)
            results[place] = _measured(alone, [result.expectation_config])[0]
    statistics = calc_validation_statistics(results)
    return ExpectationSuiteValidationResult(
        results=results,
        success=statistics.success,
        suite_name=suite.name,
        statistics={name: value for name, value in statistics._asdict().items() if name != "success"},
        meta={
            "great_expectations_version": __version__,
            "batch_spec": {"data_asset_name": suite.name},
            "active_batch_definition": {"data_asset_name": suite.name},
        },
    )


def _measured(validator: Any, configurations: Iterable[Any]) -> list[Any]:
    wanted = {"result_format": "BASIC", "partial_unexpected_count": _EXAMPLES}
    results: list[Any] = validator.graph_validate(
        configurations=list(configurations), runtime_configuration={"result_format": wanted}
    )
    return results


def _measured_in_memory(connection: duckdb.DuckDBPyConnection, relation: str, result: Any, context: Any) -> Any:
    rows = connection.table(relation).shape[0]
    if rows <= IN_MEMORY_ROWS:
        validator = _pandas_validator(connection.table(relation).df(), context)
        return _measured(validator, [result.expectation_config])[0]
    message = f"it can only be looked at in memory, up to {IN_MEMORY_ROWS:,} rows, and there are {rows:,}"
    result.exception_info = {"raised_exception": True, "exception_message": message, "exception_traceback": ""}
    return result


def _raised(result: Any) -> bool:
    info = result.exception_info or {}
    return bool(info) and info.get("raised_exception") is not False


def _sql_validator(connection: duckdb.DuckDBPyConnection, relation: str, context: Any) -> Any:
    from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
    from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine

    engine = SqlAlchemyExecutionEngine(engine=engine_on(connection), create_temp_table=False)
    return _validator(engine, SqlAlchemyBatchData(engine, table_name=relation, create_temp_table=False), context)


def _pandas_validator(frame: Any, context: Any) -> Any:
    from great_expectations.execution_engine.pandas_batch_data import PandasBatchData
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine

    engine = PandasExecutionEngine()
    return _validator(engine, PandasBatchData(engine, frame), context)


def _validator(engine: Any, data: Any, context: Any) -> Any:
    from great_expectations.core.batch import Batch
    from great_expectations.validator.validator import Validator

    return Validator(execution_engine=engine, batches=[Batch(data=data)], data_context=context)
