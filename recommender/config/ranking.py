"""Candidates of several models and what ranks them, as a profile describes it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recommender.config.candidates import CandidateModel
from recommender.config.optimisation import Optimised
from recommender.config.section import Section, named_parts


class LinearLearner(Section):
    """A weighted sum of the features, under a softmax over each user's candidates."""

    penalty: Annotated[float, Field(ge=0)] = 1e-3
    """On the squared weights of standardised features."""


class MlpLearner(Optimised):
    """A small network over the features, under the same softmax; an epoch is a pass over all users."""

    layers: tuple[Annotated[int, Field(ge=1)], ...] = (64, 32)
    """Widths of the dense layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Users a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share of the running average of the weights that each step keeps; the average is what is kept in the end."""
    max_epochs: Annotated[int, Field(ge=1)] = 8
    """All of them are run."""


class BoostingLearner(Section):
    """Gradient-boosted trees, by LightGBM."""

    objective: Literal["lambdarank", "rank_xendcg", "binary"] = "lambdarank"
    """LambdaMART, the same for a cross entropy of the lists, or one pair at a time."""
    trees: Annotated[int, Field(ge=1)] = 100
    leaves: Annotated[int, Field(ge=2)] = 15
    """Most leaves a tree may have."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    least_pairs: Annotated[int, Field(ge=1)] = 200
    """Training pairs that each leaf must hold."""
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the features that each tree may use, drawn anew."""
    penalty: Annotated[float, Field(ge=0)] = 10.0
    """On the squared values of the leaves."""


class Ranking(Section):
    """Several models propose items; learners that know more of the pair put them in order.

    The learners learn from what came after an earlier night, with candidates of models that were fitted on that night:
    each window of labels costs another fit of every candidate model.
    """

    kind: Literal["ranking"] = "ranking"
    candidates: Annotated[dict[str, CandidateModel], Field(min_length=1)]
    """The models that propose, by a name each. Similar items are the first one's."""
    depth: Annotated[int, Field(ge=1)] = 300
    """Items each of them proposes."""
    label_days: Annotated[int, Field(ge=1)] = 30
    """Days of choices that are one window of labels."""
    label_windows: Annotated[int, Field(ge=1, le=6)] = 1
    """Windows, one before the other, up to the end of what is known."""
    label_users: Annotated[int, Field(ge=1)] = 10_000
    """Most users of a window that are learned from, drawn at random; each takes about 100 kB of memory."""
    linear: LinearLearner | None = LinearLearner()
    """null: without it; likewise the others. Scores are the mean of the learners'."""
    mlp: MlpLearner | None = MlpLearner()
    boosting: BoostingLearner | None = BoostingLearner()

    @property
    def parts(self) -> dict[str, CandidateModel]:
        """The models it is made of, by name."""
        return self.candidates

    @property
    def history_cuts(self) -> tuple[int, ...]:
        """Days before the end of what is known at which the candidate models are fitted once more."""
        return tuple(self.label_days * (number + 1) for number in range(self.label_windows))

    @model_validator(mode="after")
    def _names_and_learners(self) -> "Ranking":
        named_parts("candidates", self.candidates)
        if self.linear is None and self.mlp is None and self.boosting is None:
            raise ValueError("all of linear, mlp and boosting are null: leave out one or two of them")
        return self
