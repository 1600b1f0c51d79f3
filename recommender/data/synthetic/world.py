"""Who lives in the generated world: items with latent vectors, users with tastes, and the days they meet on.

There are a few dozen tastes. Taste `t` chooses item `i` with probability

    q[t, i] proportional to appeal[i] * exp(sharpness * cos(item[i], taste[t]))

where appeal follows Zipf's law. A user mixes three tastes, which go with country, age and gender, and drifts to three
others: the user's chance of choosing `i` on day `d` is proportional to

    novelty(d - released[i]) * sum over t of q[t, i] * ((1 - x) * before[t] + x * after[t])

with x = drift * d / (days - 1) and novelty 0 before the release and falling to a constant after it.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.config.profile import SyntheticWorld

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]

LATENT = 12
COUNTRIES = ("BR", "DE", "FR", "JP", "PL", "SE", "UK", "US")
GENDERS = ("F", "M", "X")
TASTES_A_USER = 3
_TASTES_A_CATEGORY = 4
_SHARPNESS = 12.0
_DEMOGRAPHY = 4.0
"""How strongly country, age and gender decide which tastes a user has."""
_APPEAL_FLATTENED = 0.01
"""Share of the items that are about equally popular at the top."""
_OLD_ITEMS_DAYS = 2500
"""Mean age of the items that were there before the first day."""
_SETTLED = 0.4
_NOVELTY_DAYS = 20.0
SETTLED_DAYS = 400
"""Nothing is new any more at this age."""
_ACTIVITY_SPREAD = 0.8
_LEAVERS = 0.2
_AGE_GROUPS = 7

_WEEKDAY = np.array([0.05, 0.08, 0.08, 0.06, 0.0, -0.15, -0.12])
_YEARLY = 0.3
_MIDWINTER = 15
"""Day of the year with the most events."""
_HOUR = 2 * np.array(
    [-0.24, -0.35, -0.41, -0.45, -0.49, -0.5, -0.47, -0.41, -0.28, -0.14, -0.01, 0.07,
     0.14, 0.24, 0.33, 0.43, 0.46, 0.47, 0.5, 0.46, 0.43, 0.26, 0.07, -0.11]
)  # fmt: skip
"""Deviations from an even day, as listeners of Last.fm show them at half strength."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items."""

    creator: Ints
    """(items,) number of the creator"""
    category: Ints
    """(items,)"""
    vector: Floats
    """(items, LATENT) of length 1"""
    appeal: Doubles
    """(items,) positive"""
    released: Ints
    """(items,) day, 0 the first; negative for what was there before"""


@dataclass(frozen=True, eq=False)
class Population:
    """The users."""

    country: Ints
    age: Ints
    gender: Ints
    joined: Ints
    """(users,) first day with events"""
    left: Ints
    """(users,) day after the last with events"""
    tastes: npt.NDArray[np.uint8]
    """(users, 2, TASTES_A_USER) before and after the drift"""
    shares: Floats
    """(users, 2, TASTES_A_USER) sums to 1 over the last axis"""
    events: Ints
    """(users,) how many events each is to have"""


@dataclass(frozen=True, eq=False)
class World:
    """Everything that is decided before the first event."""

    size: SyntheticWorld
    catalogue: Catalogue
    population: Population
    tastes: Floats
    """(tastes, LATENT) of length 1"""

    @property
    def first_day(self) -> date:
        return self.size.last_day - timedelta(days=self.size.days - 1)


def generator(seed: int, *stage: int) -> np.random.Generator:
    """Randomness of one stage; stages do not disturb each other's."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stage))


def build(size: SyntheticWorld) -> World:
    """Draw the items, the tastes and the users of a world."""
    rng = generator(size.seed, 0)
    categories = rng.normal(size=(size.categories, LATENT))
    catalogue = _catalogue(size, rng, categories)
    of_category = np.arange(_TASTES_A_CATEGORY * size.categories) % size.categories
    tastes = unit(categories[of_category] + 0.7 * rng.normal(size=(len(of_category), LATENT)))
    return World(size, catalogue, _population(size, rng, tastes), tastes)


def choice_probabilities(tastes: Floats, vectors: Floats, appeal: Doubles) -> Doubles:
    """(tastes, items) q of the module's description; rows sum to 1."""
    weights: Doubles = appeal * np.exp(_SHARPNESS * (tastes @ vectors.T).astype(np.float64))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def novelty(age_days: Ints) -> Floats:
    """0 before the release, 1 on its day, falling to a constant."""
    fresh = np.exp(-np.maximum(age_days, 0) / _NOVELTY_DAYS)
    new: Floats = np.where(age_days < 0, 0.0, _SETTLED + (1 - _SETTLED) * fresh).astype(np.float32)
    return new


