"""Rows of a publication's tables, encoded for COPY a block at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.publishing.content import Content, UserLists
from recommender.retrieval.exact import TopK
from recommender.storage import copy_arrow
from recommender.storage.copy_arrays import Buffer, TextPool, encode_bigint, encode_rows

LIST_COLUMNS = ("publication_id", "source", "reasons", "scores", "item_ids", "user_id")
REASON_COLUMNS = ("publication_id", "code", "text")
ITEM_COLUMNS = ("publication_id", "item_id", "label", "title", "creator", "hidden", "similar_ids", "similar_scores")

_BLOCK_ENTRIES = 1_000_000
"""Entries of lists that are encoded at one time: some 25 MB."""


def list_blocks(publication_id: int, lists: Sequence[UserLists], pool: TextPool) -> Iterator[Buffer]:
    """Of `reco.recommendation_lists` and `reco.challenger_lists`; `pool` has the items' ids.

    The arrays of `lists` may be mapped from files: of each only a block is in memory.
    """
    identity = encode_bigint(publication_id)
    for ranked in lists:
        source = ranked.source.encode()
        size = max(1, _BLOCK_ENTRIES // max(1, ranked.top.items.shape[1]))
        filled = _filled(ranked.top.items, size)
        for width in np.unique(filled)[::-1].tolist():
            rows = np.flatnonzero(filled == width)
            for start in range(0, len(rows), size):
                block = rows[start : start + size]
                scores = ranked.top.scores[block, :width]
                reasons = None if ranked.reasons is None else ranked.reasons[block, :width]
                yield encode_rows(
                    (identity, source, None) if reasons is None else (identity, source),
                    (scores,) if reasons is None else (reasons, scores),
                    pool,
                    ranked.top.items[block, :width],
                    ranked.user_ids[block],
                )


def reason_blocks(publication_id: int, texts: Sequence[str]) -> Iterator[Buffer]:
    """Of `reco.reason_texts`: sentence `n` has code `n + 1`."""
    codes = np.arange(1, len(texts) + 1, dtype=np.int32)
    yield _encoded(publication_id, code=codes, text=pa.array(texts, pa.string()))


def item_blocks(publication_id: int, content: Content) -> Iterator[Buffer]:
    """Of `reco.catalogue`."""
    ids = pa.array(content.item_ids, pa.string())
    hidden = np.zeros(len(ids), bool) if content.hidden is None else content.hidden
    size = max(1, _BLOCK_ENTRIES // max(1, content.similar.items.shape[1]))
    for start in range(0, len(ids), size):
        block = slice(start, start + size)
        similar_ids, similar_scores = _as_lists(content.similar, block, ids)
        yield _encoded(
            publication_id,
            item_id=ids[block],
            label=np.arange(start, min(start + size, len(ids)), dtype=np.int32),
            title=pa.array(content.titles[block], pa.string()),
            creator=pa.array(content.creators[block], pa.string()),
            hidden=pa.array(hidden[block]),
            similar_ids=similar_ids,
            similar_scores=similar_scores,
        )


def _filled(items: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.int64]:
    """(users,) length of each list."""
    counts = [(items[start : start + size] >= 0).sum(axis=1) for start in range(0, len(items), size)]
    return np.concatenate([np.empty(0, np.int64), *counts])


def _as_lists(top: TopK, block: slice, ids: pa.StringArray) -> tuple[pa.ListArray, pa.ListArray]:
    items, scores = top.items[block], top.scores[block]
    listed = items >= 0
    ends = pa.array(np.append(0, listed.sum(axis=1).cumsum()), pa.int32())
    values = pa.array(scores[listed], pa.float32())
    return pa.ListArray.from_arrays(ends, ids.take(pa.array(items[listed]))), pa.ListArray.from_arrays(ends, values)


def _encoded(publication_id: int, **columns: pa.Array | npt.NDArray[np.int32]) -> Buffer:
    """Rows of these columns, the publication's id in front."""
    arrays = [column if isinstance(column, pa.Array) else pa.array(column) for column in columns.values()]
    identity = pa.array(np.full(len(arrays[0]), publication_id, np.int64))
    return copy_arrow.encode_rows(pa.record_batch([identity, *arrays], ["publication_id", *columns]))
