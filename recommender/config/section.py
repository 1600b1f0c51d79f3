"""The base of everything a profile may say."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Section(BaseModel):
    """Base of every section: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def first_problem(error: ValidationError, whole: str = "") -> str:
    """`key: what is wrong` of the first error, without the input, and how many more there are.

    `whole` stands for the key where the error is about all of it.
    """
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or whole
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}{more}"
