"""A world small enough to run whole nights in tests."""

from datetime import date
from pathlib import Path

PROFILE = """
name: small
words: {user: listener, item: track, event: play}
synthetic: {users: 150, items: 100, days: 90, last_day: 2026-03-31, events_per_user: 25, seed: 3}
events: {path: events/*.parquet, columns: {user_id: user_id, item_id: item_id, ts: ts}}
users:
  path: users.csv
  columns: {user_id: user_id, country: country, age: {column: age, min: 10, max: 95}, gender: gender}
items: {path: items.csv, columns: {item_id: item_id, title: title, creator: creator, category: category}}
features:
  windows_days: [7, 30]
  user: [events_7d, events_30d, events_total, days_since_last_event, country, age]
  item: [events_7d, events_30d, events_total, days_since_last_event, creator, category]
model: {dimension: 32, history_length: 20, batch_size: 128, max_epochs: 8}
training: {window_days: 60, validation_days: 7, threads: 1}
evaluation: {holdout_days: 14}
publish: {top_k: 20, similar_k: 5, keep: 3, segments: [age_band, country], min_segment_users: 3}
schedule: {start_date: 2026-03-28}
"""
FIRST, SECOND, THIRD = date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)
AFTER_THE_END = date(2026, 4, 2)
"""The generated world ends on 2026-03-31."""


def write_profile(folder: Path, changes: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(PROFILE + changes)
    return path
