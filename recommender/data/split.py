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


def history_cuts(profile: Profile) -> list[int]:
    """Days before a fit's own cut at which the profile's models look at earlier nights, as `Past.before` gives them."""
    return sorted({days for config in (profile.model, *profile.rivals) for days in getattr(config, "history_cuts", ())})


def snapshot_nights(profile: Profile, ds: date, first_event: date) -> list[date]:
    """Nights whose feature snapshots the night `ds` needs: its cuts, and a grid over the training window.

    The grid is anchored at the epoch, so that following nights find theirs already built. Models that learn from
    earlier nights have cuts before those of the candidate and of the refit, and a training window before each.
    """
    split = Split.of(profile, ds)
    step, back = profile.features.snapshot_every_days, history_cuts(profile)
    longest = profile.training.window_days + max(back, default=0) + step
    oldest = max(split.trained_to - timedelta(days=longest), first_event)
    start = oldest + timedelta(days=-(oldest - _EPOCH).days % step)
    grid = {start + timedelta(days=n) for n in range(0, max(0, (ds - start).days) + 1, step)}
    earlier = {cut - timedelta(days=days) for cut in (split.trained_to, ds) for days in back}
    return sorted(grid | {night for night in earlier if night >= first_event} | {split.trained_to, split.judged_at, ds})
