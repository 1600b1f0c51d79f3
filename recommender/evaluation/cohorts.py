"""Groups of the judged users: whether a model that is better for most is worse for some.

Users are grouped by what they are (`age_band`, `gender`, `country` and every other declared category of few values)
and by what they have done up to the data set's end: `activity`, `tenure` and `warmth`. Groups of fewer than
`MIN_USERS` are never told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.columns import AGE, AGE_BAND, AGE_BANDS, COUNTRY, GENDER
from recommender.config.profile import Profile
from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.evaluation.confidence import PerUser, compare, intervals
from recommender.evaluation.findings import CohortFigures
from recommender.features.definitions import declared_features

MIN_USERS = 30
"""Of a cohort, and of a stratum whose own mean is believed."""
MOST_VALUES = 12
"""Of a category whose values are cohorts; what people usually ask for may have more."""
ACTIVITY, TENURE, WARMTH = "activity", "tenure", "warmth"
USUAL = (AGE_BAND, GENDER, COUNTRY)
OTHER = "other"
"""Values with fewer than `MIN_USERS` users, together."""
UNKNOWN = "unknown"
"""No value."""
COLD_EVENTS = 5
"""A user with more events is warm."""
TENURE_DAYS = (30, 180, 365)
"""Last days since the first event of each cohort but the last."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """Some of the judged users."""

    dimension: str
    label: str
    members: npt.NDArray[np.bool_]
    """(users,) over the users that were given."""

    def at(self, rows: npt.NDArray[np.int64]) -> Self:
        """The same over some of the users, such as a sample."""
        return replace(self, members=self.members[rows])


def cohorts_of(profile: Profile, dataset: Dataset, users: npt.NDArray[np.int64]) -> list[Cohort]:
    """The cohorts of `users` (n,), the data set's indices, by dimension; one that holds everybody is left out."""
    events, days = (values[users] for values in _history(dataset))
    groups: list[tuple[str, pd.Categorical]] = [
        *_attributes(profile, dataset, users),
        (ACTIVITY, _banded(events, _thirds(events), "events")),
        (TENURE, _banded(days, TENURE_DAYS, "days")),
        (WARMTH, pd.Categorical(np.where(events <= COLD_EVENTS, "cold", "warm"), ["cold", "warm"])),
    ]
    cohorts = []
    for dimension, labels in groups:
        for code, label in enumerate(labels.categories):
            members = np.asarray(labels.codes == code)
            if MIN_USERS <= members.sum() < len(users):
                cohorts.append(Cohort(dimension, str(label), members))
    return cohorts


def cohort_figures(
    challenger: PerUser, champion: PerUser | None, cohorts: Sequence[Cohort], metrics: Sequence[str], seed: int
) -> list[CohortFigures]:
    """Each cohort's means of those metrics that there are, with intervals, beside the champion's on the same users.

    A cohort of which fewer than `MIN_USERS` are left, as in a sample, is left out.
    """
    found = []
    for cohort in cohorts:
        if cohort.members.sum() < MIN_USERS:
            continue
        ours = _of(challenger, cohort, metrics)
        theirs = _of(champion, cohort, metrics) if champion is not None else {}
        found.append(
            CohortFigures(
                cohort.dimension,
                cohort.label,
                int(cohort.members.sum()),
                intervals(ours, seed) if ours else {},
                intervals(theirs, seed) if theirs else {},
                compare(ours, theirs, seed) if ours.keys() & theirs.keys() else {},
            )
        )
    return found


def represented(dataset: Dataset, users: npt.NDArray[np.int64]) -> float:
    """Of the users with events, the share that was judged."""
    return len(users) / max(1, len(dataset.active_users))


