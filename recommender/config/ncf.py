"""Neural collaborative filtering, as a profile describes it."""

from typing import Literal

from recommender.config.optimisation import Optimised


class Ncf(Optimised):
    """GMF, an MLP, or both joined (NeuMF), over ids alone."""

    kind: Literal["ncf"] = "ncf"
    architecture: Literal["gmf", "mlp", "neumf"] = "neumf"
