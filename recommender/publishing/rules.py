"""What the profile's section `publish` asks of lists, over one edition's users and items."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recommender.models.base import Model
from recommender.models.explaining.contributions import Arrangement, as_ranked
from recommender.publishing.edition import Edition


class Rules:
    """Filters, and how candidates are put in order."""

    def __init__(self, edition: Edition) -> None:
        self._edition = edition

    def groups(self, users: npt.NDArray[np.int64]) -> Sequence[npt.NDArray[np.int64]]:
        """Places in `users` of those to whom the same items are allowed."""
        return [np.arange(len(users))]

    def allowed(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_] | None:
        """(items,) what may be recommended to the users of one group; None: everything."""
        return None

    def candidates(self, k: int) -> int:
        """How many are needed to choose `k` from."""
        return k

    def arranged(self, model: Model, k: int) -> Arrangement:
        """Makes lists of candidates."""
        return as_ranked