def weighted(values: npt.NDArray[np.float64], dataset: Dataset, users: npt.NDArray[np.int64]) -> float:
    """The mean over all users with events, as if those who were not judged were like those who were.

    Users are divided into strata by thirds of activity and by tenure. Each stratum's mean over the judged counts by
    the number of its users with events (post-stratification: Holt and Smith, "Post Stratification", 1979). With fewer
    than `MIN_USERS` judged users a stratum has the mean of its third, and that failing of everybody.

    Parameters
    ----------
    values
        (n,) a metric of each judged user.
    users
        (n,) who they are, as the data set's indices; at least one.
    """
    events, days = _history(dataset)
    everybody = dataset.active_users
    third = np.digitize(events, _thirds(events[everybody]), right=True)
    stratum = third * (len(TENURE_DAYS) + 1) + np.digitize(days, TENURE_DAYS, right=True)
    believed = np.full(len(events), values.mean())
    for group in (third, stratum):
        judged = np.bincount(group[users], minlength=group.max() + 1)
        means = np.bincount(group[users], weights=values, minlength=len(judged)) / np.maximum(judged, 1)
        enough = judged[group] >= MIN_USERS
        believed[enough] = means[group[enough]]
    return float(believed[everybody].mean())


def _of(per_user: PerUser, cohort: Cohort, metrics: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    return {name: per_user[name][cohort.members] for name in metrics if name in per_user}


def _history(dataset: Dataset) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(users,) events, and whole days since the first of them, 0 without any."""
    events = np.diff(dataset.offsets)
    days = np.zeros(len(events), np.int64)
    active = dataset.active_users
    days[active] = (dataset.until - dataset.ts[dataset.offsets[active]]) // SECONDS_A_DAY
    return events, days


def _thirds(events: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The most events of the least active third, and of the middle one."""
    if len(events) == 0:
        return 0, 0
    low, high = np.quantile(events, (1 / 3, 2 / 3), method="inverted_cdf")
    return int(low), int(high)


def _banded(values: npt.NDArray[np.int64], bounds: Sequence[int], unit: str) -> pd.Categorical:
    """(n,) bands with labels that say their bounds, the lowest first."""
    between = [f"{low + 1:,} to {high:,} {unit}" for low, high in pairwise(bounds)]
    labels = np.array([f"up to {bounds[0]:,} {unit}", *between, f"over {bounds[-1]:,} {unit}"], dtype=object)
    return pd.Categorical(labels[np.digitize(values, bounds, right=True)], labels)


def _attributes(
    profile: Profile, dataset: Dataset, users: npt.NDArray[np.int64]
) -> Iterator[tuple[str, pd.Categorical]]:
    """Each category of the users with its (n,) values, what people usually ask for first."""
    frame = dataset.user_features.iloc[users]
    columns = {
        feature.name: frame[feature.name]
        for feature in declared_features(profile, "user")
        if feature.kind == "categorical" and feature.name in frame
    }
    for name in USUAL:
        if name not in columns and name in dataset.affinity_keys:
            columns[name] = pd.Series(dataset.affinity_keys[name][users], dtype=object)
    if AGE_BAND not in columns and AGE in frame:
        columns[AGE_BAND] = _age_bands(frame[AGE])
    for name in (*USUAL, *(name for name in columns if name not in USUAL)):
        if name in columns and (name in USUAL or columns[name].nunique() <= MOST_VALUES):
            yield name, _named(columns[name])


def _age_bands(age: pd.Series) -> pd.Series:
    """As a night makes them of the users' ages; None without one."""
    between = [f"{start}-{end - 1}" for start, end in pairwise(AGE_BANDS)]
    labels = np.array([f"under {AGE_BANDS[0]}", *between, f"{AGE_BANDS[-1]}+"], dtype=object)
    years = age.to_numpy(np.float64)
    return pd.Series(np.where(np.isnan(years), None, labels[np.digitize(years, AGE_BANDS)]))


def _named(values: pd.Series) -> pd.Categorical:
    """The values in their order, those of few users as one, then the missing ones."""
    labels = values.where(values.notna(), UNKNOWN).astype(str)
    labels = labels.where(labels.map(labels.value_counts()) >= MIN_USERS, OTHER)
    last = [label for label in (OTHER, UNKNOWN) if label in set(labels)]
    # "under 18" is the lowest of the age bands
    named = sorted(set(labels) - set(last), key=lambda label: (not label.startswith("under "), label))
    return pd.Categorical(labels, [*named, *last])
