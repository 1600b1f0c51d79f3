import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from recommender.training import losses
from recommender.training.losses import in_batch_softmax, inclusion_log_probability


def slow_loss(
    users: np.ndarray,
    items: np.ndarray,
    log_q: np.ndarray,
    targets: list[tuple[int, int]],
    forbidden: list[tuple[int, int]],
    weights: list[float],
    temperature: float,
) -> float:
    """The formula of the docstring, one pair at a time."""
    total = 0.0
    for (user, item), weight in zip(targets, weights, strict=True):
        score = float(users[user] @ items[item]) / temperature
        denominator = math.exp(score)
        for other in range(len(items)):
            if (user, other) not in targets and (user, other) not in forbidden:
                denominator += math.exp(float(users[user] @ items[other]) / temperature - log_q[other])
        total -= weight * (score - math.log(denominator))
    return total / sum(weights)


TARGETS = [(0, 1), (0, 3), (1, 0), (2, 4), (3, 2)]
FORBIDDEN = [(0, 4), (1, 0), (2, 2), (2, 3)]
WEIGHTS = [1.0, 0.5, 2.0, 1.0, 3.0]


def pairs(values: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([a for a, _ in values]), torch.tensor([b for _, b in values])


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    users = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    items = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    return users, items, torch.rand(5, generator=generator, dtype=torch.float64).log()


def loss_of(users: torch.Tensor, items: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    return in_batch_softmax(users, items, log_q, pairs(TARGETS), pairs(FORBIDDEN), weights, 0.5)


def test_same_as_the_formula() -> None:
    users, items, log_q = example()
    expected = slow_loss(
        users.detach().numpy(), items.detach().numpy(), log_q.numpy(), TARGETS, FORBIDDEN, WEIGHTS, 0.5
    )
    assert loss_of(users, items, log_q).item() == pytest.approx(expected)


def test_gradient_is_that_of_the_loss() -> None:
    users, items, log_q = example()
    assert torch.autograd.gradcheck(lambda u, i: loss_of(u, i, log_q), (users, items))


def test_a_user_without_negatives_costs_nothing() -> None:
    users = torch.ones(1, 2, requires_grad=True)
    items = torch.ones(2, 2, requires_grad=True)
    both = (torch.tensor([0, 0]), torch.tensor([0, 1]))
    none = (torch.tensor([], dtype=torch.long),) * 2
    loss = in_batch_softmax(users, items, torch.zeros(2), both, none, torch.ones(2), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert users.grad is not None and torch.isfinite(users.grad).all()


def test_inclusion_probability() -> None:
    shares = torch.tensor([0.0, 0.001, 0.5, 1.0])
    log_q = inclusion_log_probability(shares, draws=4)
    assert torch.isfinite(log_q).all()
    expected = [1 - (1 - q) ** 4 for q in (0.001, 0.5, 1.0)]
    np.testing.assert_allclose(log_q.exp().numpy()[1:], expected, rtol=1e-4)


Loss = Callable[..., torch.Tensor]
MARGIN, NEGATIVE_WEIGHT = 0.2, 3.0
LOSSES: dict[str, Loss] = {
    "in_batch_softmax": in_batch_softmax,
    "sampled_softmax": losses.sampled_softmax,
    "full_softmax": losses.full_softmax,
    "bce": partial(losses.binary_cross_entropy, negative_weight=NEGATIVE_WEIGHT),
    "bpr": losses.bpr,
    "cosine_contrastive": partial(losses.cosine_contrastive, margin=MARGIN, negative_weight=NEGATIVE_WEIGHT),
}


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def slow_target(name: str, score: np.ndarray, log_q: np.ndarray, item: int, own: list[int], others: list[int]) -> float:
    """What one target costs by the formulas of the docstrings; `own` are all targets of its user."""
    positive = float(score[item])
    if name == "sampled_softmax":
        total = sum(math.exp(score[j] - log_q[j]) for j in [item, *others])
        return -math.log(math.exp(positive - log_q[item]) / total)
    if name == "full_softmax":
        return -math.log(math.exp(positive) / sum(math.exp(score[j]) for j in [*own, *others]))
    if name == "bce":
        mean = sum(softplus(score[j]) for j in others) / max(1, len(others))
        return softplus(-positive) + NEGATIVE_WEIGHT * mean
    if name == "bpr":
        return sum(softplus(score[j] - positive) for j in others) / max(1, len(others))
    if name == "cosine_contrastive":
        mean = sum(max(0.0, score[j] - MARGIN) for j in others) / max(1, len(others))
        return max(0.0, 1 - positive) + NEGATIVE_WEIGHT * mean
    raise ValueError(name)


def batch(forbidden: list[tuple[int, int]] = FORBIDDEN) -> dict[str, Any]:
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    return {"targets": pairs(TARGETS), "forbidden": pairs(forbidden), "weights": weights, "temperature": 0.5}


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "in_batch_softmax"])
def test_each_is_its_formula(name: str) -> None:
    users, items, log_q = example()
    score = (users @ items.T).detach().numpy() / (1.0 if name == "cosine_contrastive" else 0.5)
    expected = 0.0
    for (user, item), weight in zip(TARGETS, WEIGHTS, strict=True):
        own = [i for u, i in TARGETS if u == user]
        others = [i for i in range(len(items)) if (user, i) not in TARGETS + FORBIDDEN]
        expected += weight * slow_target(name, score[user], log_q.numpy(), item, own, others)
    assert LOSSES[name](users, items, log_q, **batch()).item() == pytest.approx(expected / sum(WEIGHTS))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_losses(name: str) -> None:
    users, items, log_q = example()
    assert torch.autograd.gradcheck(lambda u, i: LOSSES[name](u, i, log_q, **batch()), (users, items))


@pytest.mark.parametrize("name", LOSSES)
def test_users_without_negatives_or_targets_leave_everything_finite(name: str) -> None:
    users, items, log_q = example()
    everything = [(user, item) for user in (0, 3) for item in range(5)]
    targets = pairs([(0, 1), (0, 3), (1, 0)])  # user 0 has no negative, user 2 no target, user 3 neither
    weights = torch.ones(3, dtype=torch.float64)
    loss = LOSSES[name](users, items, log_q, targets, pairs(everything), weights, 0.5)
    loss.backward()
    assert all(torch.isfinite(part).all() for part in (loss, users.grad, items.grad))
    assert users.grad is not None and not users.grad[2:].any()


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_forbidden_or_another_target_is_no_negative(name: str) -> None:
    """Without any gradient on an item's vector, that vector has no part in the loss."""
    users, items, log_q = example()
    targets = pairs([(0, 1), (1, 2)])
    weights = torch.ones(2, dtype=torch.float64)
    LOSSES[name](users, items, log_q, targets, pairs([(0, 4), (1, 4)]), weights, 0.5).backward()
    assert items.grad is not None and not items.grad[4].any()


def test_sampled_and_full_softmax_agree_where_everything_is_a_candidate() -> None:
    users, items, _ = example()
    targets, none = pairs([(0, 1), (1, 0), (2, 4)]), (torch.tensor([], dtype=torch.long),) * 2
    given = (users, items, torch.zeros(5, dtype=torch.float64), targets, none, torch.ones(3, dtype=torch.float64), 0.5)
    expected = losses.full_softmax(*given).item()
    assert losses.sampled_softmax(*given).item() == pytest.approx(expected)
    assert in_batch_softmax(*given).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_products_give_nearly_the_same(name: str) -> None:
    users, items, log_q = (part.detach().float() for part in example())
    weights = torch.tensor(WEIGHTS)
    results = []
    for reduced in (False, True):
        leaves = users.clone().requires_grad_(), items.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            loss = LOSSES[name](*leaves, log_q, pairs(TARGETS), pairs(FORBIDDEN), weights, 0.5)
        loss.backward()
        assert loss.dtype == torch.float32
        results.append([loss, *(leaf.grad for leaf in leaves)])
    for exact, reduced_one in zip(*results, strict=True):
        torch.testing.assert_close(exact, reduced_one, rtol=0.1, atol=0.03)
