"""What the dual augmented two-tower model learns beside its scores.

Yu et al., "A dual augmented two-tower model for online large-scale recommendation" (DLP-KDD 2021).
"""

import torch
from torch import Tensor

from recommender.features.encoding.vocabulary import FIRST_NAMED

LEAST_ALIGNED = 16
"""Items of a category in a batch from which on their covariance says something."""
MOST_ALIGNED = 8
"""Categories aligned in one batch, the largest; each costs a covariance matrix."""


def mimic_loss(
    users: Tensor, items: Tensor, user_augmented: Tensor, item_augmented: Tensor, targets: tuple[Tensor, Tensor]
) -> Tensor:
    """Mean over the positive pairs (u, v) of |a_u - p_v|^2 + |a_v - p_u|^2, with gradients of a alone.

    Parameters
    ----------
    users, items
        (b, d) and (c, d) the towers' output p.
    user_augmented, item_augmented
        (b, d) and (c, d) augmented vectors a.
    targets
        (t,) rows of `users` and (t,) rows of `items`.
    """
    user, item = targets
    of_users = user_augmented[user] - items.detach()[item]
    of_items = item_augmented[item] - users.detach()[user]
    return (of_users.square().sum(1) + of_items.square().sum(1)).mean()


def alignment_loss(items: Tensor, categories: Tensor) -> Tensor:
    """Sum over categories S of |C(S_largest) - C(S)|^2, C being the (d, d) covariance of a category's items.

    Parameters
    ----------
    items
        (c, d) vectors.
    categories
        (c,) index of each one's category; unknown and other ones are left out.
    """
    found, counts = torch.unique(categories[categories >= FIRST_NAMED], return_counts=True)
    order = torch.argsort(counts, descending=True, stable=True)[:MOST_ALIGNED]
    chosen = found[order][counts[order] >= LEAST_ALIGNED]
    loss = items.new_zeros(())
    if len(chosen) < 2:
        return loss
    largest, *others = (torch.cov(items[categories == category].T) for category in chosen)
    for other in others:
        loss = loss + (largest - other).square().sum()
    return loss
