"""What every domain of the generated world draws on: names of creators, and traits that go with what an item is."""

import unicodedata

import numpy as np
import numpy.typing as npt

_SYLLABLES = (
    "ba",
    "dé",
    "fi",
    "gor",
    "hul",
    "jan",
    "kö",
    "lem",
    "mir",
    "nu",
    "pas",
    "rei",
    "so",
    "tyl",
    "vá",
    "wen",
    "zo",
)
_MIN_SYLLABLES = 3
_FEATURED = 0.5
"""Correlation of an attribute with the item's latent vector; the rest is noise."""


def creators(rng: np.random.Generator, count: int) -> list[str]:
    """Names of people. Any two differ in two syllables at least: the last one is a checksum of the others."""
    base = len(_SYLLABLES)
    length = _MIN_SYLLABLES
    while base**length < count:
        length += 1
    names = []
    for number in rng.choice(base**length, count, replace=False).tolist():
        digits = [number // base**place % base for place in range(length)]
        word = [_SYLLABLES[digit] for digit in (*digits, sum(digits) % base)]
        half = (len(word) + 1) // 2
        names.append(f"{''.join(word[:half]).title()} {''.join(word[half:]).title()}")
    return names


def trait(rng: np.random.Generator, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(items,) a standard normal trait along a random direction of the latent space, with noise."""
    direction = rng.normal(size=vectors.shape[1])
    heard = vectors @ direction
    heard = (heard - heard.mean()) / max(float(heard.std()), 1e-9)
    trait: npt.NDArray[np.float64] = np.sqrt(_FEATURED) * heard + np.sqrt(1 - _FEATURED) * rng.normal(size=len(heard))
    return trait


def without_accents(name: str) -> str:
    """The same letters, plain."""
    return "".join(letter for letter in unicodedata.normalize("NFD", name) if not unicodedata.combining(letter))
