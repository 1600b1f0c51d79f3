"""Expected failures. Each is one clear line that names what is wrong, where, and the cure.

RecommenderError
├── ConfigError          a profile, policy or setting is wrong
├── SourceError          a source file is missing, unreadable or lacks a column
├── DataQualityError     a batch failed its expectations
├── NotReadyError        an earlier stage or night has not run yet
├── ArtifactError        a model artifact is missing or does not match its checksum
├── TrainingError        training cannot start or did not converge to finite numbers
├── PublicationError     a staged publication failed its checks, or none can be made live
├── RequestError         a service was asked for what makes no sense
│   └── UnknownItemError     …for an item that the catalogue lacks
└── DatabaseError        PostgreSQL cannot be reached or refuses
"""

from collections.abc import Sequence
from typing import Any


class RecommenderError(Exception):
    """Base of every expected failure; the CLI prints its message on one line and exits 2."""


class ConfigError(RecommenderError):
    """A profile, policy or setting is wrong."""


class SourceError(RecommenderError):
    """A source file is missing, unreadable or lacks a column."""


class DataQualityError(RecommenderError):
    """A batch failed its expectations."""

    def __init__(self, message: str, results: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.results = tuple(results)
        """`CheckResult` of every expectation of the tables that were checked."""


class NotReadyError(RecommenderError):
    """An earlier stage or night has not run yet."""


class ArtifactError(RecommenderError):
    """A model artifact is missing or does not match its checksum."""


class TrainingError(RecommenderError):
    """Training cannot start or did not converge to finite numbers."""


class PublicationError(RecommenderError):
    """A staged publication failed its checks, or none can be made live."""


class RequestError(RecommenderError):
    """A service was asked for what makes no sense."""


class UnknownItemError(RequestError):
    """A service was asked for an item that the catalogue lacks."""


class DatabaseError(RecommenderError):
    """PostgreSQL cannot be reached or refuses."""


def first_line(error: BaseException) -> str:
    """What an error says first; the lines after it may quote rows, statements or links."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
