"""The content of a publication out of ranked lists and the model that ranked them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.columns import USER_ID
from recommender.models.base import Model
from recommender.publishing.cold_start import popular, segment_lists
from recommender.publishing.content import POPULAR, SEGMENT, Content, UserLists, Vectors
from recommender.publishing.edition import Edition
from recommender.publishing.finding import index_of
from recommender.publishing.ranked import Ranked
from recommender.publishing.rules import Rules
from recommender.retrieval.exact import TopK


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

    def lists_of(ranked: Ranked) -> UserLists:
        return UserLists(ranked.source, dataset.user_ids[ranked.users], ranked.top, sentences.renumbered(ranked))

    lists = [lists_of(ranked) for ranked in shards]
    others = [lists_of(ranked) for ranked in challenger]
    everybody = popular(dataset, edition.k, rules.unknown)
    newcomers = _segment_lists(edition, rules)
    others_left = _popular_lists(edition, rules, [*lists, *newcomers])
    left = rules.everybody
    return Content(
        item_ids=dataset.item_ids,
        titles=edition.titles,
        creators=edition.creators,
        lists=[*lists, *newcomers, *others_left],
        popular=everybody,
        similar=model.similar_items(min(publish.similar_k, len(dataset.item_ids) - 1), left),
        index=index_of(model, left),
        top_k=edition.k,
        reason_texts=sentences.texts,
        hidden=None if left is None else ~left,
        challenger=others,
        experiment_id=None if edition.trial is None or not others else edition.trial.experiment.experiment_id,
        item_vectors=_item_vectors(edition, model, left),
        user_vectors=[
            Vectors(dataset.user_ids[ranked.users], ranked.vectors) for ranked in shards if ranked.vectors is not None
        ],
    )


def _segment_lists(edition: Edition, rules: Rules) -> list[UserLists]:
    """Of users without events, where their segment is large enough."""
    publish, dataset = edition.profile.publish, edition.dataset
    if not publish.segments:
        return []
    attributes = pd.read_parquet(edition.users).set_index(USER_ID).reindex(dataset.user_ids).reset_index(drop=True)
    known = [name for name in publish.segments if name in attributes.columns]
    by_user = segment_lists(dataset, attributes, known, publish.min_segment_users, edition.k, rules.divided)
    if not by_user:
        return []
    newcomers = np.array(sorted(by_user), dtype=np.int64)
    ranked = TopK.empty(len(newcomers), edition.k)
    for place, user in enumerate(newcomers.tolist()):
        width = by_user[user].items.shape[1]
        ranked.items[place, :width], ranked.scores[place, :width] = by_user[user].items[0], by_user[user].scores[0]
    return [UserLists(SEGMENT, dataset.user_ids[newcomers], ranked)]


def _popular_lists(edition: Edition, rules: Rules, listed: Sequence[UserLists]) -> list[UserLists]:
    """Of those without a list to whom something else is allowed than to somebody unknown, whose list they would get."""
    dataset = edition.dataset
    unknown = rules.unknown
    if unknown is None:
        return []
    ids = np.concatenate([lists.user_ids for lists in listed])
    without = np.flatnonzero(~np.isin(dataset.user_ids.astype(str), ids.astype(str)))
    found = []
    for users, allowed in rules.divided(without):
        if allowed is not None and not np.array_equal(allowed, unknown):
            top = popular(dataset, edition.k, allowed)
            alike = TopK.empty(len(users), edition.k)
            width = top.items.shape[1]
            alike.items[:, :width], alike.scores[:, :width] = top.items, top.scores
            found.append(UserLists(POPULAR, dataset.user_ids[users], alike))
    return found


def _item_vectors(edition: Edition, model: Model, left: npt.NDArray[np.bool_] | None) -> Vectors | None:
    if edition.profile.publish.vectors == "none" or model.vector_model is None:
        return None
    ids, vectors = edition.dataset.item_ids, model.vector_model.item_vectors()
    return Vectors(ids, vectors) if left is None else Vectors(ids[left], vectors[left])
