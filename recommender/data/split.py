"""The nights at which a model's knowledge is cut: by time, never at random."""

from dataclasses import dataclass
from datetime import date, timedelta

from recommender.config.profile import Profile

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Split:
    """Cuts of one night.

    Training knows up to `trained_to`; early stopping looks at the days up to `judged_at`; the gate judges on the
    days up to `ds`, which the candidate has never seen.
    """

    trained_to: date
    judged_at: date
    ds: date

    @classmethod
    def of(cls, profile: Profile, ds: date) -> "Split":
        judged_at = ds - timedelta(days=profile.evaluation.holdout_days)
        return cls(judged_at - timedelta(days=profile.training.validation_days), judged_at, ds)


def snapshot_nights(profile: Profile, ds: date, first_event: date) -> list[date]:
    """Nights whose feature snapshots the night `ds` needs: its cuts, and a grid over the training window.

    The grid is anchored at the epoch, so that following nights find theirs already built.
    """
    split = Split.of(profile, ds)
    step = profile.features.snapshot_every_days
    oldest = max(split.trained_to - timedelta(days=profile.training.window_days + step), first_event)
    start = oldest + timedelta(days=-(oldest - _EPOCH).days % step)
    grid = {start + timedelta(days=n) for n in range(0, max(0, (ds - start).days) + 1, step)}
    return sorted(grid | {split.trained_to, split.judged_at, ds})
