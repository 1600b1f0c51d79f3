"""The best of many scores, block by block: which entry ranks before which is settled by one integer per entry.

A score and its position pack into an int64 whose order is "higher score first, then lower position", so equal scores
rank alike whatever the block size, the number of threads or the device.
"""

import numpy as np
import torch

GROUP = 8
"""Items that share one maximum: what is looked at before any score is."""
_LAST = 0xFFFFFFFF
_MAGNITUDE = 0x7FFFFFFF
_BOTTOM = torch.tensor(-torch.inf)
_SPARE_PER_ENTRY, _LEAST_SPARE = 3, 64


def packed(scores: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """int64 keys of float32 scores at positions below 2^32: the larger key ranks first. -0 counts as 0."""
    bits = (scores + 0.0).view(torch.int32)
    ordered = (bits >> 31).bitwise_and_(_MAGNITUDE).bitwise_xor_(bits).to(torch.int64)
    return ordered.bitwise_left_shift_(32).bitwise_or_(_LAST - positions)


def scores_of(keys: torch.Tensor) -> torch.Tensor:
    """The float32 scores of packed keys."""
    ordered = (keys >> 32).to(torch.int32)
    return (ordered ^ ((ordered >> 31) & _MAGNITUDE)).view(torch.float32)


def positions_of(keys: torch.Tensor) -> torch.Tensor:
    """The int64 positions of packed keys."""
    return _LAST - (keys & _LAST)


class Leaders:
    """The `k` best entries so far of each of a block of users, fed with blocks of items in ascending order.

    Scores are looked at only in groups of items whose maximum exceeds a user's bar: the k-th best entry so far, and at
    first the k-th largest maximum, for k groups have k entries at least as good.
    """

    def __init__(self, users: int, k: int, device: torch.device) -> None:
        self._k, self._spare = k, max(_LEAST_SPARE, _SPARE_PER_ENTRY * k)
        nothing = packed(torch.tensor([-torch.inf]), torch.tensor([_LAST]))
        self._nothing = int(nothing.item())
        self._keys = torch.full((users, k + self._spare), self._nothing, dtype=torch.int64, device=device)
        self._waiting = torch.zeros(users, dtype=torch.int64, device=device)
        self._bar = torch.full((users,), -torch.inf, device=device)

    def feed(self, scores: torch.Tensor, start: int) -> None:
        """Take in contiguous (items, users) `scores` of the items from position `start` on; -inf is no candidate.

        The number of items is a multiple of `GROUP`.
        """
        maxima = scores.view(-1, GROUP, scores.shape[1]).amax(1)
        if start == 0 and len(maxima) >= self._k:
            self._bar = torch.nextafter(_kth_largest(maxima.T.contiguous(), self._k), _BOTTOM.to(maxima.device))
        user, group = (maxima > self._bar).T.nonzero(as_tuple=True)
        if 2 * len(user) > maxima.numel() or not self._take(scores, user, group, start):
            self._take_best_groups(scores, maxima, start)

    def ranked(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(users, k) positions and scores, best first; -1 and -inf where there are fewer candidates."""
        best = self._keys[:, : self._k + int(self._waiting.max())].topk(self._k, dim=1).values
        scores = scores_of(best)
        return positions_of(best).masked_fill_(scores == -torch.inf, -1), scores

    def _take(self, scores: torch.Tensor, user: torch.Tensor, group: torch.Tensor, start: int) -> bool:
        """Add what exceeds the bars in the (user, group) pairs; False, and nothing, where that is too much to hold."""
        users = scores.shape[1]
        offsets = torch.arange(GROUP, device=scores.device) * users
        flat = (group * (GROUP * users) + user)[:, None] + offsets
        within = scores.view(-1).index_select(0, flat.view(-1)).view(-1, GROUP)
        pair, place = (within > self._bar[user][:, None]).nonzero(as_tuple=True)
        user = user[pair]
        new = torch.bincount(user, minlength=users)
        if int(new.max()) > self._spare:
            return False
        if int((self._waiting + new).max()) > self._spare:
            self._keep(self._keys)
        first = self._k + self._waiting + new - new.cumsum(0)
        column = first[user] + torch.arange(len(user), device=user.device)
        self._keys[user, column] = packed(within[pair, place], start + group[pair] * GROUP + place)
        self._waiting += new
        return True

    def _take_best_groups(self, scores: torch.Tensor, maxima: torch.Tensor, start: int) -> None:
        """Add the k best of the k groups with the largest maxima: whatever the scores, every better entry is there."""
        groups = torch.arange(len(maxima), device=maxima.device)
        best = packed(maxima.T.contiguous(), groups).topk(min(self._k, len(maxima)), dim=1, sorted=False).values
        items = (positions_of(best)[:, :, None] * GROUP + groups.new_tensor(range(GROUP))).flatten(1)
        self._keep(torch.cat([self._keys, packed(scores.T.gather(1, items), items + start)], dim=1))

    def _keep(self, keys: torch.Tensor) -> None:
        best = keys.topk(self._k, dim=1, sorted=False).values
        self._keys.fill_(self._nothing)
        self._keys[:, : self._k] = best
        self._waiting.zero_()
        self._bar = scores_of(best.amin(1))


def _kth_largest(values: torch.Tensor, k: int) -> torch.Tensor:
    """(rows,) of (rows, n) float32 values."""
    if values.device.type == "cpu":  # NumPy's partition is vectorised, torch's is not
        place = values.shape[1] - k
        return torch.from_numpy(np.partition(values.numpy(), place, axis=1)[:, place].copy())
    return values.topk(k, dim=1, sorted=False).values.amin(1)
