"""A weighted sum of several models, as a profile describes it."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from recommender.config.candidates import CandidateModel
from recommender.config.section import Section, named_parts


class Blend(Section):
    """The sum of several models' scores, each of them standardised and weighed; nothing is learnt of the weights.

    Where every model has vectors the blend has too.
    """

    kind: Literal["blend"] = "blend"
    models: Annotated[dict[str, CandidateModel], Field(min_length=2)]
    """The models, by a name each."""
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """By name; a model that isn't named weighs 1."""

    @property
    def parts(self) -> dict[str, CandidateModel]:
        """The models it is made of, by name."""
        return self.models

    @model_validator(mode="before")
    @classmethod
    def _all_weights(cls, given: Any) -> Any:
        """Name every weight, so that a search finds it."""
        if not isinstance(given, dict):
            return given
        models, weights = given.get("models"), given.get("weights", {})
        if not isinstance(models, dict) or not isinstance(weights, dict):
            return given
        return {**given, "weights": {**dict.fromkeys(models, 1.0), **weights}}

    @model_validator(mode="after")
    def _names(self) -> "Blend":
        named_parts("models", self.models)
        if strange := sorted(set(self.weights) - set(self.models)):
            raise ValueError(f"weights names {strange[0]!r}, which is none of the models: {', '.join(self.models)}")
        return self
