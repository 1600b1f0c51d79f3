"""What a model's scores rest on [26]: attributions of its named inputs, and what is lost when one is exchanged.

Two towers: integrated gradients (Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017) by
Captum, over recommended pairs, from a user and an item of whom nothing is known. The attributions of a pair sum to the
difference of its score from that baseline's; steps are added until they do. A re-ranking: the learners have no
gradients in common, so there an attribution is what a pair's score loses without the input (`PairRemovals`). Of models
made of others each part is explained by itself.

Beside it permutation importance (Breiman, "Random forests", 2001): the recall lost, of the model's own, when an
input's values are exchanged at random among users, among items or among pairs. What others can stand in for counts
there for little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.data.dataset import Truth
from recommender.evaluation.exchanged import recall_lost
from recommender.evaluation.findings import Explanation, Importance
from recommender.models.base import Model
from recommender.models.composite import Composite
from recommender.models.explaining.contributions import Input
from recommender.models.explaining.gates import Gates
from recommender.models.explaining.inputs import HISTORY, OWN, TASTE
from recommender.models.ranking.model import Ranking
from recommender.models.two_tower import TwoTower
from recommender.retrieval.exact import TopK

PAIRS = 1000
"""Recommended pairs that are explained, of users drawn at random."""
DEEP = 20
"""First places of the lists, of which pairs are drawn."""
USERS = 300
"""Judged users whose recall is measured again with exchanged values."""
TOLERANCE = 0.01
"""Largest gap between a pair's attributions and its score's difference, of the spread of the scores."""
STEPS = (16, 32, 64, 128, 256)
"""Of the integral, until the gap is small enough."""
LEAST = 1e-12
_BATCH = 4096
NOT_OF_FEATURES = (HISTORY, f"{OWN}_user", f"{OWN}_item", TASTE)
"""Inputs that are learnt from behaviour: that they decide nearly alone is nothing strange."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Attributed:
    """Attributions of some pairs."""

    inputs: Sequence[Input]
    values: npt.NDArray[np.float64]
    """(pairs, inputs)"""
    gap: float
    """Largest gap between a pair's sum and its score's difference, of the scores' spread; 0 where no sum is claimed."""
    method: str


def explain_model(model: Model, truth: Truth, top: TopK, seed: int) -> Explanation | None:
    """What the model's scores of some recommended pairs rest on; None where it has no named inputs.

    Parameters
    ----------
    model
        With the data set attached whose indices `truth` uses.
    top
        The model's lists of the truth's users.
    seed
        Of the users and pairs drawn, and of the exchanges.
    """
    users, items = _drawn(truth, top, seed)
    if len(users) == 0:
        return None
    judged = _sampled(truth, seed)
    explained: dict[str, tuple[Model, Attributed | None]] = {"": (model, _attributed(model, users, items))}
    if isinstance(model, Composite):
        explained |= {name: (part, _attributed(part, users, items)) for name, part in model.parts.items()}
    methods, importances, gap = [], list[Importance](), 0.0
    for name, (part, found) in explained.items():
        if found is not None:
            methods.append(f"{name}: {found.method}" if name else found.method)
            importances += _importances(found, name, recall_lost(part, judged, found.inputs, seed))
            gap = max(gap, found.gap)
    return Explanation("; ".join(methods), len(users), gap, importances) if methods else None


def most_important(explanation: Explanation) -> Importance | None:
    """The feature with the largest attribution, what is learnt from behaviour left out; None where there is none.

    One that decides nearly alone is a feature to look at: does it know what shall be predicted?
    """
    features = [one for one in explanation.importances if one.name not in NOT_OF_FEATURES]
    return max(features, key=lambda one: one.attribution, default=None)


def integrated_gradients(gates: Gates, pairs: int) -> Attributed:
    """Of the first `pairs` pairs of gated towers, with as many steps as it takes."""
    import torch
    from captum.attr import IntegratedGradients  # takes seconds to import, and only judging explains

    whole = torch.ones(pairs, len(gates.inputs), device=gates.device)
    number = torch.arange(pairs, device=gates.device)
    with torch.no_grad():
        scores = gates(whole, number)
    spread = max(float(scores.std()), LEAST)
    gradients = IntegratedGradients(gates)
    gap, steps, values = np.inf, 0, whole
    for steps in STEPS:
        values, missing = gradients.attribute(
            whole,
            baselines=torch.zeros_like(whole),
            additional_forward_args=(number,),
            n_steps=steps,
            internal_batch_size=_BATCH,
            return_convergence_delta=True,
        )
        gap = float(missing.abs().max()) / spread
        if gap <= TOLERANCE:
            break
    kept = "" if gap <= TOLERANCE else f", which did not converge within {TOLERANCE:g} of the scores' spread"
    return Attributed(
        gates.inputs,
        values.detach().cpu().numpy().astype(np.float64),
        gap,
        f"integrated gradients, {steps} steps{kept}",
    )


def _attributed(model: Model, users: Ints, items: Ints) -> Attributed | None:
    if isinstance(model, TwoTower):
        return integrated_gradients(model.removals().gates(users, items), len(users))
    if not isinstance(model, Ranking):
        return None
    people, place = np.unique(users, return_inverse=True)
    table = np.full((len(people), int(np.bincount(place).max())), -1, np.int64)
    column = np.arange(len(users)) - np.searchsorted(place, place)
    table[place, column] = items
    found = model.contributions(people, table)
    if found is None:
        return None
    return Attributed(found.inputs, found.values[place, column].astype(np.float64), 0.0, "removal from the learners")


def _importances(found: Attributed, part: str, lost: Mapping[str, float]) -> list[Importance]:
    """Largest first."""
    means = np.abs(found.values).mean(axis=0)
    shares = means / max(float(means.sum()), LEAST)
    entries = [
        Importance(
            one.name, f"{part}.{one.side}" if part else one.side, float(share), lost.get(f"{one.side}.{one.name}")
        )
        for one, share in zip(found.inputs, shares, strict=True)
    ]
    return sorted(entries, key=lambda one: -one.attribution)


def _drawn(truth: Truth, top: TopK, seed: int) -> tuple[Ints, Ints]:
    """Users and items of up to `PAIRS` recommended pairs, by user."""
    rows, places = np.nonzero(top.items[:, :DEEP] >= 0)
    rng = np.random.default_rng([seed, 1])
    chosen = np.sort(rng.choice(len(rows), min(PAIRS, len(rows)), replace=False))
    return truth.users[rows[chosen]], top.items[rows[chosen], places[chosen]].astype(np.int64)


def _sampled(truth: Truth, seed: int) -> Truth:
    rng = np.random.default_rng([seed, 2])
    chosen = np.sort(rng.choice(len(truth.users), min(USERS, len(truth.users)), replace=False))
    return Truth(truth.users[chosen], truth.relevant[chosen])
