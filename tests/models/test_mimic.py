"""Mimicry and alignment against plain loops over the published formulas."""

import numpy as np
import pytest
import torch

from recommender.models.mimic import LEAST_ALIGNED, MOST_ALIGNED, alignment_loss, mimic_loss

RNG = np.random.default_rng(0)


def drawn(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RNG.normal(size=shape)).requires_grad_()


def test_mimicry_is_the_mean_squared_distance_from_the_other_tower() -> None:
    users, items, a_u, a_v = drawn(3, 4), drawn(5, 4), drawn(3, 4), drawn(5, 4)
    pairs = [(0, 1), (0, 4), (2, 1)]
    expected = np.mean(
        [((a_u[u] - items[v]) ** 2).sum().item() + ((a_v[v] - users[u]) ** 2).sum().item() for u, v in pairs]
    )
    targets = tuple(torch.tensor(column) for column in zip(*pairs, strict=True))
    loss = mimic_loss(users, items, a_u, a_v, targets)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert users.grad is None  # the imitated one does not come to meet its imitator
    assert items.grad is None
    assert a_u.grad is not None
    assert a_v.grad is not None
    assert a_u.grad[1].abs().sum() == 0


def test_alignment_compares_covariances_with_that_of_the_largest_category() -> None:
    sizes = {2: 20, 3: 40, 4: LEAST_ALIGNED, 5: LEAST_ALIGNED - 1, 0: 60, 1: 60}
    categories = torch.tensor([c for c, size in sizes.items() for _ in range(size)])
    items = drawn(len(categories), 3)
    covariance = {c: np.cov(items.detach().numpy()[categories == c].T) for c in sizes}
    expected = sum(((covariance[3] - covariance[c]) ** 2).sum() for c in (2, 4))  # missing, rare and tiny ones left out
    assert alignment_loss(items, categories).item() == pytest.approx(expected)


def test_alignment_of_one_category_is_nothing() -> None:
    assert alignment_loss(drawn(30, 3), torch.full((30,), 2)).item() == 0


def test_only_the_largest_categories_are_aligned() -> None:
    categories = torch.tensor([c for c in range(2, MOST_ALIGNED + 4) for _ in range(LEAST_ALIGNED)])
    items = drawn(len(categories), 2)
    first = categories < 2 + MOST_ALIGNED
    assert alignment_loss(items, categories).item() == pytest.approx(
        alignment_loss(items[first], categories[first]).item()
    )
