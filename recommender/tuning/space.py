"""What a search tries: the profile's `search`, or what is usual for the kind of model."""

import json
from typing import Any

import optuna

from recommender.config.blend import Blend
from recommender.config.models import AnyModel
from recommender.config.search import PREFIX, Parameter, Search

_USUAL = {
    "dimension": Parameter(choices=(64, 128, 256, 384)),
    "temperature": Parameter(low=0.03, high=0.2, log=True),
    "learning_rate": Parameter(low=5e-4, high=1e-2, log=True),
    "weight_decay": Parameter(low=1e-4, high=1e-1, log=True),
    "history_dropout": Parameter(low=0.0, high=0.6),
    "dropout": Parameter(low=0.0, high=0.4),
    "half_life_days": Parameter(low=7.0, high=365.0, log=True),
    "neighbours": Parameter(low=20, high=500, log=True),
    "regularisation": Parameter(low=1.0, high=2000.0, log=True),
    "depth": Parameter(low=100, high=600),
}
"""By key; a kind of model is searched over those that it has."""
_WEIGHT = Parameter(low=0.03, high=3.0, log=True)
"""Of every model of a blend but the first: only what they weigh beside one another matters."""


def search_of(config: AnyModel, declared: Search) -> Search:
    """The declared search, or the usual one of the configuration's kind."""
    usual = {f"{PREFIX}{key}": parameter for key, parameter in _USUAL.items() if key in type(config).model_fields}
    if isinstance(config, Blend):
        usual = {f"{PREFIX}weights.{name}": _WEIGHT for name in list(config.models)[1:]}
    return declared or usual


def suggest(trial: optuna.Trial, search: Search) -> dict[str, Any]:
    """Values for one trial, by key, as the configuration takes them."""
    return {path: _value(trial, path, parameter) for path, parameter in search.items()}


def values_of(params: dict[str, Any], search: Search) -> dict[str, Any]:
    """A stored trial's parameters as the configuration takes them."""
    return {
        path: _meant(search[path], value) if search[path].choices is not None else value
        for path, value in params.items()
    }


def _value(trial: optuna.Trial, path: str, parameter: Parameter) -> Any:
    low, high = parameter.low, parameter.high
    if parameter.choices is not None:
        return _meant(parameter, trial.suggest_categorical(path, [_shown(choice) for choice in parameter.choices]))
    if low is None or high is None:
        raise RuntimeError(f"search.{path} has neither choices nor bounds")
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(path, low, high, log=parameter.log)
    return trial.suggest_float(path, low, high, log=parameter.log)


def _shown(choice: Any) -> Any:
    """As Optuna keeps it: a scalar as it is, a list as JSON."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else json.dumps(choice)


def _meant(parameter: Parameter, shown: Any) -> Any:
    return next(choice for choice in parameter.choices or () if _shown(choice) == shown)
