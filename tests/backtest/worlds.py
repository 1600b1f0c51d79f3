"""A world whose taste turns over, so small that one can say what every model will find.

120 items. Up to 2026-01-20 some users each go through one block of twenty neighbouring items, an item a day. Then many
others come, who go through the twenty items whose numbers leave the same rest by six. A model that counts who met
both finds all that is left of a user's twenty as long as it has seen users of that kind, and next to nothing before.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np

FIRST, TURN, SECOND, END = date(2026, 1, 16), date(2026, 1, 21), date(2026, 2, 4), date(2026, 2, 7)
"""The night before and the night after the turn, and the last day."""
EVERY = (SECOND - FIRST).days
BEGIN = date(2026, 1, 1)
GROUPS, OWN, EARLY, LATE = 6, 20, 48, 144
PROFILE = """
name: turning
events: {path: events.csv, columns: {user_id: u, item_id: i, ts: t}}
features: {windows_days: [7], user: [events_7d, events_total], item: [events_7d, events_total]}
model: {kind: item_knn, neighbours: 200}
training: {window_days: 60, validation_days: 2, threads: 1}
evaluation: {holdout_days: 3}
publish: {top_k: 20, similar_k: 5}
"""
FRESH = """
name: fresh
rules:
  - {name: beats_popularity, metric: recall@20, against: popularity, at_least: 1.05}
  - {name: keeps_up, metric: recall@20, against: champion, at_least: 0.98}
"""
STUBBORN = FRESH.replace("fresh", "stubborn").replace("at_least: 0.98", "at_least: 100, otherwise: ask")
"""Nothing is ever a hundred times as good: it asks, and silence means no."""


def write_world(folder: Path, last: date = END) -> Path:
    """Profile, policies and events up to a day; returns the profile's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("turning", PROFILE), ("fresh", FRESH), ("stubborn", STUBBORN)):
        (folder / f"{name}.yaml").write_text(text)
    rows = [f"{user},item-{item:03},{day}T12:00:00" for user, item, day in _choices() if day <= last]
    (folder / "events.csv").write_text("\n".join(["u,i,t", *rows]) + "\n")
    return folder / "turning.yaml"


def _choices() -> list[tuple[str, int, date]]:
    dice = np.random.default_rng(0)
    found = []
    for start, name, users in ((BEGIN, "early", EARLY), (TURN, "late", LATE)):
        for number in range(users):
            group = number % GROUPS
            own = [group * OWN + n if start == BEGIN else group + n * GROUPS for n in range(OWN)]
            dice.shuffle(own)
            found += [(f"{name}-{number}", item, start + timedelta(days=n)) for n, item in enumerate(own)]
    return found
