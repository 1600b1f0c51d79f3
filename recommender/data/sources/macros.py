"""SQL functions that the expressions of a profile may use, and those that the mapping itself uses."""

import duckdb

from recommender.data.spelling import fold


def create_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `fold(text)`, the same folding as `recommender.data.spelling.fold`, `most_frequent(list, n)`, and the
    mapping's own `clean_…`.
    """
    known = "select count(*) from duckdb_functions() where function_name = 'fold_letters'"
    if connection.execute(known).fetchall() == [(0,)]:
        connection.create_function("fold_letters", fold, ["VARCHAR"], "VARCHAR")
    # Python only sees what is not ASCII
    connection.execute(
        """create or replace temp macro fold(name) as case
               when strlen(name) = length(name) then trim(regexp_replace(lower(name), '[^0-9a-z]+', ' ', 'g'))
               else fold_letters(name) end"""
    )
    # trimming is slow, and few values need it: '!' is the first character that is no space
    connection.execute(
        """create or replace temp macro clean_text(value) as case
               when value < '!' or ends_with(value, ' ') then nullif(trim(value), '') else value end"""
    )
    connection.execute(
        """create or replace temp macro clean_distinct(list_) as nullif(
               list_filter(list_, lambda one, place: one is not null and list_position(list_, one) = place), [])"""
    )
    connection.execute(
        """create or replace temp macro clean_list(list_) as
               clean_distinct(list_transform(list_, lambda value: clean_text(replace(value, chr(0), ''))))"""
    )
    connection.execute(
        """create or replace temp macro most_frequent(list_, number) as list_transform(
               list_sort(list_transform(map_entries(list_aggregate(list_, 'histogram')),
                   lambda entry: struct_pack(less := -entry.value::bigint, one := entry.key)))[1:number],
               lambda entry: entry.one)"""
    )
