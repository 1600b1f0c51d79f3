"""The `recommender` command: thin over the pipeline's stages and the SQL look-ups."""

from recommender.cli import (
    answers,
    backtest,
    check,
    erase,
    experiment,
    features,
    gate,
    init,
    models,
    names,
    nights,
    preprocessing,
    synthesize,
)
from recommender.cli.console import app

__all__ = [
    "answers",
    "app",
    "backtest",
    "check",
    "erase",
    "experiment",
    "features",
    "gate",
    "init",
    "models",
    "names",
    "nights",
    "preprocessing",
    "synthesize",
]
