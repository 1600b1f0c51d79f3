"""A softmax over the whole catalogue with all of a user's items as targets at once, and its gradient in closed form."""

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

LEAST_SUM = 1e-30


class _CatalogueSoftmax(torch.autograd.Function):
    """One (users, items) matrix, exponentiated in place; autograd's own chain would keep five."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, temperature: float
    ) -> Tensor:
        reduced = torch.is_autocast_enabled(users.device.type)
        dtype = torch.get_autocast_dtype(users.device.type) if reduced else users.dtype
        with torch.autocast(users.device.type, enabled=False):
            scaled = users / temperature
            # cosines are at most 1, so no exponential overflows once the largest possible score is taken off
            exponentials = torch.mm(scaled.to(dtype), items.to(dtype).T).sub_(1 / temperature).exp_()
            exponentials[rows, columns] = 0
            total = exponentials.sum(1, dtype=users.dtype).clamp_min(LEAST_SUM)
            share = 1 / torch.bincount(rows, minlength=len(users)).clamp_min(1).to(users.dtype)[rows]
            scores = (scaled[rows] * items[columns]).sum(1)
            positive = torch.zeros_like(total).index_add_(0, rows, scores * share)
            losses = total.log() + 1 / temperature - positive
        ctx.save_for_backward(users, items, rows, columns, weights, exponentials, total, share)
        ctx.temperature = temperature
        return (losses * weights).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        users, items, rows, columns, weights, exponentials, total, share = ctx.saved_tensors
        dtype = exponentials.dtype
        scale = grads[0] * weights / total
        with torch.autocast(users.device.type, enabled=False):
            # of the sums over all items, and less what each target pulls
            of_users = torch.mm(exponentials, items.to(dtype)).to(users.dtype) * scale.unsqueeze(1)
            of_items = torch.mm(exponentials.T, (users * scale.unsqueeze(1)).to(dtype)).to(users.dtype)
            pull = (-share * weights[rows] * grads[0]).detach().cpu().numpy()
            shape = (len(users), len(items))
            pulls = sparse.csr_matrix((pull, (rows.cpu().numpy(), columns.cpu().numpy())), shape=shape)
            of_users += torch.from_numpy(pulls @ items.detach().cpu().numpy()).to(users.device)
            of_items += torch.from_numpy(pulls.T.tocsr() @ users.detach().cpu().numpy()).to(users.device)
        return of_users / ctx.temperature, of_items / ctx.temperature, None, None, None, None


def catalogue_softmax(
    users: Tensor, items: Tensor, met: sparse.csr_matrix, weights: Tensor, temperature: float
) -> Tensor:
    """Each user's items against everything they have not met:

        loss = sum_u w_u ( log sum_{j not met} exp(s_uj) - mean_{i met} s_ui ),   s = cosine / temperature

    Targets are left out of each other's denominator: Yeh et al., "Decoupled contrastive learning" (ECCV 2022), over
    the whole catalogue as in Liang et al., "Variational autoencoders for collaborative filtering" (WWW 2018).

    Parameters
    ----------
    users
        (b, d) float32 of length 1.
    items
        (n, d) float32 of length 1.
    met
        (b, n) stored entries are the items met; their values don't matter.
    weights
        (b,) float32 how much each user counts.
    temperature
        Divides the cosines.

    Returns
    -------
    Scalar. The matrix product and the exponentials are done in autocast's type, where it is on; sums are float32.
    """
    rows = torch.from_numpy(np.repeat(np.arange(met.shape[0], dtype=np.int64), np.diff(met.indptr))).to(users.device)
    columns = torch.from_numpy(met.indices.astype(np.int64)).to(users.device)
    result: Tensor = _CatalogueSoftmax.apply(users, items, rows, columns, weights, temperature)  # type: ignore[no-untyped-call]
    return result
