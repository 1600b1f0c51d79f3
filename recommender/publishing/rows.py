"""Rows of a publication's tables, encoded for COPY."""

from collections.abc import Iterator, Sequence

from recommender.publishing.content import Content, UserLists
from recommender.retrieval.exact import TopK
from recommender.storage.copy_arrays import Field, TextPool, encode_bigint, encode_floats, encode_int, encode_ints

LIST_COLUMNS = ("publication_id", "user_id", "source", "item_ids", "scores", "reasons")
REASON_COLUMNS = ("publication_id", "code", "text")
ITEM_COLUMNS = ("publication_id", "item_id", "label", "title", "creator", "similar_ids", "similar_scores")
POPULAR_COLUMNS = ("publication_id", "item_ids", "scores")


def list_rows(publication_id: int, lists: Sequence[UserLists], pool: TextPool) -> Iterator[list[Field]]:
    """Of `reco.recommendation_lists`; `pool` has the items' ids."""
    identity = encode_bigint(publication_id)
    for ranked in lists:
        source = ranked.source.encode()
        filled = (ranked.top.items >= 0).sum(axis=1).tolist()
        for row, (user_id, end) in enumerate(zip(ranked.user_ids, filled, strict=True)):
            items, scores = ranked.top.items[row, :end], ranked.top.scores[row, :end]
            reasons = None if ranked.reasons is None else encode_ints(ranked.reasons[row, :end])
            yield [identity, user_id.encode(), source, pool.array(items), encode_floats(scores), reasons]


def reason_rows(publication_id: int, texts: Sequence[str]) -> Iterator[list[Field]]:
    """Of `reco.reason_texts`: sentence `n` has code `n + 1`."""
    identity = encode_bigint(publication_id)
    for code, text in enumerate(texts, start=1):
        yield [identity, encode_int(code), text.encode()]


def item_rows(publication_id: int, content: Content, pool: TextPool) -> Iterator[list[Field]]:
    """Of `reco.catalogue`."""
    identity = encode_bigint(publication_id)
    for label, item_id in enumerate(content.item_ids):
        title, creator = content.titles[label], content.creators[label]
        yield [
            identity,
            item_id.encode(),
            encode_int(label),
            None if title is None else title.encode(),
            None if creator is None else creator.encode(),
            pool.array(content.similar.items[label]),
            encode_floats(content.similar.scores[label]),
        ]


def popular_rows(publication_id: int, popular: TopK, pool: TextPool) -> Iterator[list[Field]]:
    """Of `reco.popular_lists`: one."""
    yield [encode_bigint(publication_id), pool.array(popular.items[0]), encode_floats(popular.scores[0])]
