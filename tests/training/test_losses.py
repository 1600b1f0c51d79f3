import math

import numpy as np
import pytest
import torch

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
