"""What search reads: for each trigram the items whose title or creator has it, as `sql/0004_search.sql` defines."""

from collections.abc import Iterator

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.data.spelling import fold, search_form
from recommender.storage.copy_arrays import Buffer
from recommender.storage.copy_arrow import encode_rows

_TRIGRAMS = """list_distinct(flatten(list_transform(
    list_filter(string_split({phrase}, ' '), lambda word: word <> ''),
    lambda word: list_transform(range(1, length(word) + 2), lambda place: substr('  ' || word || ' ', place, 3)))))"""
"""`reco.trigrams` in DuckDB."""
_ENTRY = "(label << 16) | (least(len(own), 255) << 8) | least(len(every), 255)"
"""`reco.search_entry` in DuckDB."""
_BLOCK_ROWS = 1 << 14

POSTING_COLUMNS = ("publication_id", "trigram", "items", "entries")


def posting_blocks(
    publication_id: int, titles: npt.NDArray[np.object_], creators: npt.NDArray[np.object_]
) -> Iterator[Buffer]:
    """Rows of `reco.search_postings`, encoded for COPY: trigrams with the ascending entries of items that have them.

    An item's label is its position in `titles`.
    """
    items = pa.table(
        {
            "label": pa.array(range(len(titles)), pa.int64()),
            "form": pa.array([search_form(title or "") for title in titles], pa.string()),
            "folded": pa.array(
                [f"{fold(title or '')} {fold(creator or '')}" for title, creator in zip(titles, creators, strict=True)],
                pa.string(),
            ),
        }
    )
    with duckdb.connect() as connection:
        connection.register("items", items)
        found = connection.sql(
            f"""with sized as (
                    select label, {_TRIGRAMS.format(phrase="form")} as own, {_TRIGRAMS.format(phrase="folded")} as every
                    from items
                ), occurrence as (
                    select unnest(every) as trigram, {_ENTRY} as entry from sized
                )
                select {int(publication_id)}::bigint as publication_id, trigram, count(*)::integer as items,
                       list(entry order by entry) as entries
                from occurrence group by trigram"""
        ).to_arrow_table()
    for batch in found.to_batches(max_chunksize=_BLOCK_ROWS):
        yield encode_rows(batch)
