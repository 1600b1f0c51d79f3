"""What a generated world came to, and how skewed it is."""

from dataclasses import dataclass

import numpy as np

from recommender.data.synthetic.world import Ints


@dataclass(frozen=True, eq=False)
class Summary:
    """Counts of a generated world."""

    events: int
    """Usable ones."""
    dirt: dict[str, dict[str, int]]
    """Unusable rows and values, by table and kind."""
    item_events: Ints
    """(items,) usable events"""
    user_events: Ints
    """(users,) usable events"""

    @property
    def rows(self) -> int:
        """Rows of the events, with the unusable ones."""
        return self.events + sum(self.dirt["events"].values())


@dataclass(frozen=True)
class Skew:
    """How unevenly events are spread over items or users with any."""

    top_1_percent: float
    """Share of the events that the busiest hundredth has."""
    top_10_percent: float
    gini: float
    """0: all alike; 1: one has everything."""

    @classmethod
    def of(cls, counts: Ints) -> "Skew":
        """Of the events of each; those without any are left out."""
        ascending = np.sort(counts[counts > 0]).astype(np.float64)
        if len(ascending) == 0:
            return cls(0.0, 0.0, 0.0)
        count, total = len(ascending), ascending.sum()
        top = [float(ascending[-max(1, round(count * share)) :].sum() / total) for share in (0.01, 0.1)]
        gini = 2 * float(np.arange(1, count + 1) @ ascending) / (count * total) - (count + 1) / count
        return cls(top[0], top[1], gini)
