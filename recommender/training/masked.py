"""Sums over the scores of users and the candidates they share, some pairs masked, with backward passes of their own.

`users` is (b, d), `items` (c, d); the pairs `rows[j], columns[j]` are left out. A pass over the (b, c) scores costs
more than the product that makes them, and autograd's own chain makes many: here is one matrix, changed in place.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_BLOCK = 1 << 18
"""Scores gone through at one time; they stay in the processor's cache."""


def log_sum_exp(users: Tensor, items: Tensor, bias: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(b,) log of each user's sum of exp(score + bias), minus infinity without an unmasked item; `bias` is (c,)."""
    result: Tensor = _MaskedLogSumExp.apply(users, items, bias, rows, columns)  # type: ignore[no-untyped-call]
    return result


def mean_cost(users: Tensor, items: Tensor, offset: Tensor, rows: Tensor, columns: Tensor, *, hinge: bool) -> Tensor:
    """(b,) mean of log(1 + exp(score + offset)), or of max(0, score + offset), 0 without one; `offset` is (b,)."""
    result: Tensor = _MeanCost.apply(users, items, offset, rows, columns, hinge)  # type: ignore[no-untyped-call]
    return result


def mean_pairwise_cost(
    users: Tensor, items: Tensor, positives: Tensor, of: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """(t,) mean of log(1 + exp(score - positive)) over the items of user `of[t]`, 0 without one."""
    result: Tensor = _MeanPairwiseCost.apply(users, items, positives, of, rows, columns)  # type: ignore[no-untyped-call]
    return result


def cross_entropy(users: Tensor, items: Tensor, bias: Tensor, rows: Tensor, columns: Tensor, goal: Tensor) -> Tensor:
    """Scalar: sum of goal * (log_sum_exp - score - bias), without the masked pairs; `goal` is (b, c), `bias` (c,)."""
    result: Tensor = _CrossEntropy.apply(users, items, bias, rows, columns, goal)  # type: ignore[no-untyped-call]
    return result


class _CrossEntropy(torch.autograd.Function):
    """The softmax's matrix becomes the slope in place: weight of the row times probability, less the goal."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, bias: Tensor, rows: Tensor, columns: Tensor, goal: Tensor
    ) -> Tensor:
        scores = torch.addmm(bias, users, items.T)
        aimed = (goal * scores).sum(dtype=bias.dtype)
        scores[rows, columns] = -torch.inf
        largest = scores.max(1, keepdim=True).values.clamp_min(torch.finfo(scores.dtype).min)
        scores.sub_(largest).exp_()
        total, weight = scores.sum(1, dtype=bias.dtype), goal.sum(1)
        # a row without an unmasked item has no goal either
        loss = (weight * (total.clamp_min(torch.finfo(bias.dtype).tiny).log() + largest.squeeze(1))).sum() - aimed
        scores.mul_((weight / total.clamp_min(torch.finfo(bias.dtype).tiny)).unsqueeze(1)).sub_(goal)
        ctx.save_for_backward(users, items, scores)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        users, items, slope = ctx.saved_tensors
        to_users, to_items = slope @ items.to(slope.dtype), slope.T @ users.to(slope.dtype)
        return grads[0] * to_users, grads[0] * to_items, None, None, None, None


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
        total = scores.sum(1, dtype=bias.dtype)
        ctx.save_for_backward(users, items, scores, total)
        return total.log() + largest.squeeze(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        users, items, exponentials, total = ctx.saved_tensors
        scale = torch.where(total > 0, grads[0] / total, 0.0)
        softmax = (exponentials * scale.unsqueeze(1)).to(exponentials.dtype)
        return softmax @ items.to(softmax.dtype), softmax.T @ users.to(softmax.dtype), None, None, None


class _MeanCost(torch.autograd.Function):
    """mean_j f(users @ items.T + offset) over the pairs that aren't masked, 0 where all are.

    f is max(0, x) or log(1 + exp(x)). The one (b, c) matrix becomes f's slope in place.
    """

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, offset: Tensor, rows: Tensor, columns: Tensor, hinge: bool
    ) -> Tensor:
        scores = torch.addmm(offset.unsqueeze(1), users, items.T)
        scores[rows, columns] = -torch.inf
        cost, count = torch.empty_like(offset), torch.empty_like(offset)
        for start, stop in _blocks(*scores.shape):
            part = scores[start:stop]
            count[start:stop] = _unmasked(part)
            costs = part.clamp_min(0) if hinge else nn.functional.softplus(part)
            cost[start:stop] = costs.sum(1, dtype=cost.dtype)
            part.copy_(part > 0) if hinge else part.sigmoid_()
        ctx.save_for_backward(users, items, scores, count)
        return cost / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        users, items, slope, count = ctx.saved_tensors
        scale = (grads[0] / count).unsqueeze(1)
        to_users, to_items = slope @ items.to(slope.dtype), slope.T @ (users * scale).to(slope.dtype)
        return to_users * scale, to_items, slope.sum(1, dtype=scale.dtype) * scale.squeeze(1), None, None, None


class _MeanPairwiseCost(torch.autograd.Function):
    """mean_j log(1 + exp(users[of] @ items.T - positives)) over the pairs that aren't masked, 0 where all are.

    One (b, c) matrix is kept; what each target adds to its slope is computed a block of targets at a time.
    """

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, positives: Tensor, of: Tensor, rows: Tensor, columns: Tensor
    ) -> Tensor:
        scores = users @ items.T
        scores[rows, columns] = -torch.inf
        count = _unmasked(scores)[of]
        cost = torch.empty_like(positives)
        for start, stop in _blocks(len(of), len(items)):
            margins = scores[of[start:stop]] - positives[start:stop].unsqueeze(1).to(scores.dtype)
            cost[start:stop] = nn.functional.softplus(margins).sum(1, dtype=cost.dtype)
        ctx.save_for_backward(users, items, positives, of, scores, count)
        return cost / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        users, items, positives, of, scores, count = ctx.saved_tensors
        scale = (grads[0] / count).to(scores.dtype)
        slope, to_positives = torch.zeros_like(scores), torch.empty_like(positives)
        for start, stop in _blocks(len(of), len(items)):
            part = scores[of[start:stop]] - positives[start:stop].unsqueeze(1).to(scores.dtype)
            part.sigmoid_().mul_(scale[start:stop].unsqueeze(1))
            slope.index_add_(0, of[start:stop], part)
            to_positives[start:stop] = -part.sum(1, dtype=positives.dtype)
        return slope @ items.to(slope.dtype), slope.T @ users.to(slope.dtype), to_positives, None, None, None


def _blocks(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Bounds of blocks of rows that are gone through several times."""
    height = max(1, _BLOCK // max(1, columns))
    return ((start, min(start + height, rows)) for start in range(0, rows, height))


def _unmasked(scores: Tensor) -> Tensor:
    """(b,) entries that aren't minus infinity, at least 1."""
    return (scores > -torch.inf).sum(1).clamp_min(1)
