"""Candidates of several models and what ranks them, as a profile describes it."""

from typing import Annotated, Literal

from pydantic import Field

from recommender.config.candidates import CandidateModel
from recommender.config.section import Section


class Ranking(Section):
    """Several models propose items; learners that know more of the pair put them in order."""

    kind: Literal["ranking"] = "ranking"
    candidates: dict[str, CandidateModel]
    """The models that propose, by a name each; the first one with vectors also serves look-ups by vector."""
    depth: Annotated[int, Field(ge=1)] = 300
    """Items each of them proposes."""
