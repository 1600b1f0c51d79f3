"""How an edition's lists are found, chosen once for all shards, and the index that the publication keeps."""

import numpy as np
import numpy.typing as npt

from recommender.models.base import Model
from recommender.progress import Progress
from recommender.publishing.edition import Edition
from recommender.publishing.rules import Rules
from recommender.retrieval.hnsw import HnswIndex, build_index
from recommender.retrieval.search import finder

_SAMPLE, _SEED = 4096, 0
_SMALLEST_INDEXED_DIMENSION = 2


def choose_finder(edition: Edition, rules: Rules, model: Model, progress: Progress) -> None:
    """Let the model find lists as is soonest for all users of the edition at the recall that the profile wants.

    Every shard chooses alike: the choice rests on the same sample of all users.
    """
    if not model.factorises:
        return
    everybody = edition.dataset.active_users
    sample = _sampled(everybody)
    model.finder = finder(
        model.user_vectors(sample),
        model.item_vectors(),
        rules.candidates(edition.k),
        users=len(everybody),
        seen=edition.dataset.seen[sample],
        allowed=rules.everybody,
        recall=edition.profile.publish.recall,
    )
    progress(model.finder.summary)


def index_of(model: Model, allowed: npt.NDArray[np.bool_] | None) -> HnswIndex | None:
    """The index of the allowed items that a publication keeps; None where the model has no vectors worth one."""
    vectors_of = model.vector_model
    if vectors_of is None or vectors_of.item_vectors().shape[1] < _SMALLEST_INDEXED_DIMENSION:
        return None
    if vectors_of.finder is not None and vectors_of.finder.index is not None:
        return vectors_of.finder.index
    users = vectors_of.user_vectors(_sampled(model.dataset.active_users))
    return build_index(vectors_of.item_vectors(), users, allowed=allowed)


def _sampled(users: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(_SEED).permutation(users)[:_SAMPLE])
