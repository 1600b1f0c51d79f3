"""What differs between two configurations, for people."""

import json
from collections.abc import Mapping
from typing import Any

from recommender.evaluation.findings import Change

LONGEST = 60
"""Letters of a value that are shown."""
LISTED = "listed"
_BEFORE_DIFFERENCE = 20
"""Letters of a longer value that are shown before the first that differs."""


def config_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Every setting that differs, by its dotted name, such as `model.dimension`, in the order of the names.

    Of a list of names each one that was added or removed is a change: `features.user.age` from None to `listed`. Any
    other list is one value, and so is one whose order alone differs.
    """
    old, new = _flat(before), _flat(after)
    return [change for key in sorted(old.keys() | new.keys()) for change in _changes(key, old, new)]


def _changes(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    if key not in old:
        return [Change(key, None, _text(new[key]))]
    if key not in new:
        return [Change(key, _text(old[key]), None)]
    was, now = old[key], new[key]
    if was == now:
        return []
    if _is_names(was) and _is_names(now) and set(was) != set(now):
        return [
            Change(f"{key}.{name}", LISTED if name in was else None, LISTED if name in now else None)
            for name in sorted(set(was) ^ set(now))
        ]
    letters = list(zip(_whole(was), _whole(now), strict=False))
    same = next((number for number, (one, other) in enumerate(letters) if one != other), len(letters))
    return [Change(key, _text(was, same), _text(now, same))]


def _flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Settings by their dotted names; lists are values."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{key}.")
        else:
            found[key] = list(value) if isinstance(value, list | tuple) else value
    return found


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _text(value: Any, same: int = 0) -> str:
    """A value, or so much of it as tells it from another whose first letters are the same."""
    whole = _whole(value)
    start = max(0, same - _BEFORE_DIFFERENCE) if len(whole) > LONGEST else 0
    cut = "…" * (start > 0) + whole[start:]
    return cut if len(cut) <= LONGEST else f"{cut[: LONGEST - 1]}…"


def _whole(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
