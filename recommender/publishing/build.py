"""The content of a publication out of a model: lists of everybody, similar items, the index."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.columns import CREATOR, ITEM_ID, TITLE, USER_ID
from recommender.config.publish import Publish
from recommender.models.base import Model
from recommender.models.explaining.reasons import Codes, Phrases, Reasons
from recommender.publishing.cold_start import popular, segment_lists
from recommender.publishing.content import PERSONAL, POPULAR, SEGMENT, Content, UserLists
from recommender.retrieval.exact import TopK
from recommender.retrieval.hnsw import build_index

_SMALLEST_INDEXED_DIMENSION = 2


def build_content(model: Model, users: Path, items: Path, config: Publish, phrases: Phrases | None = None) -> Content:
    """Top-K for every user of the model's data set, similar items, fallbacks, and the HNSW index.

    `users` and `items` are the lake's tables of the night. Without `phrases` recommendations have no reasons.
    """
    dataset = model.dataset
    candidates = len(dataset.item_ids)
    k = min(config.top_k, candidates)
    warm = dataset.active_users
    source = PERSONAL if model.personal else POPULAR
    catalogue = pd.read_parquet(items).set_index(ITEM_ID).reindex(dataset.item_ids)
    titles, creators = _column(catalogue, TITLE), _column(catalogue, CREATOR)
    reasons = None if phrases is None else Reasons(phrases, titles, creators)
    top, codes = _ranked(model, warm, k, reasons)
    offered = top.items[:, 0] >= 0  # who has chosen every item gets the list for unknown users
    own = TopK(top.items[offered], top.scores[offered])
    lists = [UserLists(source, dataset.user_ids[warm[offered]], own, None if codes is None else codes[offered])]
    everybody = popular(dataset, k)
    if config.segments:
        attributes = pd.read_parquet(users).set_index(USER_ID).reindex(dataset.user_ids).reset_index(drop=True)
        known = [name for name in config.segments if name in attributes.columns]
        by_user = segment_lists(dataset, attributes, known, config.min_segment_users, everybody.items.shape[1])
        if by_user:
            newcomers = np.array(sorted(by_user), dtype=np.int64)
            ranked = TopK(
                np.concatenate([by_user[user].items for user in newcomers.tolist()]),
                np.concatenate([by_user[user].scores for user in newcomers.tolist()]),
            )
            lists.append(UserLists(SEGMENT, dataset.user_ids[newcomers], ranked))
    index = None
    vectors_of = model.vector_model
    if vectors_of is not None and vectors_of.item_vectors().shape[1] >= _SMALLEST_INDEXED_DIMENSION:
        index = build_index(vectors_of.item_vectors(), vectors_of.user_vectors(warm))
    return Content(
        item_ids=dataset.item_ids,
        titles=titles,
        creators=creators,
        lists=lists,
        popular=everybody,
        similar=model.similar_items(min(config.similar_k, candidates - 1)),
        index=index,
        top_k=k,
        reason_texts=() if reasons is None else reasons.texts,
    )


def _ranked(model: Model, users: npt.NDArray[np.int64], k: int, reasons: Reasons | None) -> tuple[TopK, Codes | None]:
    """Lists of some users with their reasons; contributions are held of one block of users at a time."""
    if reasons is None or len(users) == 0:
        return model.recommend(users, k), None
    parts = [(explained.top, reasons.tell(explained)) for explained in model.explained(users, k)]
    told = [codes for _, codes in parts if codes is not None]
    top = TopK(np.concatenate([top.items for top, _ in parts]), np.concatenate([top.scores for top, _ in parts]))
    return top, np.concatenate(told) if told else None


def _column(catalogue: pd.DataFrame, name: str) -> npt.NDArray[np.object_]:
    if name not in catalogue.columns:
        return np.full(len(catalogue), None, object)
    return np.array([None if pd.isna(value) else str(value) for value in catalogue[name]], dtype=object)
