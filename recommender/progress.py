"""How long work says how far it has come."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Takes one line of text."""


def quiet(_line: str) -> None:
    """Progress that nobody asked for."""
