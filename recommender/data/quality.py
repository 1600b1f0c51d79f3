"""Expectations on every table and every feature snapshot, checked by Great Expectations, shown in its Data Docs.

User attributes are personal: of them, and of user ids anywhere, neither messages nor Data Docs show a value.
"""

import difflib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from recommender.columns import USER_ID
from recommender.config.settings import Settings
from recommender.data.data_docs import data_docs_context, write_data_docs
from recommender.data.suites import Expected, Severity, load_suite
from recommender.errors import ConfigError, DataQualityError

_log = logging.getLogger(__name__)
logging.getLogger("great_expectations").setLevel(logging.WARNING)  # its import alone logs hundreds of lines

_PERSONAL_TABLES = ("users", "user_features")
_COUNTS = ("element_count", "unexpected_count", "unexpected_percent", "missing_count", "missing_percent")
_EXAMPLES = 3
_SEVERITIES: Mapping[Severity, str] = {"fail": "critical", "warn": "warning"}


@dataclass(frozen=True)
class CheckResult:
    """What became of one expectation."""

    table: str
    expectation: str
    column: str | None
    severity: Severity
    success: bool
    observed: str
    """`3 of 605 rows` or the value found; empty where nothing could be measured."""
    detail: str
    """The requirement in words, and what was found instead."""


def validate(table: str, frame: pd.DataFrame, ds: date, settings: Settings) -> list[CheckResult]:
    """Check a table and add the result to Data Docs; a failed warning is logged.

    Raises
    ------
    DataQualityError
        An expectation of severity `fail` does not hold; the message names every such one.
    ConfigError
        The suite can't be read, or asks for what doesn't exist.
    """
    results = check(table, frame, ds, settings)
    broken = [result for result in results if not result.success]
    for result in broken:
        if result.severity == "warn":
            _log.warning("%s for %s: %s", table, ds, result.detail)
    failed = [result.detail for result in broken if result.severity == "fail"]
    if failed:
        count = f"{len(failed)} expectation{'s' if len(failed) > 1 else ''}"
        raise DataQualityError(f"{table} for {ds} failed {count}: {'; '.join(failed)}")
    return results


def check(table: str, frame: pd.DataFrame, ds: date, settings: Settings) -> list[CheckResult]:
    """Check a table against its suite, add the result to Data Docs, and return it in the suite's order.

    Expectations on columns that the table lacks are left out where they are optional, and fail elsewhere.
    """
    import great_expectations as gx  # takes seconds: only a check needs it

    expected = [
        _possible(entry, frame)
        for entry in load_suite(table, frame.columns, ds, settings)
        if not entry.optional or set(entry.columns) <= set(frame.columns)
    ]
    context = data_docs_context(settings)
    suite = gx.ExpectationSuite(name=table)
    for position, entry in enumerate(expected):
        suite.add_expectation(_built(entry, position))
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe("night").get_batch({"dataframe": frame})
    found = batch.validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": _EXAMPLES})
    results: dict[int, CheckResult] = {}
    for result in found.results:
        position = result.expectation_config.meta["entry"]
        entry = expected[position]
        if table in _PERSONAL_TABLES or USER_ID in entry.columns:
            _withhold_values(entry, result)
        results[position] = _read(table, entry, result)
    write_data_docs(context, suite, found, ds, settings)
    return [results[position] for position in sorted(results)]


def _possible(entry: Expected, frame: pd.DataFrame) -> Expected:
    """The entry, or where it names a missing column, that this column exists; bounds in the column's time zone."""
    missing = [name for name in entry.columns if name not in frame.columns]
    if missing:
        return replace(entry, expectation="expect_column_to_exist", arguments={"column": missing[0]})
    aware = [name for name in entry.columns if isinstance(frame[name].dtype, pd.DatetimeTZDtype)]
    if not aware:
        return entry
    arguments = {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
        for name, value in entry.arguments.items()
    }
    return replace(entry, arguments=arguments)


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
    kept = _COUNTS if not entry.expectation.startswith("expect_table_") else (*_COUNTS, "observed_value")
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
        if observed:
            detail += f" ({observed}{such})" if "unexpected_count" in measured else f" (found {observed})"
        elif error := _error(result):
            detail += f" ({error})"
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
    return str(raised[0].get("exception_message") or "it raised an error") if raised else ""
