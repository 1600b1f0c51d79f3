"""Statements put together from odd names and texts mean what they say; errors give the reason and no value of a row."""

from pathlib import Path

import duckdb
import pytest

from recommender.storage.duckdb_sql import column_types, count_rows, literal, one_line, paths, quoted


@pytest.mark.parametrize("text", ["plain", "o'clock", 'say "hi"', "''", "a;b -- c", ""])
def test_odd_names_and_texts_stay_themselves(text: str) -> None:
    with duckdb.connect() as connection:
        name = f"column {text}"
        connection.execute(f"create table t as select {literal(text)} as {quoted(name)}")
        assert connection.execute(f"select {quoted(name)} from t").fetchall() == [(text,)]
        assert column_types(connection, "t") == {name: "VARCHAR"}
        assert count_rows(connection, f"t where {quoted(name)} = {literal(text)}") == 1


def test_files_with_quotes_in_their_names_are_read(tmp_path: Path) -> None:
    files = [tmp_path / "it's.csv", tmp_path / "plain.csv"]
    for file in files:
        file.write_text("a\n1\n")
    with duckdb.connect() as connection:
        assert count_rows(connection, f"read_csv({paths(files)})") == 2


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("cast(country as integer)", "to INT32 when casting from source column country"),
        ("cast(country as date)", "invalid date field format"),
        ("cast(country as decimal(4, 1))", "to DECIMAL"),
        ("cast(country as integer[])", "INTEGER[]"),
        ("cast(country as json)", "Malformed JSON"),
        ("strptime(country, '%d.%m.%Y')", "Could not parse string"),
        ("cast(age as tinyint)", "out of range for the destination type INT8"),
        ("age * age", "Overflow in multiplication of INT32"),
    ],
)
def test_the_reason_is_given_and_the_value_is_not(expression: str, kept: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("""create table users as select 'Zanzibar''s "land"' as country, 2000000001 as age""")
        with pytest.raises(duckdb.Error) as caught:
            connection.execute(f"select {expression} from users").fetchall()
    said = one_line(caught.value)
    assert kept in said
    assert not any(value in said for value in ("Zanzibar", "land", "2000000001"))


@pytest.mark.parametrize("column", ["contry", "age_2"])
def test_names_of_columns_are_shown(column: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("create table users as select 'x' as country, 1 as age_1")
        with pytest.raises(duckdb.Error) as caught:
            connection.execute(f"select {column} from users")
    assert f'"{column}"' in one_line(caught.value)
