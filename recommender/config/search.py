"""What a search for better settings may try, as a profile describes it."""

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError, model_validator

from recommender.config.models import AnyModel, ModelConfig
from recommender.config.section import Section, first_problem, misspelt, place

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
    def probes(self) -> tuple[Any, ...]:
        """Values that must all be allowed."""
        if self.choices is not None:
            return self.choices
        if self.low is None or self.high is None or (isinstance(self.low, int) and isinstance(self.high, int)):
            return self.low, self.high
        return self.low, self.high, math.nextafter(self.high, self.low)  # bounds may be whole, what is tried is not


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
        problem = _wrong_key(config, path, search) or _wrong_value(config, path, parameter)
        if problem is not None:
            return f"search.{path}: {problem}"
    return None


def _wrong_key(config: AnyModel, path: str, search: Search) -> str | None:
    if not path.startswith(PREFIX):
        return f"a search tries keys of the model: write {PREFIX}{path.rpartition('.')[2]}"
    if (whole := next((other for other in search if path.startswith(f"{other}.")), None)) is not None:
        return f"{whole} is searched as a whole: search one of the two"
    node: Any = config.model_dump(mode="json")
    *sections, last = path.removeprefix(PREFIX).split(".")
    for depth, key in enumerate((*sections, last)):
        if node is None:
            return f"{PREFIX}{'.'.join(sections[:depth])} is null: give it its section in the profile first"
        if not isinstance(node, dict) or key not in node:
            known = node if isinstance(node, dict) else ()
            return misspelt(key, known) or f"a model of kind {config.kind} has no such key"
        node = node[key]
    if last == "kind" and isinstance(node, str):
        return "one search is of one kind: name models of other kinds as `rivals`"
    return None


def _wrong_value(config: AnyModel, path: str, parameter: Parameter) -> str | None:
    keys = path.removeprefix(PREFIX).split(".")
    for value in parameter.probes:
        try:
            with_values(config, {path: value})
        except ValidationError as error:
            problems = error.errors()
            if parameter.choices is None and any(problem["type"] == "int_from_float" for problem in problems):
                return f"it takes whole numbers: write low {parameter.low} and high {parameter.high} as whole numbers"
            # a section's complaint about several of its keys is placed at the section, above the key
            together = (
                problem["type"] == "value_error" and len(place(problem["loc"])) < len(keys) for problem in problems
            )
            if not all(together):
                return first_problem(error)
    return None
