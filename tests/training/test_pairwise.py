import math

import numpy as np
import pytest
import torch

from recommender.training import pairwise

POSITIVE = [0.3, -1.0]
NEGATIVE = [[0.1, -0.4, 2.0], [0.0, 0.5, -3.0]]
LOG_Q = [[-1.0, -2.0, -0.5], [-1.0, -0.1, -4.0]]
WEIGHTS = [1.0, 3.0]


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def slow(name: str) -> float:
    total = 0.0
    for positive, negatives, log_q, weight in zip(POSITIVE, NEGATIVE, LOG_Q, WEIGHTS, strict=True):
        if name == "bce":
            cost = softplus(-positive) + 3 * np.mean([softplus(negative) for negative in negatives])
        elif name == "bpr":
            cost = np.mean([softplus(negative - positive) for negative in negatives])
        else:
            others = sum(math.exp(negative - q) for negative, q in zip(negatives, log_q, strict=True))
            cost = -math.log(math.exp(positive) / (math.exp(positive) + others))
        total += weight * float(cost)
    return total / sum(WEIGHTS)


@pytest.mark.parametrize("name", ["bce", "bpr", "sampled_softmax"])
def test_each_is_its_formula(name: str) -> None:
    positive, negative, weights = torch.tensor(POSITIVE), torch.tensor(NEGATIVE), torch.tensor(WEIGHTS)
    found = {
        "bce": lambda: pairwise.binary_cross_entropy(positive, negative, weights, negative_weight=3.0),
        "bpr": lambda: pairwise.bpr(positive, negative, weights),
        "sampled_softmax": lambda: pairwise.sampled_softmax(positive, negative, torch.tensor(LOG_Q), weights),
    }[name]()
    assert found.item() == pytest.approx(slow(name), rel=1e-5)
