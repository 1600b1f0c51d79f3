"""What a profile may say about lists, and what it is told about a filter that can't be one."""

import pytest
from pydantic import ValidationError

from recommender.config.conditions import parse
from recommender.config.publish import Publish
from recommender.config.section import first_problem


@pytest.mark.parametrize(
    ("text", "columns", "of_users"),
    [
        ("in_stock and not explicit", ("in_stock", "explicit"), ()),
        ("countries is null or list_contains(countries, users.country)", ("countries",), ("country",)),
        ("items.a = Users.B and A < 3", ("A",), ("B",)),
        ("\"odd name\" like 'users.country;%' -- why", ("odd name",), ()),
        ("list_filter(tags, lambda x: x > users.age) = other", ("tags", "other"), ("age",)),
        ("[x for x in tags if x > least] = tags", ("tags", "least"), ()),
        ("details.weight.grams < 100 and until >= ds", ("details", "until", "ds"), ()),
        ("true", (), ()),
    ],
)
def test_what_a_condition_names(text: str, columns: tuple[str, ...], of_users: tuple[str, ...]) -> None:
    found = parse(text)
    assert (found.columns, found.user_columns) == (columns, of_users)
    assert Publish(filters=[text]).filters == (text,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no SQL condition"),
        ("in_stock and", "is no SQL condition"),
        ("a) or (b", "is no SQL condition"),
        ("true) union select (1", "is no SQL condition"),
        ("a; drop table items", "is no SQL condition"),
        ("a; select 1", "is no SQL condition"),
        ("a limit 1", "is no SQL condition"),
        ("a /* b", "is no SQL condition"),
        ("select 1", "is no SQL condition"),
        ("a in (select a from other)", "asks another table"),
        ("exists(from 'file.parquet')", "asks another table"),
        ("max(price) > 3", "max() sums up rows"),
        ("row_number() over () < 3", "looks at other items"),
        ("columns(*)", "names no columns"),
        ("price > ?", "has a parameter"),
        ("users", "names the users, but none of their columns"),
        ("until > current_date", "would not be the same on every run: current_date; the night's date is ds"),
        ("until > now()", "would not be the same on every run: now()"),
        ("age(until) > interval 3 days", "would not be the same on every run: age()"),
        ("random() < 0.5", "would not be the same on every run: random()"),
    ],
)
def test_what_is_no_condition_over_one_item_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Publish(filters=["true", text])
    line = first_problem(refused.value)
    assert line.startswith(f"filters.1: {text!r} ")
    assert problem in line
    assert "\n" not in line
