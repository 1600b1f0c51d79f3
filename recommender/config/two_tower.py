"""The hybrid two-tower model, as a profile describes it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recommender.config.classic import Ease
from recommender.config.optimisation import Optimised

Fusion = Literal["identity", "sum", "concat", "adaptive_mimic", "gated"]
Loss = Literal["in_batch_softmax", "sampled_softmax", "full_softmax", "bce", "bpr", "cosine_contrastive"]
ExportVariant = Literal["fp16", "int8"]


class TwoTower(Optimised):
    """The hybrid two-tower model and its training; defaults hold on several data sets."""

    kind: Literal["two_tower"] = "two_tower"
    dimension: Annotated[int, Field(ge=4)] = 256
    """Width of both towers' output; with `item_bias` one column more holds an item's bias."""
    fusion: Fusion = "sum"
    """How an id's own vector and what is known beside it become one: `identity` reads ids alone, `sum` adds,
    `concat` puts both through a dense layer, `adaptive_mimic` gives each id a second vector that imitates the other
    tower's, `gated` does too, weighs id against the rest by a learned gate, and predicts that second vector for
    whoever is new."""
    user_ids: bool = True
    """Whether each user has a vector of their own beside history and metadata."""
    item_ids: bool = True
    """Whether each item has a vector of its own beside its metadata."""
    id_dimension: Annotated[int, Field(ge=1)] | None = None
    """Width of ids' own vectors; null: `dimension`. Others are projected to it."""
    sparse_ids: bool = False
    """Keep sparse gradients for the tables of ids, for large ones: SparseAdam steps only on rows of the batch, without
    weight decay."""
    max_norm: Annotated[float, Field(gt=0)] | None = None
    """Longest that an id's own vector may become; null: any."""
    id_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of training rows whose own id is hidden, so that cold users and items are trained for; items of the
    histories too."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Widths of the dense layers that encode metadata, for instance [192, 96]; empty: a linear sum."""
    normalisation: Literal["none", "batch", "layer"] = "none"
    """BatchNorm or LayerNorm in those layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Of the pooled history, and in the dense layers."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Whether vectors are cut to length 1 before the dot product."""
    item_bias: bool = True
    """One column more: how popular an item is beyond what its vector says."""
    history: Literal["weighted", "mean", "attention", "none"] = "weighted"
    """How the items met become one vector: means weighed by age and place, a plain mean, weights that also depend on
    the user and their latest item, or not at all."""
    history_length: Annotated[int, Field(ge=1)] = 100
    """Most recent items pooled into a user's vector."""
    history_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Share of a training example's history that is left out at random."""
    stretch_days: Annotated[int, Field(ge=1)] = 30
    """Longest stretch of a user's events of which one training example hides a part and predicts it."""
    stretch_events: Annotated[int, Field(ge=1)] = 16
    """Most events of such a stretch."""
    hide: Literal["latest", "random"] = "latest"
    """Which part: the latest events, predicted from the past alone, or random ones, predicted from the rest too."""
    loss: Loss = "in_batch_softmax"
    """How targets are told from other candidates: softmax over the batch's, over sampled ones or over all items; each
    pair by itself (`bce`); each target above each negative (`bpr`); cosines with a margin (`cosine_contrastive`)."""
    negatives: Literal["in_batch", "uniform", "popularity"] = "in_batch"
    """Items scored beside a batch's own targets: none, or drawn uniformly, or by their share to the power of 0.75."""
    negatives_per_positive: Annotated[int, Field(ge=1)] = 4
    """So many are drawn for each target; all users of the batch share them."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """Divides the dot products; near 1 for `similarity: dot`. `cosine_contrastive` has none."""
    margin: Annotated[float, Field(ge=-1, lt=1)] = 0.4
    """Cosine from which `cosine_contrastive` pushes a negative away."""
    negative_weight: Annotated[float, Field(gt=0)] = 1.0
    """How much the negatives of `bce` and `cosine_contrastive` count together, a target counting 1."""
    mimic_weight: Annotated[float, Field(ge=0)] = 0.5
    """How much it counts that second vectors imitate the other tower (`adaptive_mimic`, `gated`)."""
    alignment_weight: Annotated[float, Field(ge=0)] = 1.0
    """How much it counts that items of small categories spread as those of the largest do (`adaptive_mimic`,
    `gated`)."""
    align_by: str | None = None
    """The categorical item feature of that; null: `category`, where it is declared."""
    teacher: Ease | None = None
    """A linear model, fitted on the same events, whose recommendations the towers learn to give too: what it knows of
    pairs of items goes into vectors that an index can serve. null: none."""
    teacher_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the loss that is to agree with the teacher."""
    teacher_temperature: Annotated[float, Field(gt=0)] = 0.15
    """Divides the teacher's scores, in units of a user's best one."""
    warm_epochs: Annotated[int, Field(ge=1)] = 1
    """Most epochs of a training that goes on from an earlier night's model."""
    warm_rate: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of `learning_rate` with which such a training begins; it falls to nothing over `warm_epochs`."""
    export_variants: tuple[ExportVariant, ...] = ()
    """Smaller ONNX files written beside the float32 ones; the metrics say what each loses."""

    @property
    def vector_width(self) -> int:
        """Columns of users' and items' vectors."""
        return self.dimension + self.item_bias

    @property
    def going_on(self) -> Self:
        """For a training from good weights: short, and gentler, for a full rate undoes what a falling one settled."""
        epochs, rate = min(self.warm_epochs, self.max_epochs), self.warm_rate * self.learning_rate
        falling = {"max_epochs": epochs, "learning_rate": rate, "schedule": "cosine", "warmup_epochs": 0.0}
        return self.model_copy(update=falling)

    @model_validator(mode="after")
    def _optimiser_can(self) -> Self:
        if self.sparse_ids and self.max_norm is not None:
            raise ValueError("sparse_ids and max_norm don't go together: leave out max_norm, or set sparse_ids: false")
        if self.sparse_ids and self.clip_norm is not None:
            raise ValueError(
                "sparse_ids and clip_norm don't go together, SparseAdam's gradients have no common length: "
                "leave out clip_norm, or set sparse_ids: false"
            )
        return self

    @model_validator(mode="after")
    def _towers_have_inputs(self) -> Self:
        if self.fusion == "identity":
            if not self.item_ids or (not self.user_ids and self.history == "none"):
                raise ValueError("fusion identity has nothing but ids: set user_ids and item_ids, or fusion: sum")
            if self.hidden:
                raise ValueError("fusion identity reads no metadata for hidden to encode: empty hidden, or fusion: sum")
        if self.fusion in ("adaptive_mimic", "gated") and not (self.user_ids and self.item_ids):
            raise ValueError(f"fusion {self.fusion} needs vectors of ids: set user_ids and item_ids, or fusion: sum")
        if self.normalisation != "none" and not self.hidden:
            raise ValueError(f"normalisation {self.normalisation} has no dense layers: name hidden widths, or none")
        return self

    @model_validator(mode="after")
    def _teacher_can_teach(self) -> Self:
        if self.teacher is not None and not self.loss.endswith("_softmax"):
            raise ValueError(f"a teacher's soft targets need a softmax, not {self.loss}: set loss: in_batch_softmax")
        if self.teacher is not None and self.history == "none":
            raise ValueError("a teacher scores a user's history: set history: weighted, or leave out teacher")
        return self

    @model_validator(mode="after")
    def _loss_has_candidates(self) -> Self:
        if self.loss == "full_softmax" and self.negatives != "in_batch":
            raise ValueError("full_softmax scores every item already: leave negatives at in_batch, or sampled_softmax")
        if self.loss == "cosine_contrastive" and self.similarity != "cosine":
            raise ValueError("cosine_contrastive has a margin between cosines: set similarity: cosine, or loss: bpr")
        return self
