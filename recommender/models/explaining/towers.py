"""What the scores of two towers rest on: both vectors once more without each of their named inputs.

That is exact: a told contribution is the score less the score that the towers give without the input. A vector a user
(and one an item) and input is made; the pairs themselves cost a dot product each.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recommender.features.definitions import Feature
from recommender.models.attached import Attached
from recommender.models.explaining.contributions import (
    EXPLAINED_USERS,
    Arrangement,
    Contributions,
    Explained,
    Floats,
    Input,
)
from recommender.models.explaining.dots import PairDots
from recommender.models.explaining.gates import Gates, UserInputs
from recommender.models.explaining.inputs import HISTORY, LESS, OWN, named_inputs
from recommender.models.explaining.unknown import Metadata, Unknown
from recommender.models.fitted import Fitted
from recommender.models.towers import UserTower
from recommender.retrieval.exact import TopK

Find = Callable[[npt.NDArray[np.int64], Floats], TopK]
"""The lists of a block of users, by their vectors."""


@dataclass(frozen=True, eq=False)
class UserVectors:
    """Of a block of users."""

    whole: Tensor
    """(n, d)"""
    lost: list[Tensor]
    """By input: (n, d) what is lost of the vector without it."""


class Removals:
    """Two fitted towers with data attached, and each of their named inputs taken away.

    Inputs of the user are their history, what is learnt of the user beyond it (`own_user`), and groups of declared
    features; of the item likewise. An item counts with all that is known of it in the histories that hold it, whatever
    is taken from it as a candidate. The items' vectors are held once an input: 4 d bytes an item each.

    Parameters
    ----------
    user_features, item_features
        The declared ones.
    inputs_of
        What the user tower takes of (n,) user indices.
    """

    @torch.inference_mode()
    def __init__(
        self,
        fitted: Fitted,
        state: Attached,
        user_features: Sequence[Feature],
        item_features: Sequence[Feature],
        inputs_of: Callable[[npt.NDArray[np.int64]], UserInputs],
    ) -> None:
        self._fitted, self._state = fitted, state
        self._tower: UserTower = fitted.tower("user")
        self._inputs_of = inputs_of
        self._unknown = Unknown(fitted.encoders[0])
        reads_metadata = self._tower.numbers is not None or self._tower.dense is not None
        self._user_inputs = (
            *((Input(HISTORY, "user"),) if self._tower.history is not None else ()),
            *((Input(f"{OWN}_user", "user"),) if self._tower.ids is not None else ()),
            *(named_inputs(user_features, "user") if reads_metadata else ()),
        )
        tower, unknown = fitted.tower("item"), Unknown(fitted.encoders[1])
        known = Metadata(state.item_categories, state.item_numbers)
        whole = tower(state.item, *known)
        self._items: Tensor = whole.cpu()
        own = (Input(f"{OWN}_item", "item"),) if tower.ids is not None else ()
        item_inputs = (*own, *(named_inputs(item_features, "item") if reads_metadata else ()))
        self._items_lost = [
            (
                whole
                - (
                    tower(torch.zeros_like(state.item), *known)
                    if one in own
                    else tower(state.item, *unknown.without(known, one.features))
                )
            ).cpu()
            for one in item_inputs
        ]
        self._turned = {one.name: unknown.excess(known, one, LESS) < 0 for one in item_inputs if one.opposite}
        self.inputs: tuple[Input, ...] = (*self._user_inputs, *item_inputs)

    def contributions(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.integer]) -> Contributions:
        """Of (users,) users and (users, n) items, -1 where there is none."""
        return self._of_pairs(self._vectors(users), items)

    def explained(self, users: npt.NDArray[np.int64], find: Find, arranged: Arrangement) -> Iterator[Explained]:
        """What `find` finds for each user, in blocks; see `Model.explained`."""
        for start in range(0, len(users), EXPLAINED_USERS):
            block = users[start : start + EXPLAINED_USERS]
            vectors = self._vectors(block)
            top = arranged(block, find(block, vectors.whole.numpy()))
            yield Explained(top, self._of_pairs(vectors, top.items))

    def gates(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> Gates:
        """The same towers for integrated gradients of (pairs,) users and items; inputs are single features."""
        return Gates(self._fitted, self._state, self._inputs_of, users, items)

    def _of_pairs(self, users: UserVectors, chosen: npt.NDArray[np.integer]) -> Contributions:
        dots = PairDots(chosen, len(self._items))
        values: Floats = np.empty((*chosen.shape, len(self.inputs)), np.float32)
        for number, lost in enumerate(users.lost):
            values[:, :, number] = dots(lost, self._items)
        for number, lost in enumerate(self._items_lost, start=len(users.lost)):
            values[:, :, number] = dots(users.whole, lost)
        return Contributions(self.inputs, values, {name: below[chosen] for name, below in self._turned.items()})

    @torch.inference_mode()
    def _vectors(self, users: npt.NDArray[np.int64]) -> UserVectors:
        tower = self._tower
        history, age, present, ids, categories, numbers = self._inputs_of(users)
        known = Metadata(categories, numbers)
        pooled, described = tower.pooled(history, age, present, ids, *known)
        whole = tower.finish(pooled, ids, *known, described).vector

        def without(one: Input) -> Tensor:
            if one.name == HISTORY:
                nothing = None if described is None else tower.with_metadata(torch.zeros_like(pooled), *known)
                return tower.finish(torch.zeros_like(pooled), ids, *known, nothing).vector
            if not one.features:
                return tower.finish(pooled, torch.zeros_like(ids), *known, described).vector
            less = self._unknown.without(known, one.features)
            again = (pooled, None) if described is None else tower.pooled(history, age, present, ids, *less)
            return tower.finish(again[0], ids, *less, again[1]).vector

        return UserVectors(whole.cpu(), [(whole - without(one)).cpu() for one in self._user_inputs])
