"""Expectations on every table and every feature snapshot, checked by Great Expectations, shown in its Data Docs.

Great Expectations runs where the rows are, in DuckDB. Of personal columns neither messages nor Data Docs show a value.
"""

import difflib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import duckdb

from recommender.config.profile import personal_columns
from recommender.config.settings import Settings
from recommender.data.quality.data_docs import data_docs_context, write_data_docs
from recommender.data.quality.push_down import measure
from recommender.data.quality.suites import Expected, load_suite
from recommender.data.session import working_database
from recommender.errors import ConfigError, DataQualityError
from recommender.storage.lake import Lake, parquet
from recommender.storage.quality_results import CheckResult, Severity

__all__ = ["CheckResult", "check", "validate", "validate_partition"]

_log = logging.getLogger(__name__)
# its import logs hundreds of lines; its errors quote values, which may be personal, and are in the results anyway
logging.getLogger("great_expectations").setLevel(logging.CRITICAL)

_COUNTS = ("element_count", "unexpected_count", "unexpected_percent", "missing_count", "missing_percent")
_DUCKDB_ERROR = re.compile(r"\(_?duckdb\.\w+\) ([^\n]*)")
"""SQLAlchemy adds the statement, its parameters and a link."""
_OF_TYPES = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")
_SEVERITIES: Mapping[Severity, str] = {"fail": "critical", "warn": "warning"}


def validate(
    table: str,
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    ds: date,
    settings: Settings,
    declared: Sequence[Expected] = (),
) -> list[CheckResult]:
    """Check every row of a table or view of the connection; add the result to Data Docs, log failed warnings.

    Parameters
    ----------
    table
        Which suite: `events`, `users`, `items`, `batch` or a table of features.
    relation
        Name of the table or view with the rows; columns that no expectation names are not read.
    declared
        Expectations beside those of the files.

    Raises
    ------
    DataQualityError
        An expectation of severity `fail` does not hold; the message names every such one, `results` holds them all.
    ConfigError
        The suite can't be read, or asks for what doesn't exist.
    """
    results = check(table, connection, relation, ds, settings, declared)
    broken = [result for result in results if not result.success]
    for result in broken:
        if result.severity == "warn":
            _log.warning("%s for %s: %s", table, ds, result.detail)
    failed = [result.detail for result in broken if result.severity == "fail"]
    if failed:
        count = f"{len(failed)} expectation{'s' if len(failed) > 1 else ''}"
        raise DataQualityError(f"{table} for {ds} failed {count}: {'; '.join(failed)}", results)
    return results


def validate_partition(
    table: str, lake: Lake, ds: date, settings: Settings, declared: Sequence[Expected] = ()
) -> list[CheckResult]:
    """`validate` a table's partition in the lake."""
    with working_database(settings.profile.engine) as connection:
        connection.execute(f"create view snapshot as from {parquet([lake.path(table, ds)])}")
        return validate(table, connection, "snapshot", ds, settings, declared)


def check(
    table: str,
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    ds: date,
    settings: Settings,
    declared: Sequence[Expected] = (),
) -> list[CheckResult]:
    """Check a relation against the table's suite, add the result to Data Docs, and return it in the suite's order.

    Expectations on columns that the relation lacks are left out where they are optional, and fail elsewhere.
    """
    import great_expectations as gx  # takes seconds: only a check needs it

    columns = connection.table(relation).columns
    expected = [
        _possible(entry, columns)
        for entry in load_suite(table, columns, ds, settings, declared)
        if not entry.optional or set(entry.columns) <= set(columns)
    ]
    context = data_docs_context(settings)
    suite = gx.ExpectationSuite(table, [_built(entry, position) for position, entry in enumerate(expected)])
    found = measure(connection, relation, suite, context)
    personal = personal_columns(settings.profile, table) & set(columns)
    results: dict[int, CheckResult] = {}
    for result in found.results:
        position = result.expectation_config.meta["entry"]
        entry = expected[position]
        if personal & set(entry.columns) or (personal and not entry.columns and not entry.is_of_the_table):
            _withhold_values(entry, result)
        results[position] = _read(table, entry, result)
    write_data_docs(suite, found, ds, settings)
    return [results[position] for position in sorted(results)]


