"""Users whom training never met, by whom they are like: those who met the same items."""

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from recommender.data.dataset import Dataset
from recommender.models.ncf.fitted import Attached, Fitted
from recommender.models.ncf.network import Part

Floats = npt.NDArray[np.float32]
Users = npt.NDArray[np.int64]


class Likeness:
    """What an id of their own would bring, for people of whom nothing but a few items is known.

    An item stands for the mean of those who met it, a person for the mean of their items. Such means lie closer
    together than people do: they are moved away from everybody's until they are as far from it as people are.

    Parameters
    ----------
    seen
        (users, items) of those who are known.
    own
        (users, width) what each one's id brings.
    """

    def __init__(self, seen: sparse.csr_matrix, own: Floats) -> None:
        self._everybody = own.mean(0, keepdims=True)
        apart = own - self._everybody
        self._distance = float(np.sqrt((apart**2).sum(1).mean()))
        users = np.asarray(seen.sum(axis=0), np.float32).ravel()
        self._items: Floats = np.asarray((seen.T @ apart) / np.maximum(users, 1)[:, None], np.float32)

    def own(self, histories: sparse.csr_matrix) -> Floats:
        """(n, width) of (n, items) histories."""
        apart = np.asarray(histories @ self._items, np.float32)
        length = np.linalg.norm(apart, axis=1, keepdims=True)
        own: Floats = self._everybody + apart * (self._distance / np.maximum(length, np.finfo(np.float32).tiny))
        return own


class Newcomers:
    """Those users of a data set whom training never met, but some of whose items it met others with."""

    def __init__(self, fitted: Fitted, attached: Attached, dataset: Dataset) -> None:
        self._fitted, self._attached, self._dataset = fitted, attached, dataset

    def among(self, users: Users) -> npt.NDArray[np.bool_]:
        """(n,) True for them."""
        new: npt.NDArray[np.bool_] = (self._attached.user[users] == 0) & (np.diff(self._dataset.offsets)[users] > 0)
        if new.any():
            new[new] = np.asarray(self._dataset.seen[users[new]] @ self._shared) > 0
        return new

    def add_to(self, part: Part, users: Users) -> Part:
        """What the users bring, with what ids of their own would bring for the newcomers; `part` is changed."""
        new = np.flatnonzero(self.among(users))
        if len(new):
            own = torch.from_numpy(self._likeness.own(self._dataset.seen[users[new]])).to(part.hidden.device)
            for values, more in zip(part, torch.split(own, [values.shape[1] for values in part], dim=1), strict=True):
                values[torch.from_numpy(new).to(values.device)] += more
        return part

    @cached_property
    def _known(self) -> Users:
        return np.flatnonzero(self._attached.user)

    @cached_property
    def _shared(self) -> Floats:
        """(items,) users that training met who have met each."""
        return np.asarray(self._dataset.seen[self._known].sum(axis=0), np.float32).ravel()

    @cached_property
    def _likeness(self) -> Likeness:
        categories = np.zeros_like(self._attached.user_categories[self._known])
        with torch.inference_mode():
            part = self._fitted.part("user", self._attached.user[self._known], categories)
        return Likeness(self._dataset.seen[self._known], np.concatenate([one.cpu().numpy() for one in part], axis=1))
