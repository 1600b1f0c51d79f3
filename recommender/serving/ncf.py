"""The calls of a service that answers from a model of kind `ncf`: how likely is a pair, what fits a user.

service = NcfService(folder, checksum, lambda: load_dataset(lake, profile, ds, ds))  # reads nothing yet
service.predict("user-42", "item-7")                     # 0.83
service.recommend("user-42", top_k=5).items              # [Scored("item-7", 0.83), …]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.config.settings import Settings
from recommender.data.dataset import Dataset
from recommender.errors import RequestError, UnknownItemError
from recommender.features.loading import load_dataset
from recommender.models.ncf.model import Ncf
from recommender.retrieval.exact import TopK, top_k_of_scores
from recommender.storage.artifacts import verify
from recommender.storage.lake import Lake
from recommender.storage.registry import ModelVersion


class Scored(NamedTuple):
    """An item and how likely it is chosen."""

    item_id: str
    probability: float


@dataclass(frozen=True)
class Recommended:
    """A list, best first, and what it is from."""

    items: list[Scored]
    source: Literal["personal", "popular"]
    """`popular` for users whom the model doesn't know: a cold start."""


class NcfService:
    """Answers from one artifact and one night's data, both read at the first call.

    Safe to call from several threads. Probabilities are the network's for users it was trained on; for others, an
    item's recent popularity as a share of the most popular one's. They are shares among positives and negatives as
    training drew them (`negatives_per_positive`), meant for comparing items, and probabilities with `loss: bce` alone.

    Parameters
    ----------
    artifact, expected
        A model's folder, and the checksum it was registered with.
    known
        Reads the data set to answer about: catalogue, histories and features.
    """

    def __init__(self, artifact: Path, expected: str, known: Callable[[], Dataset]) -> None:
        self._artifact, self._expected, self._known = artifact, expected, known
        self._lock = Lock()

    @classmethod
    def of_version(cls, settings: Settings, version: ModelVersion) -> Self:
        """What a registered version answers about its own night."""
        lake = Lake(settings.lake)
        return cls(*version.served, lambda: load_dataset(lake, settings.profile, version.ds, known=version.ds))

    def predict(self, user_id: str, item_id: str) -> float:
        """How likely the user chooses the item, from 0 to 1.

        Raises
        ------
        UnknownItemError
            The catalogue lacks the item.
        RequestError
            An id is no text.
        ArtifactError
            The artifact is missing, changed, or of another kind.
        """
        return self.predict_batch([(user_id, item_id)])[0]

    def predict_batch(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """`predict` for each (user, item), in one pass."""
        for pair in pairs:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise RequestError("pairs must be of a user id and an item id each")
            _require_text("user_id", pair[0])
            _require_text("item_id", pair[1])
        if not pairs:
            return []
        world = self._loaded
        users = world.users.get_indexer(pd.Index([user for user, _ in pairs], dtype=object))
        items = world.items.get_indexer(pd.Index([item for _, item in pairs], dtype=object))
        if (items < 0).any():
            unknown = pairs[int(np.argmax(items < 0))][1]
            raise UnknownItemError(f"no item {unknown!r} in the catalogue of {world.model.dataset.ds}")
        scores = world.model.popular()[items]
        known = users >= 0
        scores[known] = world.model.score(users[known], items[known])
        return [float(probability) for probability in _probability(scores)]

    def recommend(self, user_id: str, top_k: int = 10, *, exclude_seen: bool = True) -> Recommended:
        """The items that fit a user best; what is popular for one whom the model doesn't know.

        Shorter than `top_k` where the catalogue has no more. Raises as `predict` does, and

        Raises
        ------
        RequestError
            `top_k` is no whole number above 0.
        """
        _require_text("user_id", user_id)
        if isinstance(top_k, bool) or not isinstance(top_k, int | np.integer) or top_k < 1:
            raise RequestError(f"top_k must be a whole number above 0, not {top_k!r}")
        world = self._loaded
        user = world.users.get_indexer(pd.Index([user_id], dtype=object)).astype(np.int64)
        if user[0] < 0:
            return world.listed(top_k_of_scores(world.model.popular()[None], top_k), "popular")
        source: Literal["personal", "popular"] = "personal" if world.model.knows(user)[0] else "popular"
        return world.listed(world.model.recommend(user, top_k, exclude_seen=exclude_seen), source)

    @property
    def _loaded(self) -> "_World":
        with self._lock:
            return self._world

    @cached_property
    def _world(self) -> "_World":
        verify(self._artifact, self._expected)
        model = Ncf.load(self._artifact)
        dataset = self._known()
        model.attach(dataset)
        return _World(model, pd.Index(dataset.user_ids), pd.Index(dataset.item_ids))


@dataclass(frozen=True, eq=False)
class _World:
    model: Ncf
    users: pd.Index
    items: pd.Index

    def listed(self, top: TopK, source: Literal["personal", "popular"]) -> Recommended:
        found = top.items[0] >= 0
        probabilities = _probability(top.scores[0][found])
        items = [
            Scored(str(self.items[item]), float(probability))
            for item, probability in zip(top.items[0][found], probabilities, strict=True)
        ]
        return Recommended(items, source)


def _probability(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def _require_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise RequestError(f"{name} must be text that isn't empty, not {type(value).__name__}")
