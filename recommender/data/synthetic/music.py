"""The music domain of the generated world: genres, artists, titles and what one can hear in a track."""

import numpy as np
import numpy.typing as npt

from recommender.data.synthetic.naming import trait, without_accents

CATEGORIES = (
    "ambient", "blues", "chanson", "dub", "electro", "folk", "gospel", "house", "indie", "jazz", "klezmer", "latin",
    "metal", "new wave", "opera", "polka", "qawwali", "reggae", "soul", "techno", "uk garage",
    "vaporwave", "waltz", "zouk",
)  # fmt: skip
_FIRST = (
    "Amber Blue Crystal Distant Electric Fading Golden Hollow Iron Jade Lonely Midnight Northern Open Paper Quiet "
    "Restless Silver Tender Velvet Wild Young"
).split()
_SECOND = (
    "Avenue Bridge Canyon Dawn Echo Fields Garden Harbour Island Journey Kingdom Letters Mirror Nights Ocean Parade "
    "Rain Shadows Tides Voices Windows Years"
).split()
_LONG_TITLES = 0.4


def titles(rng: np.random.Generator, count: int) -> list[str]:
    """Two or three words; many tracks share a title, as they do."""
    first, second = rng.integers(len(_FIRST), size=count), rng.integers(len(_SECOND), size=count)
    third = np.where(rng.random(count) < _LONG_TITLES, rng.integers(len(_SECOND), size=count), -1)
    return [
        f"{_FIRST[a]} {_SECOND[b]}" + (f" {_SECOND[c]}" if c >= 0 and c != b else "")
        for a, b, c in zip(first.tolist(), second.tolist(), third.tolist(), strict=True)
    ]


def misspell(name: str, other: str, kind: int) -> str:
    """The same artist as another source spells it; `other` is whom the track features."""
    spellings = (name.upper(), name.lower(), without_accents(name), f"{name} feat. {other}", f"The {name}")
    spelt = spellings[kind % len(spellings)]
    return spelt if spelt != name else name.upper()


def attributes(
    rng: np.random.Generator, vectors: npt.NDArray[np.float32], released_year: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Numeric columns: energy and valence from 0 to 1, tempo in beats a minute, duration in seconds, year."""
    energy, valence, tempo, duration = (trait(rng, vectors) for _ in range(4))
    return {
        "energy": np.round(1 / (1 + np.exp(-1.5 * energy)), 3),
        "valence": np.round(1 / (1 + np.exp(-1.5 * valence)), 3),
        "tempo": np.round((120 + 24 * tempo).clip(50, 220), 1),
        "duration": np.round(215 * np.exp(0.3 * duration)),
        "year": released_year.astype(np.float64),
    }
