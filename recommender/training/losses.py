"""Training losses over one batch of users and the candidates they share.

All have one signature, that of `in_batch_softmax`. None keeps more than one matrix of users by candidates: passes
over it cost more than the products.
"""

import torch
from torch import Tensor, nn

from recommender.training.masked import cross_entropy, log_sum_exp, mean_cost, mean_pairwise_cost


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


def soft_cross_entropy(
    users: Tensor, items: Tensor, log_q: Tensor, forbidden: tuple[Tensor, Tensor], goal: Tensor, temperature: float
) -> Tensor:
    """Cross entropy between what each candidate should get and the softmax of its corrected score:

        loss = - sum_uj goal_uj log( exp(s_uj - log_q_j) / sum_k exp(s_uk - log_q_k) )

    where k runs over the candidates that are not forbidden to u. Arguments as of `in_batch_softmax`; `goal` is (b, c),
    0 for forbidden pairs.
    """
    return cross_entropy(users / temperature, items, -log_q, forbidden[0], forbidden[1], goal)


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
    negatives = log_sum_exp(
        users / temperature,
        items,
        -log_q,
        torch.cat([target_user, forbidden[0]]),
        torch.cat([target_item, forbidden[1]]),
    )
    scores = (users[target_user] * items[target_item]).sum(1) / temperature
    losses = torch.nn.functional.softplus(negatives[target_user] - scores)
    return (losses * weights).sum() / weights.sum()


def sampled_softmax(
    users: Tensor,
    items: Tensor,
    log_q: Tensor,
    targets: tuple[Tensor, Tensor],
    forbidden: tuple[Tensor, Tensor],
    weights: Tensor,
    temperature: float,
) -> Tensor:
    """Softmax of each target against sampled candidates, the target corrected like the rest.

    loss = - sum_t w_t log( exp(s_t - log_q_t) / (exp(s_t - log_q_t) + sum_j exp(s_j - log_q_j)) ) / sum_t w_t

    as Bengio and Senécal, "Adaptive importance sampling to accelerate training of a neural probabilistic language
    model" (IEEE TNN 2008), and Yi et al. (RecSys 2019) have it. Unlike in `in_batch_softmax` a frequent target
    counts as found less easily by chance, which takes more of the popularity out of the scores.
    Parameters and result as there.
    """
    target_user, target_item = targets
    negatives = _negatives(users, items, -log_q, targets, forbidden, temperature)
    scores = _scores(users, items, targets, temperature) - log_q[target_item]
    return _mean(nn.functional.softplus(negatives[target_user] - scores), weights)


def full_softmax(
    users: Tensor,
    items: Tensor,
    log_q: Tensor,  # noqa: ARG001 - one signature for all
    targets: tuple[Tensor, Tensor],
    forbidden: tuple[Tensor, Tensor],
    weights: Tensor,
    temperature: float,
) -> Tensor:
    """Softmax over all items, several targets a user: the multinomial likelihood.

    loss = - sum_t w_t log( exp(s_t) / (sum_t' exp(s_t') + sum_j exp(s_j)) ) / sum_t w_t

    where t' runs over all targets of the same user and j over the candidates that are neither targets of that user nor
    forbidden. From Liang et al., "Variational autoencoders for collaborative filtering" (WWW 2018).
    Parameters and result as in `in_batch_softmax`; the candidates are every item, so `log_q` is not read. No pair
    is a target twice.
    """
    target_user, _ = targets
    negatives = _negatives(users, items, torch.zeros_like(items[:, 0]), targets, forbidden, temperature)
    scores = _scores(users, items, targets, temperature)
    # log(exp(negatives) + sum of the user's exp(scores)), relative to the largest of them
    limits = torch.finfo(scores.dtype)  # users with neither a target nor a negative are kept finite
    largest = negatives.detach().scatter_reduce(0, target_user, scores.detach(), "amax").clamp_min(limits.min)
    total = torch.exp(negatives - largest).index_add(0, target_user, torch.exp(scores - largest[target_user]))
    return _mean((total.clamp_min(limits.tiny).log() + largest)[target_user] - scores, weights)


