"""How much recall a model loses when the values of one of its inputs are exchanged at random."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from recommender.data.dataset import Dataset, Truth
from recommender.evaluation.metrics import per_user_metrics
from recommender.models.base import Model
from recommender.models.explaining.contributions import Input
from recommender.models.explaining.inputs import HISTORY
from recommender.models.ranking.candidates import blocks
from recommender.models.ranking.model import Ranking
from recommender.retrieval.exact import TopK, top_k

K = 20


def recall_lost(model: Model, truth: Truth, inputs: Sequence[Input], seed: int) -> dict[str, float]:
    """By side and name, such as `user.age`: recall@20 of the truth's users less that with the values exchanged.

    Of a user's or item's feature the values of all active users, or known items, are exchanged, also where histories
    hold the items. A user's history is exchanged for another's, what they have met stays left out of their list.
    """
    if isinstance(model, Ranking):
        return _of_pairs(model, truth, inputs, seed)
    dataset, lost = model.dataset, {}
    before = _recall(model, dataset, truth)
    for number, one in enumerate(inputs):
        other = copy.copy(model)
        other.attach(_exchanged(dataset, one, np.random.default_rng([seed, number])))
        lost[f"{one.side}.{one.name}"] = before - _recall(other, dataset, truth)
    return lost


def _recall(model: Model, dataset: Dataset, truth: Truth) -> float:
    """By a model with vectors; what is left out is what `dataset` says, whatever the model has attached."""
    found = top_k(
        model.user_vectors(truth.users),
        model.item_vectors(),
        K,
        seen=dataset.seen[truth.users],
        allowed=dataset.known_items,
    )
    return _mean_recall(found, truth)


def _exchanged(dataset: Dataset, one: Input, rng: np.random.Generator) -> Dataset:
    users, items = dataset.active_users, np.flatnonzero(dataset.known_items)
    chosen = users if one.side == "user" else items
    order = np.arange(len(dataset.user_ids if one.side == "user" else dataset.item_ids))
    order[chosen] = rng.permutation(chosen)
    if one.name == HISTORY:
        user = order[dataset.user].astype(np.int32)
        place = np.lexsort((dataset.ts, user))
        moved = {name: getattr(dataset, name)[place] for name in ("item", "ts", "weight")}
        return replace(dataset, user=user[place], **moved)
    if not one.features:
        ids = f"{one.side}_ids"
        return replace(dataset, **{ids: getattr(dataset, ids)[order]})
    frame = getattr(dataset, f"{one.side}_features").copy()
    for name in one.features:
        frame[name] = frame[name].to_numpy()[order]
    return replace(dataset, **{f"{one.side}_features": frame})


def _of_pairs(model: Ranking, truth: Truth, inputs: Sequence[Input], seed: int) -> dict[str, float]:
    """Of what the learners read, exchanged among all candidates of a block of users."""
    columns = [[model.features.index(name) for name in one.features] for one in inputs]
    lists: list[list[npt.NDArray[np.int32]]] = [[] for _ in range(len(inputs) + 1)]
    dataset = model.dataset
    for users in blocks(truth.users, len(dataset.item_ids)):
        ordered = model.ordered(users)
        candidates, features = ordered.candidates, ordered.features
        if candidates is None or features is None:
            return {}
        lists[0].append(candidates.ranked(model.reranker.joined(ordered.raw, candidates.groups), K).items)
        rng = np.random.default_rng([seed, int(users[0])])
        mixed = features[rng.permutation(len(features))]
        without = [learner.without(features, mixed, columns) for learner in model.reranker.learners]
        for number in range(len(inputs)):
            scores = model.reranker.joined([one[number] for one in without], candidates.groups)
            lists[number + 1].append(candidates.ranked(scores, K).items)
    tops = [TopK(np.concatenate(found), np.zeros((0, K), np.float32)) for found in lists]
    before = _mean_recall(tops[0], truth)
    return {
        f"{one.side}.{one.name}": before - _mean_recall(top, truth) for one, top in zip(inputs, tops[1:], strict=True)
    }


def _mean_recall(top: TopK, truth: Truth) -> float:
    return float(per_user_metrics(top.items, truth.relevant, [K])[f"recall@{K}"].mean())
