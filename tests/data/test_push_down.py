"""Great Expectations on DuckDB says what it says on a frame of the same rows in memory."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import duckdb
import great_expectations as gx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.data.quality import push_down
from recommender.data.quality.push_down import measure


@pytest.fixture(scope="module")
def context() -> Any:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


FRAME = pd.DataFrame(
    {
        "id": ["a", "b", "b", None, "it's", "Ünï", ""],
        "number": [1.0, -2.5, None, 4.0, 4.0, 1e9, 0.0],
        "other": [1.0, -3.0, 0.0, 5.0, None, 1e9, 0.0],
        "ts": pd.to_datetime(["2020-01-01", "1956-11-01", None, *["2026-01-10 23:59:59"] * 4], format="ISO8601"),
        "odd name": ["x", "x", "y", "y", "z", None, "x"],
    }
)
START, END = datetime(1990, 1, 1), datetime(2026, 1, 11)
SUITE: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_not_be_null", {"column": "id"}),
    ("expect_column_values_to_not_be_null", {"column": "id", "mostly": 0.8}),
    ("expect_column_values_to_be_null", {"column": "number"}),
    ("expect_column_values_to_be_unique", {"column": "id"}),
    ("expect_column_values_to_be_between", {"column": "number", "min_value": 0, "max_value": 10}),
    ("expect_column_values_to_be_between", {"column": "number", "min_value": -2.5, "strict_min": True}),
    ("expect_column_values_to_be_between", {"column": "ts", "min_value": START, "max_value": END, "strict_max": True}),
    ("expect_column_value_lengths_to_be_between", {"column": "id", "min_value": 1, "max_value": 3}),
    ("expect_column_value_lengths_to_equal", {"column": "id", "value": 1}),
    ("expect_column_values_to_be_in_set", {"column": "id", "value_set": ["a", "b", "it's"]}),
    ("expect_column_values_to_not_be_in_set", {"column": "odd name", "value_set": ["x"]}),
    ("expect_column_values_to_match_regex", {"column": "id", "regex": "[ab]"}),
    ("expect_column_values_to_match_regex", {"column": "id", "regex": "^.$"}),
    ("expect_column_values_to_not_match_regex", {"column": "id", "regex": "t's"}),
    ("expect_column_values_to_match_regex_list", {"column": "id", "regex_list": ["a", "b$"]}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "number", "column_B": "other", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
    ),
    ("expect_column_pair_values_to_be_equal", {"column_A": "number", "column_B": "other"}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["id", "number"]}),
    ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["number", "other"]}),
    ("expect_table_row_count_to_be_between", {"min_value": 8}),
    ("expect_table_row_count_to_equal", {"value": 7}),
    ("expect_table_column_count_to_equal", {"value": 5}),
    ("expect_table_columns_to_match_set", {"column_set": ["id", "number"], "exact_match": False}),
    ("expect_column_to_exist", {"column": "odd name"}),
    ("expect_column_max_to_be_between", {"column": "number", "max_value": 5}),
    ("expect_column_min_to_be_between", {"column": "number", "min_value": -3}),
    ("expect_column_mean_to_be_between", {"column": "other", "max_value": 0}),
    ("expect_column_median_to_be_between", {"column": "number", "max_value": 3}),
    ("expect_column_sum_to_be_between", {"column": "other", "min_value": 0}),
    ("expect_column_stdev_to_be_between", {"column": "number", "max_value": 1e10}),
    ("expect_column_unique_value_count_to_be_between", {"column": "id", "max_value": 4}),
    ("expect_column_proportion_of_unique_values_to_be_between", {"column": "id", "min_value": 0.9}),
    ("expect_column_distinct_values_to_be_in_set", {"column": "odd name", "value_set": ["x", "y"]}),
    ("expect_column_distinct_values_to_contain_set", {"column": "odd name", "value_set": ["x", "y"]}),
    ("expect_column_most_common_value_to_be_in_set", {"column": "odd name", "value_set": ["x"]}),
    ("expect_column_values_to_be_increasing", {"column": "number"}),
    ("expect_column_values_to_match_strftime_format", {"column": "id", "strftime_format": "%Y"}),
]


def built(entries: list[tuple[str, dict[str, Any]]]) -> Any:
    known = {
        kind.expectation_type: kind for kind in vars(gx.expectations).values() if hasattr(kind, "expectation_type")
    }
    return gx.ExpectationSuite("suite", [known[name](**arguments) for name, arguments in entries])


def in_memory(frame: pd.DataFrame, suite: Any, context: Any) -> Any:
    asset = context.data_sources.add_or_update_pandas("memory").add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    return batch.validate(suite, result_format="BASIC")


@pytest.mark.parametrize(("name", "arguments"), SUITE, ids=[name for name, _ in SUITE])
def test_duckdb_finds_what_pandas_finds(
    name: str, arguments: dict[str, Any], connection: duckdb.DuckDBPyConnection, context: Any
) -> None:
    connection.register("rows", FRAME)
    found = measure(connection, "rows", built([(name, arguments)]), context)
    expected = in_memory(FRAME, built([(name, arguments)]), context)
    assert found.results[0].success == expected.results[0].success
    counts = ("element_count", "unexpected_count", "missing_count")
    for count in counts:
        assert found.results[0].result.get(count) == expected.results[0].result.get(count), count
    for seen, wanted in [(one.results[0].result.get("observed_value") for one in (found, expected))]:
        assert seen == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)


@given(
    st.lists(
        st.tuples(
            st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
            st.none() | st.floats(-10, 10),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=15, deadline=None)
def test_every_row_is_counted(rows: list[tuple[str | None, float | None]]) -> None:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = built(
        [
            ("expect_column_values_to_not_be_null", {"column": "id"}),
            ("expect_column_values_to_be_unique", {"column": "id"}),
            ("expect_column_values_to_be_between", {"column": "number", "min_value": 0}),
            ("expect_column_value_lengths_to_be_between", {"column": "id", "min_value": 1, "max_value": 2}),
        ]
    )
    with duckdb.connect() as connection:
        connection.execute("create table rows (id varchar, number double)")
        connection.executemany("insert into rows values (?, ?)", rows)
        found = measure(connection, "rows", suite, context)
    ids = [name for name, _ in rows if name is not None]
    assert [one.result["unexpected_count"] for one in found.results] == [
        len(rows) - len(ids),
        sum(ids.count(name) > 1 for name in ids),
        sum(number is not None and number < 0 for _, number in rows),
        sum(not 1 <= len(name) <= 2 for name in ids),
    ]


def test_it_runs_on_the_connection_itself(connection: duckdb.DuckDBPyConnection, context: Any) -> None:
    connection.execute("create temp view \"odd 'view'\" as select range as id from range(3)")
    suite = built([("expect_column_values_to_be_between", {"column": "id", "max_value": 1})])
    assert measure(connection, "odd 'view'", suite, context).results[0].result["unexpected_count"] == 1
    assert connection.execute("select 1").fetchone() == (1,), "the connection stays open"


def test_one_error_leaves_the_others_their_results(connection: duckdb.DuckDBPyConnection, context: Any) -> None:
    connection.execute("create table rows as select 'text' as id, [1] as list")
    suite = built(
        [
            ("expect_column_values_to_not_be_null", {"column": "id"}),
            ("expect_column_values_to_be_in_set", {"column": "list", "value_set": ["one"]}),
            ("expect_column_value_lengths_to_equal", {"column": "id", "value": 4}),
        ]
    )
    found = {one.expectation_config.type: one for one in measure(connection, "rows", suite, context).results}
    assert found["expect_column_values_to_not_be_null"].success
    assert found["expect_column_value_lengths_to_equal"].success
    assert "ConversionException" in str(found["expect_column_values_to_be_in_set"].exception_info)


def test_what_has_no_sql_form_needs_few_rows(
    connection: duckdb.DuckDBPyConnection, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.register("rows", FRAME)
    monkeypatch.setattr(push_down, "IN_MEMORY_ROWS", 6)
    [result] = measure(connection, "rows", built([SUITE[-1]]), context).results
    assert not result.success
    assert "up to 6 rows, and there are 7" in str(result.exception_info)
