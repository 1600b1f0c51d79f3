"""The bookshop of the generated world: genres, authors, titles, and what a shop knows of a book."""

import numpy as np
import numpy.typing as npt

from recommender.data.synthetic.naming import trait, without_accents

CATEGORIES = (
    "adventure", "biography", "crime", "drama", "essays", "fantasy", "gardening", "history", "illustrated", "journeys",
    "kitchen", "letters", "mystery", "nature", "opera guides", "poetry", "quiz", "romance", "science fiction",
    "thriller", "urban fantasy", "verse", "westerns", "young readers",
)  # fmt: skip
_SUBJECTS = (
    "Archivist Beekeeper Cartographer Daughter Exile Forger Gardener Heir Innkeeper Judge Keeper Lighthouse Mapmaker "
    "Navigator Orphan Physician Queen River Stranger Translator Uncle Violin Winter Year"
).split()
_PLACES = (
    "Alexandria Bergen Cordoba Dresden Edinburgh Florence Granada Havana Istanbul Jaipur Krakow Lisbon Marrakesh "
    "Naples Odessa Prague Quebec Riga Seville Trieste Utrecht Venice Warsaw Zagreb"
).split()
_SERIES = 0.15
"""Share of the titles that are volumes of a series."""
_LONGEST_SERIES = 9
_MEAN_RATING, _RATING_SPREAD = 3.8, 0.45
_MEDIAN_PRICE, _PRICE_SPREAD = 14.0, 0.45
_MEDIAN_RATINGS, _RATINGS_SPREAD = 120.0, 1.6
_MEDIAN_PAGES, _PAGES_SPREAD = 320.0, 0.35


def titles(rng: np.random.Generator, count: int) -> list[str]:
    """`The Forger of Prague`, some of them with the number of a volume."""
    subject, place = rng.integers(len(_SUBJECTS), size=count), rng.integers(len(_PLACES), size=count)
    volume = np.where(rng.random(count) < _SERIES, rng.integers(1, _LONGEST_SERIES + 1, size=count), 0)
    return [
        f"The {_SUBJECTS[a]} of {_PLACES[b]}" + (f", Vol. {number}" if number else "")
        for a, b, number in zip(subject.tolist(), place.tolist(), volume.tolist(), strict=True)
    ]


def misspell(name: str, other: str, kind: int) -> str:  # noqa: ARG001 - other domains name both
    """The same author as another catalogue spells them."""
    spellings = (name.upper(), name.lower(), without_accents(name))
    spelt = spellings[kind % len(spellings)]
    return spelt if spelt != name else name.upper()


def attributes(
    rng: np.random.Generator, vectors: npt.NDArray[np.float32], released_year: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Numeric columns: price, average rating from 1 to 5, number of ratings, pages, year."""
    price, rating, ratings, pages = (trait(rng, vectors) for _ in range(4))
    return {
        "price": np.round(_MEDIAN_PRICE * np.exp(_PRICE_SPREAD * price), 2),
        "rating": np.round((_MEAN_RATING + _RATING_SPREAD * rating).clip(1, 5), 2),
        "ratings": np.round(_MEDIAN_RATINGS * np.exp(_RATINGS_SPREAD * ratings)),
        "pages": np.round(_MEDIAN_PAGES * np.exp(_PAGES_SPREAD * pages)),
        "year": released_year.astype(np.float64),
    }
