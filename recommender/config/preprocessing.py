"""What a profile may say about preparing features, and about which interactions are trained on."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from recommender.config.section import Section

Missing = Literal["median", "mean", "zero"]
ScaleMethod = Literal["standard", "minmax", "robust", "none"]


class Steps(Section):
    """How one feature is prepared; every statistic comes from training rows."""

    missing: Missing = "median"
    """What stands in for a missing number, after the log; a flag beside it says that it was missing. A missing
    category is always `unknown`."""
    log_skewness: Annotated[float, Field(gt=0)] | None = 5.0
    """Numbers with a larger skewness than this are read on a log scale; counts and durations always are. null: only
    those. (An exponential distribution has a skewness of 2, a log-normal of deviation 1 one of 6.)"""
    cap_deviations: Annotated[float, Field(gt=0)] | None = 3.0
    """Numbers further than this from the mean are moved to that distance, in standard deviations. null: none is."""
    scale: ScaleMethod = "standard"
    """`standard`: mean 0 and deviation 1; `minmax`: 0 to 1; `robust`: median 0 and interquartile range 1; or `none`."""
    rare_category_count: Annotated[int, Field(ge=1)] = 5
    """Categories with fewer training rows than this share one 'other' vector."""
    most_categories: Annotated[int, Field(ge=1)] | None = None
    """The most frequent ones that have a vector of their own; null: all that aren't rare."""
    hash_buckets: Annotated[int, Field(ge=0)] = 0
    """Vectors that categories without one of their own share by a hash of their name; 0: they all share 'other'."""


class KCore(Section):
    """The interactions trained on: users and items with too few are left out, again and again until none is left."""

    users: Annotated[int, Field(ge=1)] = 1
    """Fewest different items of a user."""
    items: Annotated[int, Field(ge=1)] = 1
    """Fewest different users of an item."""


class Preprocessing(Steps):
    """How features become what a model reads, and which interactions are trained on."""

    features: dict[str, Steps] = Field(default={})
    """Features that are prepared otherwise; what they don't say is as for all."""
    k_core: KCore = KCore()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("features"), dict):
            return value
        general = {name: setting for name, setting in value.items() if name in Steps.model_fields}
        features = {
            name: {**general, **own} if isinstance(own, dict) else own for name, own in value["features"].items()
        }
        return {**value, "features": features}

    def steps(self, feature: str) -> Steps:
        """How a feature is prepared."""
        return self.features.get(feature, self)