def drifted(size: SyntheticWorld, day: npt.NDArray[np.integer[Any]]) -> Doubles:
    """Share of the later tastes on a day."""
    share: Doubles = size.drift * np.asarray(day, np.float64) / (size.days - 1)
    return share


def day_weights(size: SyntheticWorld) -> Doubles:
    """(days,) how busy each day is; 1 on average over a year."""
    first = size.last_day - timedelta(days=size.days - 1)
    day = np.arange(size.days)
    of_year = first.timetuple().tm_yday + day
    yearly = _YEARLY * np.cos(2 * np.pi * (of_year - _MIDWINTER) / 365.25)
    weights: Doubles = (1 + size.seasonality * _WEEKDAY[(first.weekday() + day) % 7]) * (1 + size.seasonality * yearly)
    return weights


def hour_weights(size: SyntheticWorld) -> Doubles:
    """(24,) how busy each hour is; 1 on average."""
    uneven = 1 + size.seasonality * _HOUR
    weights: Doubles = uneven / uneven.mean()
    return weights


def unit(vectors: Doubles) -> Floats:
    scaled: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _catalogue(size: SyntheticWorld, rng: np.random.Generator, categories: Doubles) -> Catalogue:
    creators = size.creators or max(10, size.items // 8)
    creator_category = rng.integers(size.categories, size=creators)
    creator_vector = categories[creator_category] + 0.6 * rng.normal(size=(creators, LATENT))
    creator = (rng.pareto(1.2, size.items) * creators / 8).astype(np.int64) % creators  # few have many
    vector = unit(creator_vector[creator] + 0.5 * rng.normal(size=(size.items, LATENT)))
    rank = rng.permutation(size.items) + _APPEAL_FLATTENED * size.items
    new = rng.random(size.items) < size.new_item_share
    old_day = -1 - (rng.exponential(_OLD_ITEMS_DAYS, size.items)).astype(np.int64)
    released = np.where(new, rng.integers(1, size.days, size=size.items), old_day)
    return Catalogue(creator, creator_category[creator], vector, (rank / size.items) ** -size.popularity, released)


def _population(size: SyntheticWorld, rng: np.random.Generator, tastes: Floats) -> Population:
    users = size.users
    shares = 1 / np.arange(1, len(COUNTRIES) + 1)
    country = rng.choice(len(COUNTRIES), users, p=shares / shares.sum())
    age = np.clip(rng.gamma(6, 4.5, users) + 8, 13, 90).astype(np.int64)
    gender = rng.choice(len(GENDERS), users, p=(0.48, 0.48, 0.04))
    kind = (country * _AGE_GROUPS + np.clip(age // 10 - 1, 0, _AGE_GROUPS - 1)) * len(GENDERS) + gender
    new = rng.random(users) < size.new_user_share
    joined = np.where(new, rng.integers(1, size.days - 1, size=users), 0)
    leaving = rng.random(users) < _LEAVERS
    left = np.where(leaving, joined + 1 + (rng.random(users) * (size.days - joined)).astype(np.int64), size.days)
    left = np.minimum(left, size.days)
    mixture = rng.standard_exponential((users, 2, TASTES_A_USER), np.float32)
    mixture /= mixture.sum(axis=2, keepdims=True)
    busy = np.concatenate([[0], np.cumsum(day_weights(size))])
    activity = rng.lognormal(0, _ACTIVITY_SPREAD, users) * (busy[left] - busy[joined])
    # rounding the running sum keeps the total
    due = np.round(np.cumsum(activity) * (round(size.users * size.events_per_user) / activity.sum())).astype(np.int64)
    events = np.diff(due, prepend=0)
    if not size.repeats:
        events = np.minimum(events, size.items // 2)
    likely = np.cumsum(_demographic_tastes(rng, tastes), axis=1)
    drawn = rng.random((users, 2 * TASTES_A_USER)) + kind[:, None]
    flat = np.searchsorted((likely / likely[:, -1:] + np.arange(len(likely))[:, None]).ravel(), drawn, side="right")
    chosen = np.clip(flat - kind[:, None] * len(tastes), 0, len(tastes) - 1)
    return Population(
        country, age, gender, joined, left,
        chosen.astype(np.uint8).reshape(users, 2, TASTES_A_USER), mixture, events,
    )  # fmt: skip


def _demographic_tastes(rng: np.random.Generator, tastes: Floats) -> Doubles:
    """(country x age group x gender, tastes) how likely each kind of person has each taste."""
    parts = [rng.normal(size=(count, LATENT)) for count in (len(COUNTRIES), _AGE_GROUPS, len(GENDERS))]
    sums = parts[0][:, None, None] + parts[1][None, :, None] + 0.5 * parts[2][None, None, :]
    liked: Doubles = np.exp(_DEMOGRAPHY * (unit(sums.reshape(-1, LATENT)) @ tastes.T).astype(np.float64))
    return liked
