"""Titles as people mistype them."""

import random

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def misspell(title: str, typos: int, rng: random.Random) -> str:
    """The title with so many random typos: a letter left out, added, replaced, or swapped with its neighbour."""
    for _ in range(typos):
        kind, place, letter = (
            rng.choice(("add", "drop", "replace", "swap")),
            rng.randrange(len(title)),
            rng.choice(_LETTERS),
        )
        if kind == "drop" and len(title) > 1:
            title = title[:place] + title[place + 1 :]
        elif kind == "replace":
            title = title[:place] + letter + title[place + 1 :]
        elif kind == "swap" and len(title) > 1:
            place = min(place, len(title) - 2)
            title = title[:place] + title[place + 1] + title[place] + title[place + 2 :]
        else:
            title = title[:place] + letter + title[place:]
    return title
