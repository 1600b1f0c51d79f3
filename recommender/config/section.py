"""The base of everything a profile may say."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

KIND_TAG = "kind="
"""How the places of errors begin where one of several kinds of section was meant; nobody wrote that key."""


class Section(BaseModel):
    """Base of every section: immutable, a misspelt key is an error, and so is a number without end."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _near_keys(cls, given: Any) -> Any:
        """Say what a misspelt key may be; one that is like no other is left to `extra`."""
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields and (problem := misspelt(key, cls.model_fields)) is not None:
                raise ValueError(problem)
        return given


def named_parts(key: str, models: Mapping[str, Any]) -> None:
    """Refuse names of a composite model's parts that can't name columns and folders.

    Raises
    ------
    ValueError
        A name isn't letters, digits and _.
    """
    if wrong := [name for name in models if not name.isidentifier()]:
        raise ValueError(f"{key}: {wrong[0]!r} names columns and a folder: letters, digits and _ only")


def misspelt(key: Any, known: Iterable[str]) -> str | None:
    """What an unknown key may be; None where it is like no known one."""
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"no key is called {key!r}; did you mean {near[0]!r}?" if near else None


def first_problem(error: ValidationError, whole: str = "") -> str:
    """`key: what is wrong` of the first error, without the input, and how many more there are.

    `whole` stands for the key where the error is about all of it.
    """
    first = error.errors()[0]
    where = ".".join(place(first["loc"])) or whole
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}{more}"


def place(loc: tuple[int | str, ...]) -> list[str]:
    """The keys somebody wrote, of the place that pydantic gives an error."""
    return [str(part) for part in loc if not str(part).startswith(KIND_TAG)]
