"""The gate's policy file: what a challenger must show before it goes live."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from recommender.config.section import Section, first_problem
from recommender.config.yaml12 import read_yaml
from recommender.errors import ConfigError

Baseline = Literal["popularity", "item_knn", "ials", "ease"]
"""Simple models that a candidate may be compared with."""
DEFAULT_POLICY = Path(__file__).parent / "policies" / "default.yaml"


class Rule(Section):
    """One requirement: a figure, and the bound it must keep."""

    name: str
    metric: str
    """A figure of the challenger, such as `recall@20`, `onnx_max_abs_diff` or `drift_share`."""
    against: Literal["champion"] | Baseline | None = None
    """Compare with this model's figure on the same users: the bound is then a ratio. Baselines other than popularity
    are fitted where `evaluation.baselines` of the profile names them."""
    at_least: float | None = None
    at_most: float | None = None
    why: str = ""

    @model_validator(mode="after")
    def _one_bound(self) -> "Rule":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of `at_least` and `at_most`")
        return self


class Policy(Section):
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> "Policy":
        names = [rule.name for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"rule names must differ: {', '.join(sorted(twice))}")
        return self


def load_policy(path: Path | None) -> Policy:
    """Read and validate a policy file; None reads the shipped one."""
    file = path or DEFAULT_POLICY
    try:
        return Policy.model_validate(read_yaml(file))
    except FileNotFoundError:
        raise ConfigError(f"policy {file} does not exist (gate.policy of the profile)") from None
    except ValidationError as error:
        raise ConfigError(f"{file}: {first_problem(error, 'policy')}") from None
