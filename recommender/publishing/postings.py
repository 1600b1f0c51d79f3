"""What search reads: for each trigram the items whose title or creator has it, as `sql/0004_search.sql` defines."""

from collections.abc import Iterator

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.data.spelling import fold, search_form
from recommender.storage.copy_arrays import encode_bigint, encode_bigints, encode_int

_TRIGRAMS = """list_distinct(flatten(list_transform(
    list_filter(string_split({phrase}, ' '), lambda word: word <> ''),
    lambda word: list_transform(range(1, length(word) + 2), lambda place: substr('  ' || word || ' ', place, 3)))))"""
"""`reco.trigrams` in DuckDB."""
_ENTRY = "(label << 16) | (least(len(own), 255) << 8) | least(len(every), 255)"
"""`reco.search_entry` in DuckDB."""


COLUMNS = ("publication_id", "trigram", "items", "entries")


def posting_rows(
    publication_id: int, titles: npt.NDArray[np.object_], creators: npt.NDArray[np.object_]
) -> Iterator[list[bytes | None]]:
    """Rows of `reco.search_postings`, encoded for COPY."""
    identity = encode_bigint(publication_id)
    for trigram, entries in search_postings(titles, creators):
        yield [identity, trigram.encode(), encode_int(len(entries)), encode_bigints(entries)]


def search_postings(
    titles: npt.NDArray[np.object_], creators: npt.NDArray[np.object_]
) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Trigrams with their entries, ascending; an item's label is its position in `titles`."""
    items = pa.table(
        {
            "label": pa.array(range(len(titles)), pa.int64()),
            "form": [search_form(title or "") for title in titles],
            "folded": [
                f"{fold(title or '')} {fold(creator or '')}" for title, creator in zip(titles, creators, strict=True)
            ],
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
                select trigram, list(entry order by entry) as entries from occurrence group by trigram"""
        ).to_arrow_table()
        for batch in found.to_batches():
            trigrams, lists = batch.column(0).to_pylist(), batch.column(1)
            entries, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
            for trigram, start, end in zip(trigrams, offsets, offsets[1:], strict=False):
                yield trigram, entries[start:end]
