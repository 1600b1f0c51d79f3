"""Neural collaborative filtering, as a profile describes it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recommender.config.optimisation import Optimised


class Ncf(Optimised):
    """GMF, an MLP, or both joined (NeuMF), over ids and, where asked, categories."""

    kind: Literal["ncf"] = "ncf"
    architecture: Literal["gmf", "mlp", "neumf"] = "neumf"
    """Product of the embeddings, dense layers over both of them, or both with embeddings of their own."""
    dimension: Annotated[int, Field(ge=1)] = 64
    """Width of the embeddings of users and items."""
    layers: tuple[Annotated[int, Field(ge=1)], ...] = (128, 64, 32)
    """Widths of the dense layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the dense layers' values that is dropped in training."""
    id_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the ids hidden in training, so that there is a fair embedding for the unknown."""
    metadata: bool = False
    """Add embeddings of the declared categories of users and items to those of the ids."""
    loss: Literal["bce", "bpr", "sampled_softmax"] = "bce"
    """Scores are logits of a probability with `bce` alone."""
    negatives: Literal["uniform", "popularity"] = "uniform"
    """How items that a user has not met are drawn."""
    negatives_per_positive: Annotated[int, Field(ge=1)] = 4
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.99

    @model_validator(mode="after")
    def _layers(self) -> "Ncf":
        if self.architecture != "gmf" and not self.layers:
            raise ValueError("model.layers is empty: give the widths of the dense layers, or take architecture: gmf")
        return self