def _possible(entry: Expected, columns: Iterable[str]) -> Expected:
    """The entry, or where it names a missing column, that this column exists."""
    missing = [name for name in entry.columns if name not in columns]
    if not missing:
        return entry
    return replace(entry, expectation="expect_column_to_exist", arguments={"column": missing[0]})


def _built(entry: Expected, position: int) -> Any:
    """The expectation as an object of Great Expectations."""
    from great_expectations import expectations

    kinds: list[Any] = [kind for kind in vars(expectations).values() if hasattr(kind, "expectation_type")]
    known = {kind.expectation_type: kind for kind in kinds}
    if entry.expectation not in known:
        near = difflib.get_close_matches(entry.expectation, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{entry.where}: no such expectation{hint}")
    try:
        return known[entry.expectation](
            **entry.arguments,
            severity=_SEVERITIES[entry.severity],
            notes=entry.note or None,
            meta={"entry": position},
        )
    except (ValueError, TypeError) as error:  # its ValidationError is a ValueError
        errors = error.errors() if hasattr(error, "errors") else [{"loc": (), "msg": str(error)}]
        field = ".".join(str(part) for part in errors[0]["loc"] if part != "__root__")
        raise ConfigError(f"{entry.where}: {field + ': ' if field else ''}{errors[0]['msg']}") from None


def _withhold_values(entry: Expected, result: Any) -> None:
    says_no_value = entry.is_of_the_table or entry.expectation in _OF_TYPES
    kept = (*_COUNTS, "observed_value") if says_no_value else _COUNTS
    result.result = {name: value for name, value in result.result.items() if name in kept}
    if _error(result):
        result.exception_info = {
            "raised_exception": True,
            "exception_message": "withheld: it may quote personal values",
            "exception_traceback": "",
        }


def _read(table: str, entry: Expected, result: Any) -> CheckResult:
    measured = result.result
    observed = ""
    if measured.get("unexpected_count") is not None:
        observed = f"{measured['unexpected_count']:,} of {measured['element_count']:,} rows"
    elif measured.get("observed_value") is not None:
        observed = _shown(measured["observed_value"])
    detail = _in_words(result)
    if not result.success:
        if entry.expectation == "expect_column_to_exist":
            detail = f"column {entry.arguments['column']} is missing"
        examples = list(dict.fromkeys(map(_shown, measured.get("partial_unexpected_list", ()))))
        such = f", e.g. {', '.join(examples)}" if examples else ""
        if examples and measured["element_count"] == 1:
            detail += f" (found {examples[0]})"
        elif observed:
            detail += f" ({observed}{such})" if "unexpected_count" in measured else f" (found {observed})"
        elif error := _error(result):
            detail += f" ({error})"
        detail += f": {entry.note}" if entry.note else ""
    return CheckResult(
        table, entry.expectation, entry.arguments.get("column"), entry.severity, bool(result.success), observed, detail
    )


def _in_words(result: Any) -> str:
    """The expectation as Data Docs phrase it."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    rendered = InlineRenderer(render_object=result.expectation_config).get_rendered_content()[0].value
    parameters = {
        name: _shown(parameter["value"] if isinstance(parameter, dict) else parameter.value)
        for name, parameter in (rendered.params or {}).items()
    }
    text = re.sub(r"\$(\w+)", lambda match: parameters.get(match[1], match[0]), rendered.template or "")
    if not text:
        return str(result.expectation_config.type)
    if text.startswith("Must"):  # of a table: "Must have …"
        text = "must" + text.removeprefix("Must")
    return text.removesuffix(".")


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return str(value).removesuffix("+00:00").removesuffix(" 00:00:00")
    if isinstance(value, bool | str):
        return str(value) or "''"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _error(result: Any) -> str:
    """What stopped an expectation from being looked at: one error, or one a metric."""
    info = result.exception_info or {}
    errors = [info] if "raised_exception" in info else [error for error in info.values() if isinstance(error, dict)]
    raised = [error for error in errors if error.get("raised_exception")]
    if not raised:
        return ""
    message = str(raised[0].get("exception_message") or "it raised an error")
    found = _DUCKDB_ERROR.search(message)
    return " ".join((found[1] if found else message).split())
