"""What the profile's section `publish` asks of lists, over one edition's users and items."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from recommender.errors import ConfigError
from recommender.models.base import Model
from recommender.models.explaining.contributions import Arrangement, as_ranked
from recommender.publishing.arrange import arrange, new_pool_size, pool_size
from recommender.publishing.checks import Wanted
from recommender.publishing.edition import Edition
from recommender.publishing.filters import allowed
from recommender.publishing.traits import item_traits
from recommender.retrieval.exact import TopK

Mask = npt.NDArray[np.bool_]


class Rules:
    """Filters, and how candidates are put in order.

    Raises
    ------
    ConfigError
        A filter, or the column that says when items came out, doesn't fit the night's tables, or nothing is left for
        strangers, who must find something.
    """

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        self._publish = edition.profile.publish
        self._left = allowed(
            self._publish.filters, edition.users, edition.items, edition.dataset, edition.profile.engine
        )

        if self.unknown is not None and not self.unknown.any():
            raise ConfigError(
                "publish.filters: nothing is left for somebody of whom nothing is known; say what they may get, such "
                "as `users.country is null or …`"
            )

    @property
    def everybody(self) -> Mask | None:
        """(items,) False for what is kept from everybody; None: nothing is."""
        return None if self._left is None else self._left.everybody

    @property
    def unknown(self) -> Mask | None:
        """(items,) what may be recommended to somebody of whom nothing is known; None: everything."""
        return None if self._left is None else self._left.mask(self._left.unknown)

    @property
    def starved(self) -> int:
        """Users for whom no item is left."""
        return 0 if self._left is None else self._left.starved

    def groups(self, users: npt.NDArray[np.int64]) -> Sequence[npt.NDArray[np.int64]]:
        """Places in `users` of those to whom the same items are allowed."""
        if self._left is None:
            return [np.arange(len(users))]
        codes = self._left.groups[users]
        order = np.argsort(codes, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)

    def divided(self, users: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], Mask | None]]:
        """The users of each group, and what is allowed to them."""
        for members in self.groups(users):
            yield users[members], self.allowed(users[members])

    def allowed(self, users: npt.NDArray[np.int64]) -> Mask | None:
        """(items,) what may be recommended to the users of one group; None: everything."""
        if self._left is None or len(users) == 0:
            return self.everybody
        return self._left.mask(self._left.groups[users[0]])

    def wanted(self) -> Wanted:
        """Who must have a list, and what may be in it."""
        dataset = self._edition.dataset
        active = np.zeros(len(dataset.user_ids), bool)
        active[dataset.active_users] = True
        if self._left is None:
            return Wanted(dataset.user_ids, dataset.seen, active)
        return Wanted(dataset.user_ids, dataset.seen, active, self._left.groups, self._left.packed)

    def candidates(self, k: int) -> int:
        """How many are needed to choose `k` from."""
        return min(pool_size(self._publish, k), len(self._edition.dataset.item_ids))

    def arranged(self, model: Model, k: int) -> Arrangement:
        """Makes lists of candidates."""
        publish = self._publish
        new_ones = new_pool_size(publish, k)
        if pool_size(publish, k) == k and new_ones == 0:
            return as_ranked
        vectors_of = model.vector_model if publish.diversity > 0 else None
        vectors = None if vectors_of is None else vectors_of.directions()
        traits = item_traits(self._edition.dataset, self._edition.items, publish, vectors)
        is_new = traits.is_new(publish)

        def arranged(users: npt.NDArray[np.int64], pool: TopK) -> TopK:
            allowed = self.allowed(users)
            new = is_new if allowed is None else is_new & allowed
            wanted = min(new_ones, int(new.sum()))
            beside = model.recommend(users, wanted, allowed=new) if wanted else None
            return arrange(pool, traits, publish, k, beside).top

        return arranged
