"""The gate's policy file: what a challenger must show before it goes live."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from recommender.config.section import Section, first_problem
from recommender.config.yaml12 import read_yaml
from recommender.errors import ConfigError

Baseline = Literal["popularity", "item_knn", "ials", "ease"]
"""Simple models that a candidate may be compared with."""
DEFAULT_POLICY = Path(__file__).parent / "policies" / "default.yaml"
EVERY = "every"
Share = Annotated[float, Field(gt=0, lt=1)]


class Rule(Section):
    """One requirement: a figure, and the bound it must keep."""

    name: str
    metric: str
    """A figure of the challenger, such as `recall@20`, `onnx_max_abs_diff` or `drift_share`."""
    against: Literal["champion", "best_recent"] | Baseline | None = None
    """Compare with this model's figure on the same users: the bound is then a ratio. `best_recent` is the best champion
    of the last `gate.recent_days`. Baselines other than popularity are fitted where `evaluation.baselines` of the
    profile names them."""
    cohort: str | None = None
    """Judge this grouping of the users, such as `country` or `activity`, group by group; `every`: all groupings."""
    at_least: float | None = None
    at_most: float | None = None
    more_than: float | None = None
    less_than: float | None = None
    certainty: Share | None = None
    """In what share of the resampled nights the bound must be kept. Above .5 the challenger has to prove it; below
    it is believed until the opposite is nearly certain. Over the groups of a cohort the chance of one false alarm
    among all of them is meant. Null: the figure itself decides."""
    champion_up_to_days: Annotated[int, Field(ge=0)] | None = None
    """Asked only while the champion's night is at most so many days back."""
    otherwise: Literal["reject", "ask"] = "reject"
    """What follows where the bound is not kept: `ask` a person."""
    why: str = ""

    @model_validator(mode="after")
    def _one_bound(self) -> "Rule":
        if sum(bound is not None for bound in (self.at_least, self.at_most, self.more_than, self.less_than)) != 1:
            raise ValueError("give exactly one of `at_least`, `at_most`, `more_than` and `less_than`")
        return self

    @property
    def bound(self) -> float:
        """The one that is given."""
        return next(
            bound for bound in (self.at_least, self.at_most, self.more_than, self.less_than) if bound is not None
        )

    @property
    def asks_for(self) -> str:
        """The bound in words."""
        word = next(
            word for word in ("at_least", "at_most", "more_than", "less_than") if getattr(self, word) is not None
        )
        return f"{word.replace('_', ' ')} {self.bound:g}"


class Ask(Section):
    """What becomes of a question that nobody answers."""

    within_hours: Annotated[float, Field(gt=0, lt=24)] = 8
    """So long the approval task waits; the next night can't begin before it has ended."""
    otherwise: Literal["promote", "reject"] = "reject"


class Policy(Section):
    """The rules of one file."""

    name: str = "policy"
    ask: Ask = Ask()
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> "Policy":
        names = [rule.name for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"rule names must differ: {', '.join(sorted(twice))}")
        return self

    @property
    def version(self) -> str:
        """Its name, and a hash of all it says."""
        return f"{self.name}-{hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]}"


def load_policy(path: Path | None) -> Policy:
    """Read and validate a policy file; None reads the shipped one."""
    file = path or DEFAULT_POLICY
    try:
        return Policy.model_validate(read_yaml(file) or {})  # an empty file lacks its rules
    except FileNotFoundError:
        raise ConfigError(f"policy {file} does not exist (gate.policy of the profile)") from None
    except ValidationError as error:
        raise ConfigError(f"{file}: {first_problem(error, 'policy')}") from None
