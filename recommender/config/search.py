"""What a search for better settings may try, as a profile describes it."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError, model_validator

from recommender.config.models import AnyModel, ModelConfig
from recommender.config.section import Section, first_problem

PREFIX = "model."
_CONFIG = TypeAdapter[AnyModel](ModelConfig)


class Parameter(Section):
    """What may be tried for one key: one of `choices`, or anything from `low` to `high`."""

    choices: tuple[Any, ...] | None = None
    """Values as the key takes them."""
    low: int | float | None = None
    """The smallest value; where both bounds are whole numbers, whole numbers are tried."""
    high: int | float | None = None
    """The largest value."""
    log: bool = False
    """Try all orders of magnitude alike."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        bounds = (self.low is None) + (self.high is None)
        if (self.choices is None) == (bounds > 0) or bounds == 1:
            raise ValueError("give either choices, or low and high")
        if self.choices is not None and (len(self.choices) < 2 or self.log):
            raise ValueError("choices are two or more, without log")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError(f"log needs a low above 0, not {self.low}")
        return self

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that must all be allowed."""
        return self.choices if self.choices is not None else (self.low, self.high)


Search = dict[str, Parameter]
"""By the path of a key, such as `model.dimension`."""


def with_values(config: AnyModel, values: Mapping[str, Any]) -> AnyModel:
    """The configuration with other values of some keys, validated.

    Raises
    ------
    ValidationError
        The values, alone or together, are not allowed.
    KeyError
        The configuration has no such key.
    """
    content = config.model_dump(mode="json")
    for path, value in values.items():
        *sections, key = path.removeprefix(PREFIX).split(".")
        node = content
        for section in sections:
            node = node[section]
        if key not in node:
            raise KeyError(path)
        node[key] = value
    return _CONFIG.validate_python(content)


def refused(config: AnyModel, search: Search) -> str | None:
    """What is wrong with a search, in one line; None where nothing is.

    Keys and single values are checked. What is forbidden only together is found by the trial that meets it.
    """
    for path, parameter in search.items():
        if not path.startswith(PREFIX):
            return f"search.{path}: a search tries keys of the model: write {PREFIX}{path.rpartition('.')[2]}"
        for value in parameter.extremes:
            try:
                with_values(config, {path: value})
            except (KeyError, TypeError):
                return f"search.{path}: a model of kind {config.kind} has no such key"
            except ValidationError as error:
                if any(len(problem["loc"]) > 1 for problem in error.errors()):
                    return f"search.{path}: {first_problem(error)}"
    return None
