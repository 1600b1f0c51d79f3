"""The lists of some users: candidates by the model, put in order by the profile's rules, each told with its reason."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from recommender.models.base import Model
from recommender.models.explaining.reasons import Codes, Phrases, Reasons
from recommender.progress import Progress
from recommender.publishing.content import PERSONAL, POPULAR
from recommender.publishing.edition import Edition
from recommender.publishing.ranked import Ranked
from recommender.publishing.rules import Rules
from recommender.retrieval.exact import TopK

_TOLD = 20
"""Lines of progress, at most."""


def ranked_users(
    edition: Edition, rules: Rules, model: Model, users: npt.NDArray[np.int64], progress: Progress
) -> Ranked:
    """Lists of these users of the edition's data set, with reasons, and vectors where the publication keeps them."""
    reasons = Reasons(Phrases.of(edition.profile), edition.titles, edition.creators)
    items = np.full((len(users), edition.k), -1, np.int32)
    scores = np.full((len(users), edition.k), -np.inf, np.float32)
    codes: Codes | None = None
    tell, arranged = _counted(len(users), progress), rules.arranged(model, edition.k)
    for members in rules.groups(users):
        done = 0
        for explained in model.explained(
            users[members],
            rules.candidates(edition.k),
            allowed=rules.allowed(users[members]),
            arranged=arranged,
        ):
            place = members[done : done + len(explained.top.items)]
            items[place], scores[place] = explained.top.items, explained.top.scores
            told = reasons.tell(explained)
            if told is not None:
                codes = np.zeros_like(items) if codes is None else codes
                codes[place] = told
            done += len(place)
            tell(len(place))
    offered = items[:, 0] >= 0  # who has chosen every item gets the list for unknown users
    kept = edition.profile.publish.vectors == "all" and model.vector_model is not None
    return Ranked(
        users=users[offered],
        top=TopK(items[offered], scores[offered]),
        source=PERSONAL if model.personal else POPULAR,
        reasons=None if codes is None else codes[offered],
        texts=tuple(reasons.texts),
        vectors=model.vector_model.user_vectors(users[offered]) if kept and model.vector_model is not None else None,
    )


def _counted(total: int, progress: Progress) -> Callable[[int], None]:
    """Tells how many users are ranked, at every twentieth of them."""
    done = told = 0

    def count(more: int) -> None:
        nonlocal done, told
        done += more
        if done == total or (done - told) * _TOLD >= total:
            told = done
            progress(f"ranked {done:,} of {total:,} users")

    return count
