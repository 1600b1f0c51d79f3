"""What a profile may say about a source."""

from typing import Any

import pytest
from pydantic import ValidationError

from recommender.config.source import ColumnSource, Source
from recommender.config.yaml12 import load_yaml

COLUMNS = {"item_id": "id"}


def source(**says: Any) -> Source:
    return Source.model_validate({"path": "e.csv", "columns": COLUMNS, **says})


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ({"path": None}, "give either `path` or `database`"),
        ({"database": "SHOP"}, "give either `path` or `database`"),
        ({"path": None, "database": "SHOP"}, "exactly one of `table` and `query`"),
        ({"path": None, "database": "postgresql://me:secret@host/db", "table": "t"}, "database"),
        ({"path": "e.txt"}, "cannot tell the format of 'e.txt'"),
        ({"names": ["a"]}, "`names` is for files without a header"),
        ({"delimiter": "🎷🎷"}, "longer than 4 bytes"),
        ({"delimiter": ""}, "at least 1 character"),
        ({"encoding": "ebcdic"}, "'utf-8', 'utf-16' or 'latin-1'"),
        ({"limit": 0}, "greater than 0"),
        ({"columns": {"item_id": {}}}, "exactly one of `column`, `sql`, `value` and `parts`"),
        ({"columns": {"item_id": {"parts": {"year": "y"}}}}, "`parts` needs year, month and day"),
        ({"columns": {"item_id": {"column": "a", "zone": "Berlin"}}}, "no time zone is called 'Berlin'"),
        ({"columns": {"item_id": {"column": "a", "zone": "Europe/Berln"}}}, "did you mean 'Europe/Berlin'?"),
        ({"joins": [{"name": "a", "path": "a.csv", "on": {}, "columns": {"x": "min(x)"}}]}, "on"),
        ({"joins": [{"name": "a", "path": "a.csv", "on": {"a": "a"}, "columns": {"x": "min(x)"}}] * 2}, "same name"),
    ],
)
def test_what_makes_no_sense_is_refused(says: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        source(**says)


@pytest.mark.parametrize(
    "path", ["e.csv", "e.tsv.gz", "e.parquet", "e.ndjson.zst", "in", "in/*", "in/*.gz", "s3://b/in"]
)
def test_places_whose_format_the_files_tell(path: str) -> None:
    assert source(path=path).path == path


def test_on_is_a_word_in_yaml_too() -> None:
    text = "{path: e.csv, columns: {item_id: id}, joins: [{name: a, path: a.csv, on: {x: y}, columns: {n: count(*)}}]}"
    assert Source.model_validate(load_yaml(text)).joins[0].on == {"x": "y"}


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("title", ColumnSource(column="a"), "text"),
        ("year", ColumnSource(column="a"), "integer"),
        ("category", ColumnSource(column="a", separator="|"), "list"),
        ("mood", ColumnSource(column="a", type="number"), "number"),
        ("mood", ColumnSource(column="a"), "text"),
    ],
)
def test_a_column_has_the_type_that_it_or_its_name_says(name: str, column: ColumnSource, expected: str) -> None:
    assert source(columns={**COLUMNS, name: column}).type_of(name) == expected
