"""Two towers as a function of how much of each named input is there: what integrated gradients go along."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from recommender.features.encoding import FeatureEncoder
from recommender.models.attached import Attached
from recommender.models.explaining.contributions import Input
from recommender.models.explaining.inputs import HISTORY, OWN
from recommender.models.explaining.unknown import Metadata, Unknown
from recommender.models.fitted import Fitted

UserInputs = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor, Tensor, Tensor]
"""What the user tower takes: content, age and presence of the history, ids, categories, numbers."""


class Gates:
    """Scores of some pairs where each input is there in part, one gate an input: 1 for all of it, 0 for none.

    None of it is for vectors (the pooled history, ids' and categories' own) the vector of the unknown, and for numbers
    what stands for missing ones. A straight line from all gates 0 to all gates 1 is one of all these inputs, so the
    integrated gradients of a gate are those of everything behind it, added up. A history is taken as it was pooled.

    Parameters
    ----------
    users, items
        (pairs,) indices.
    inputs_of
        What the user tower takes of (n,) user indices.
    """

    @torch.inference_mode()
    def __init__(
        self,
        fitted: Fitted,
        state: Attached,
        inputs_of: Callable[[npt.NDArray[np.int64]], UserInputs],
        users: npt.NDArray[np.int64],
        items: npt.NDArray[np.int64],
    ) -> None:
        self._user, self._item = fitted.tower("user"), fitted.tower("item")
        history, age, present, ids, categories, numbers = inputs_of(users)
        self._pooled = self._user.pooled(history, age, present, ids, categories, numbers)[0].clone()
        self.device = ids.device
        of_items = torch.from_numpy(items).to(self.device)
        self._sides = (
            _Side("user", self._user, fitted.encoders[0], ids, Metadata(categories, numbers)),
            _Side(
                "item",
                self._item,
                fitted.encoders[1],
                state.item[of_items],
                Metadata(state.item_categories[of_items], state.item_numbers[of_items]),
            ),
        )
        pooled = (Input(HISTORY, "user"),) if self._user.history is not None else ()
        self.inputs: tuple[Input, ...] = (*pooled, *(one for side in self._sides for one in side.inputs))
        self._place = {(one.name, one.side): number for number, one in enumerate(self.inputs)}

    def __call__(self, gates: Tensor, pairs: Tensor) -> Tensor:
        """(n,) scores of (n,) pairs, by number, with (n, inputs) gates."""
        of_user, of_item = (
            {name: gates[:, number, None] for (name, side), number in self._place.items() if side == wanted}
            for wanted in ("user", "item")
        )
        pooled = self._pooled[pairs]
        if HISTORY in of_user:
            pooled = pooled * of_user[HISTORY]
        user, item = self._sides
        with user.gated(of_user):
            left = self._user.finish(pooled, user.ids[pairs], *user.known(of_user, pairs)).vector
        with item.gated(of_item):
            right = self._item(item.ids[pairs], *item.known(of_item, pairs))
        scores: Tensor = (left * right).sum(-1)
        return scores


class _Side:
    """One tower, what it reads of each pair, and which of its tables belongs to which input."""

    def __init__(self, side: str, tower: Any, encoder: FeatureEncoder, ids: Tensor, known: Metadata) -> None:
        # tensors of inference mode can't be part of a gradient's graph
        self.ids, self._known = ids.clone(), Metadata(*(part.clone() for part in known))
        reads_metadata = tower.numbers is not None or tower.dense is not None
        names = [column.name for column in encoder.columns] if reads_metadata else []
        self._unknown = Unknown(encoder).without(self._known, names).numbers.clone()
        self._columns = Unknown(encoder).columns
        self._tables: dict[nn.Embedding, str] = {}
        own = f"{OWN}_{side}"
        for table in (tower.ids, getattr(tower.fusion, "augmented", None), getattr(tower, "id_bias", None)):
            if table is not None:
                self._tables[table] = own
        for table, column in zip(tower.categories.embeddings(), encoder.of_categories, strict=False):
            self._tables[table] = column.name
        inputs = ([own] if own in self._tables.values() else []) + names
        self.inputs = tuple(Input(name, side, (name,) if name in names else ()) for name in inputs)

    def known(self, gates: dict[str, Tensor], pairs: Tensor) -> Metadata:
        """What of the pairs' metadata is there; categories are gated where their vectors are read."""
        numbers, unknown = self._known.numbers[pairs], self._unknown[pairs]
        scale = torch.ones_like(numbers)
        for name, columns in self._columns.items():
            if name in gates:
                scale[:, columns] = gates[name]
        return Metadata(self._known.categories[pairs], unknown + scale * (numbers - unknown))

    @contextmanager
    def gated(self, gates: dict[str, Tensor]) -> Iterator[None]:
        """Within it every table gives as much of its vectors beyond the unknown's as its gate says."""

        def hook(gate: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
            def part(table: Any, _: Any, vectors: Tensor) -> Tensor:
                unknown: Tensor = table.weight[0]
                return unknown + gate * (vectors - unknown)

            return part

        hooks = [table.register_forward_hook(hook(gates[name])) for table, name in self._tables.items()]
        try:
            yield
        finally:
            for one in hooks:
                one.remove()
