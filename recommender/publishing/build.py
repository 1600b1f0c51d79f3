"""The content of a publication out of ranked lists and the model that ranked them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.columns import USER_ID
from recommender.models.base import Model
from recommender.publishing.cold_start import popular, segment_lists
from recommender.publishing.content import PERSONAL, POPULAR, SEGMENT, Content, UserLists, Vectors
from recommender.publishing.edition import Edition
from recommender.publishing.ranked import Ranked
from recommender.publishing.rules import Rules
from recommender.retrieval.exact import TopK
from recommender.retrieval.hnsw import HnswIndex, build_index

_SMALLEST_INDEXED_DIMENSION = 2


class Sentences:
    """The sentences of several shards, each once, under one number."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    @property
    def texts(self) -> list[str]:
        """Sentence `n` has code `n + 1`."""
        return list(self._codes)

    def renumbered(self, ranked: Ranked) -> npt.NDArray[np.int32] | None:
        """A shard's codes in these numbers."""
        if ranked.reasons is None:
            return None
        codes = [0, *(self._codes.setdefault(text, len(self._codes) + 1) for text in ranked.texts)]
        if codes == list(range(len(codes))):
            return ranked.reasons
        return np.array(codes, np.int32)[ranked.reasons]


def content_of(
    edition: Edition, rules: Rules, model: Model, shards: Sequence[Ranked], challenger: Sequence[Ranked] = ()
) -> Content:
    """Everything the night publishes.

    Parameters
    ----------
    model
        The champion, with the edition's data set attached.
    shards, challenger
        Lists by the champion and, while an experiment runs, by its challenger.
    """
    publish, dataset = edition.profile.publish, edition.dataset
    sentences = Sentences()
    source = PERSONAL if model.personal else POPULAR

    def lists_of(ranked: Ranked) -> UserLists:
        return UserLists(source, dataset.user_ids[ranked.users], ranked.top, sentences.renumbered(ranked))

    lists = [lists_of(ranked) for ranked in shards]
    others = [lists_of(ranked) for ranked in challenger]
    everybody = popular(dataset, edition.k)
    newcomers = _segment_lists(edition, everybody.items.shape[1])
    return Content(
        item_ids=dataset.item_ids,
        titles=edition.titles,
        creators=edition.creators,
        lists=[*lists, *newcomers],
        popular=everybody,
        similar=model.similar_items(min(publish.similar_k, len(dataset.item_ids) - 1)),
        index=_index(model),
        top_k=edition.k,
        reason_texts=sentences.texts,
        challenger=others,
        item_vectors=_item_vectors(edition, model),
        user_vectors=[
            Vectors(dataset.user_ids[ranked.users], ranked.vectors) for ranked in shards if ranked.vectors is not None
        ],
    )


def _segment_lists(edition: Edition, k: int) -> list[UserLists]:
    """Of users without events, where their segment is large enough."""
    publish, dataset = edition.profile.publish, edition.dataset
    if not publish.segments:
        return []
    attributes = pd.read_parquet(edition.users).set_index(USER_ID).reindex(dataset.user_ids).reset_index(drop=True)
    known = [name for name in publish.segments if name in attributes.columns]
    by_user = segment_lists(dataset, attributes, known, publish.min_segment_users, k)
    if not by_user:
        return []
    newcomers = np.array(sorted(by_user), dtype=np.int64)
    ranked = TopK(
        np.concatenate([by_user[user].items for user in newcomers.tolist()]),
        np.concatenate([by_user[user].scores for user in newcomers.tolist()]),
    )
    return [UserLists(SEGMENT, dataset.user_ids[newcomers], ranked)]


def _index(model: Model) -> HnswIndex | None:
    vectors_of = model.vector_model
    if vectors_of is None or vectors_of.item_vectors().shape[1] < _SMALLEST_INDEXED_DIMENSION:
        return None
    return build_index(vectors_of.item_vectors(), vectors_of.user_vectors(model.dataset.active_users))


def _item_vectors(edition: Edition, model: Model) -> Vectors | None:
    if edition.profile.publish.vectors == "none" or model.vector_model is None:
        return None
    return Vectors(edition.dataset.item_ids, model.vector_model.item_vectors())
