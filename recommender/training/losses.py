"""Training losses over one batch of users and the candidates they share."""

from typing import Any

import torch
from torch import Tensor


def inclusion_log_probability(shares: Tensor, draws: int) -> Tensor:
    """Log of the chance that an item is in a batch's candidate set.

    Parameters
    ----------
    shares
        (items,) share of the training rows that each item has; sums to 1.
    draws
        Rows whose items make up the candidate set, each item counted once.

    The logQ of Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations"
    (RecSys 2019), for candidate sets without duplicates: 1 - (1 - q)^n instead of q.
    """
    tiny = torch.finfo(shares.dtype).tiny
    return torch.log(-torch.expm1(draws * torch.log1p(-shares.clamp(tiny, 1 - 1e-6))))


def in_batch_softmax(
    users: Tensor,
    items: Tensor,
    log_q: Tensor,
    targets: tuple[Tensor, Tensor],
    forbidden: tuple[Tensor, Tensor],
    weights: Tensor,
    temperature: float,
) -> Tensor:
    """Softmax of each target against the batch's candidates, corrected for how those were sampled.

    loss = - sum_t w_t log( exp(s_t) / (exp(s_t) + sum_j exp(s_j - log_q_j)) ) / sum_t w_t

    where j runs over the candidates that are neither a target of that user nor forbidden to them: accidental
    hits. The target itself is always there, so it gets no correction.

    Parameters
    ----------
    users
        (b, d) user vectors.
    items
        (c, d) vectors of the candidates, each item once.
    log_q
        (c,) log probability that the item is among the candidates.
    targets
        (t,) rows of `users` and (t,) rows of `items`.
    forbidden
        Likewise: pairs that are no negatives, such as items the user has met.
    weights
        (t,) how much each target counts.
    temperature
        Divides the dot products.

    Returns
    -------
    Scalar: the weighted mean over targets.
    """
    target_user, target_item = targets
    negatives = _log_sum_exp(
        users / temperature,
        items,
        -log_q,
        torch.cat([target_user, forbidden[0]]),
        torch.cat([target_item, forbidden[1]]),
    )
    scores = (users[target_user] * items[target_item]).sum(1) / temperature
    losses = torch.nn.functional.softplus(negatives[target_user] - scores)
    return (losses * weights).sum() / weights.sum()


class _MaskedLogSumExp(torch.autograd.Function):
    """log sum_j exp(users @ items.T + bias) without the masked pairs, keeping one (b, c) matrix.

    Passes over the whole matrix cost more than the products: autograd's own chain makes twice as many.
    """

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, bias: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        scores = torch.addmm(bias, users, items.T)
        scores[rows, columns] = -torch.inf
        # a row may have no negative at all: its maximum is kept finite
        largest = scores.max(1, keepdim=True).values.clamp_min(torch.finfo(scores.dtype).min)
        scores.sub_(largest).exp_()
        total = scores.sum(1)
        ctx.save_for_backward(users, items, scores, total)
        return total.log() + largest.squeeze(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        users, items, exponentials, total = ctx.saved_tensors
        scale = torch.where(total > 0, grads[0] / total, 0.0)
        softmax = exponentials * scale.unsqueeze(1)
        return softmax @ items, softmax.T @ users, None, None, None


def _log_sum_exp(users: Tensor, items: Tensor, bias: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    result: Tensor = _MaskedLogSumExp.apply(users, items, bias, rows, columns)  # type: ignore[no-untyped-call]
    return result
