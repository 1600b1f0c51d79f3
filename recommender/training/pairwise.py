"""Training losses over positives with negatives of their own, for models that score pairs."""

import torch
from torch import Tensor, nn


def binary_cross_entropy(
    positive: Tensor, negative: Tensor, weights: Tensor, *, negative_weight: float = 1.0
) -> Tensor:
    """Each pair on its own: was the item chosen or not, from the score as a logit.

    loss = sum_n w_n ( log(1 + exp(-p_n)) + negative_weight * mean_m log(1 + exp(q_nm)) ) / sum_n w_n

    With `negative_weight` the number of negatives it is, but for a factor, the log loss of He et al., "Neural
    collaborative filtering" (WWW 2017), and scores are logits of a pair's share among those drawn.

    Parameters
    ----------
    positive
        (n,) scores p of the chosen items.
    negative
        (n, m) scores q of each one's negatives.
    weights
        (n,) how much each positive counts.

    Returns
    -------
    Scalar: the weighted mean over positives.
    """
    costs = nn.functional.softplus(-positive) + negative_weight * nn.functional.softplus(negative).mean(1)
    return _mean(costs, weights)


def bpr(positive: Tensor, negative: Tensor, weights: Tensor) -> Tensor:
    """Each positive above each of its negatives.

    loss = sum_n w_n mean_m log(1 + exp(q_nm - p_n)) / sum_n w_n

    From Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback" (UAI 2009). Parameters and result
    as in `binary_cross_entropy`.
    """
    return _mean(nn.functional.softplus(negative - positive.unsqueeze(1)).mean(1), weights)


def sampled_softmax(positive: Tensor, negative: Tensor, log_q: Tensor, weights: Tensor) -> Tensor:
    """Softmax of each positive against its negatives, corrected for how often those are drawn.

    loss = - sum_n w_n log( exp(p_n) / (exp(p_n) + sum_m exp(q_nm - log_q_nm)) ) / sum_n w_n

    `log_q`, (n, m), is the log of how often a negative is expected among those drawn: the sum then estimates the one
    over all items (Bengio and Senécal, IEEE TNN 2008). Other parameters and result as in `binary_cross_entropy`.
    """
    negatives = torch.logsumexp(negative - log_q, dim=1)
    return _mean(nn.functional.softplus(negatives - positive), weights)


def _mean(costs: Tensor, weights: Tensor) -> Tensor:
    return (costs * weights).sum() / weights.sum()
