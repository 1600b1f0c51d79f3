"""What one fit learns from, read from the lake: the world at a cut, its training rows, what came after, and before."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from recommender.config.profile import Profile
from recommender.data.dataset import Dataset, Past, TrainingRows, Truth
from recommender.data.split import Split
from recommender.features.loading import load_dataset, training_rows, truth_after
from recommender.storage.lake import Lake

if TYPE_CHECKING:
    from feast import FeatureStore


class LakePast:
    """`data.dataset.Past` over the lake.

    Parameters
    ----------
    cut
        The last day that the fit knows; earlier nights are counted from it.
    known
        The night whose users and items give the indices; nothing that landed after it is read.
    """

    def __init__(self, lake: Lake, profile: Profile, store: "FeatureStore", cut: date, known: date) -> None:
        self._lake, self._profile, self._store = lake, profile, store
        self._cut, self._known = cut, known
        self._read: dict[int, tuple[Dataset, TrainingRows, Truth]] = {}

    def before(self, days: int) -> tuple[Dataset, TrainingRows, Truth]:
        """See `Past.before`; read once however many models ask."""
        if days not in self._read:
            dataset = load_dataset(self._lake, self._profile, self._cut - timedelta(days=days), known=self._known)
            rows = training_rows(self._store, self._profile, dataset)
            self._read[days] = dataset, rows, truth_after(self._lake, dataset, self._cut, known=self._known)
        return self._read[days]


@dataclass(frozen=True, eq=False)
class Material:
    """What one fit learns from."""

    dataset: Dataset
    rows: TrainingRows
    truth: Truth | None
    """What came after the cut, for early stopping and comparison; None: everything is known already."""
    past: Past


def validation_material(lake: Lake, profile: Profile, store: "FeatureStore", split: Split) -> Material:
    """What the night's models learn from, up to `trained_to`, and the validation days after; never the holdout.

    Raises
    ------
    NotReadyError
        The lake lacks the night's events or feature snapshots.
    """
    dataset = load_dataset(lake, profile, split.trained_to, known=split.ds)
    rows = training_rows(store, profile, dataset)
    truth = truth_after(lake, dataset, split.judged_at, known=split.ds)
    return Material(dataset, rows, truth, LakePast(lake, profile, store, split.trained_to, known=split.ds))