def binary_cross_entropy(
    users: Tensor,
    items: Tensor,
    log_q: Tensor,  # noqa: ARG001
    targets: tuple[Tensor, Tensor],
    forbidden: tuple[Tensor, Tensor],
    weights: Tensor,
    temperature: float,
    *,
    negative_weight: float = 1.0,
) -> Tensor:
    """Each pair on its own: is the item a target or not, from the score as a logit.

    loss = sum_t w_t ( log(1 + exp(-s_t)) + negative_weight * mean_j log(1 + exp(s_j)) ) / sum_t w_t

    with j over the candidates that are neither targets of that user nor forbidden. Parameters and result as in
    `in_batch_softmax`; negatives count as they were drawn, so `log_q` is not read.
    """
    scores = _scores(users, items, targets, temperature)
    cost = mean_cost(
        users / temperature, items, torch.zeros_like(users[:, 0]), *_left_out(targets, forbidden), hinge=False
    )
    return _mean(nn.functional.softplus(-scores) + negative_weight * cost[targets[0]], weights)


def bpr(
    users: Tensor,
    items: Tensor,
    log_q: Tensor,  # noqa: ARG001
    targets: tuple[Tensor, Tensor],
    forbidden: tuple[Tensor, Tensor],
    weights: Tensor,
    temperature: float,
) -> Tensor:
    """Each target above each negative.

    loss = sum_t w_t mean_j log(1 + exp(s_j - s_t)) / sum_t w_t

    with j over the candidates that are neither targets of that user nor forbidden. From Rendle et al., "BPR: Bayesian
    personalized ranking from implicit feedback" (UAI 2009). Parameters and result as in `in_batch_softmax`; negatives
    count as they were drawn, so `log_q` is not read.
    """
    scores = _scores(users, items, targets, temperature)
    left_out = _left_out(targets, forbidden)
    return _mean(mean_pairwise_cost(users / temperature, items, scores, targets[0], *left_out), weights)


def cosine_contrastive(
    users: Tensor,
    items: Tensor,
    log_q: Tensor,  # noqa: ARG001
    targets: tuple[Tensor, Tensor],
    forbidden: tuple[Tensor, Tensor],
    weights: Tensor,
    temperature: float,  # noqa: ARG001
    *,
    margin: float = 0.4,
    negative_weight: float = 1.0,
) -> Tensor:
    """Targets close to the user, negatives no closer than a margin.

    loss = sum_t w_t ( max(0, 1 - s_t) + negative_weight * mean_j max(0, s_j - margin) ) / sum_t w_t

    with j over the candidates that are neither targets of that user nor forbidden. From Mao et al., "SimpleX: A simple
    and strong baseline for collaborative filtering" (CIKM 2021), where scores are cosines: vectors of length 1
    are expected. Parameters and result as in `in_batch_softmax`; `log_q` and `temperature` are not read.
    """
    scores = _scores(users, items, targets, 1.0)
    cost = mean_cost(users, items, torch.full_like(users[:, 0], -margin), *_left_out(targets, forbidden), hinge=True)
    return _mean((1 - scores).clamp_min(0) + negative_weight * cost[targets[0]], weights)


def _negatives(
    users: Tensor,
    items: Tensor,
    bias: Tensor,
    targets: tuple[Tensor, Tensor],
    forbidden: tuple[Tensor, Tensor],
    temperature: float,
) -> Tensor:
    """(b,) log of the sum of each user's negatives' exponentials."""
    return log_sum_exp(users / temperature, items, bias, *_left_out(targets, forbidden))


def _left_out(targets: tuple[Tensor, Tensor], forbidden: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.cat([targets[0], forbidden[0]]), torch.cat([targets[1], forbidden[1]])


def _scores(users: Tensor, items: Tensor, targets: tuple[Tensor, Tensor], temperature: float) -> Tensor:
    """(t,) scores of the targets."""
    return (users[targets[0]] * items[targets[1]]).sum(1) / temperature


def _mean(losses: Tensor, weights: Tensor) -> Tensor:
    return (losses * weights).sum() / weights.sum()
