"""The softmax over the catalogue: by loops, and its closed-form gradient against a numerical one."""

import math

import numpy as np
import pytest
import torch
from scipy import sparse

from recommender.training.catalogue_softmax import catalogue_softmax

MET = sparse.csr_matrix(np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 1, 0, 1, 1]], np.float32))
WEIGHTS = torch.tensor([0.5, 0.2, 0.3])
TEMPERATURE = 0.3


def vectors(count: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def by_loops(users: torch.Tensor, items: torch.Tensor) -> float:
    loss = 0.0
    for user in range(len(users)):
        scores = [float(users[user] @ items[item]) / TEMPERATURE for item in range(len(items))]
        met = set(MET[[user]].indices.tolist())
        rest = sum(math.exp(score) for item, score in enumerate(scores) if item not in met)
        loss += float(WEIGHTS[user]) * (math.log(rest) - sum(scores[item] for item in met) / len(met))
    return loss


def test_it_is_what_loops_give() -> None:
    users, items = vectors(3, 1), vectors(5, 2)
    found = catalogue_softmax(users, items, MET, WEIGHTS, TEMPERATURE)
    assert float(found) == pytest.approx(by_loops(users, items), rel=1e-5)


def test_the_gradient_is_the_numerical_one() -> None:
    users, items = (vectors(count, seed).double().requires_grad_() for count, seed in ((3, 1), (5, 2)))
    assert torch.autograd.gradcheck(
        lambda u, v: catalogue_softmax(u, v, MET, WEIGHTS.double(), TEMPERATURE), (users, items), eps=1e-4, atol=1e-3
    )


def test_a_user_who_met_everything_is_no_nan() -> None:
    everything = sparse.csr_matrix(np.ones((3, 5), np.float32))
    users, items = vectors(3, 1).requires_grad_(), vectors(5, 2).requires_grad_()
    loss = catalogue_softmax(users, items, everything, WEIGHTS, TEMPERATURE)
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(users.grad).all()) and bool(torch.isfinite(items.grad).all())


def test_in_bf16_the_gradient_points_the_same_way() -> None:
    gradients = []
    for reduced in (False, True):
        users, items = vectors(3, 1).requires_grad_(), vectors(5, 2).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            loss = catalogue_softmax(users, items, MET, WEIGHTS, TEMPERATURE)
        loss.backward()
        gradients.append(torch.cat([users.grad.ravel(), items.grad.ravel()]))
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.999
