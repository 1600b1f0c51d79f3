"""The committed configuration of every model on every set: `models.yaml`."""

from pathlib import Path
from typing import Any

from pydantic import Field

from recommender.config.section import Section
from recommender.config.yaml12 import read_yaml

MODELS = Path(__file__).parent / "models.yaml"


class Comparison(Section):
    """One set's models."""

    chosen_on: str
    """What the hyper-parameters were chosen on: never the figures that are reported."""
    published: dict[str, tuple[float, float]] = Field(default={})
    """Recall@20 and NDCG@20 that others reported for the same split."""
    training: dict[str, Any] = Field(default={})
    """Keys as in a profile's `training`, for all models of the set."""
    models: dict[str, dict[str, Any]]
    """Sections as in a profile's `model`, by name."""


def configurations() -> dict[str, Comparison]:
    """By set."""
    return {name: Comparison.model_validate(given) for name, given in read_yaml(MODELS)["sets"].items()}
