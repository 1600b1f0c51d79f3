"""Small pieces of YAML, written so that people like to read them."""

import json
import re

import yaml

_PLAIN = re.compile(r"[A-Za-z_][\w./*=-]*")


def scalar(value: object) -> str:
    """A value without quotes where YAML reads it as the same text."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def flow(**entries: object) -> str:
    """A mapping on one line."""
    return "{" + ", ".join(f"{scalar(key)}: {scalar(value)}" for key, value in entries.items()) + "}"


def percent(share: float) -> str:
    """A share; 100% only for all."""
    return "100%" if share == 1 else f"{min(share, 0.999):.1%}"
