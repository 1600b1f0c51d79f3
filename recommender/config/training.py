"""What models are trained on, and with which means."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recommender.config.section import Section


class Training(Section):
    """What a model is trained on, and how."""

    window_days: Annotated[int, Field(gt=0)] = 730
    """Events older than this serve as history only, not as training rows."""
    validation_days: Annotated[int, Field(gt=0)] = 14
    """Last days before the holdout; early stopping looks at them."""
    refit: bool = True
    """Fit a promoted model once more on everything up to `ds` before it is published."""
    warm_start: bool = True
    """Go on from the last champion of the same kind and configuration, where that kind of model can; false: train
    from nothing every night."""
    full_retrain_days: Annotated[int, Field(gt=0)] = 14
    """So many days after the last training from nothing comes the next."""
    decay_margin: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of its judged recall that a champion may lose on fresh days before the next night trains from nothing."""
    seed: Annotated[int, Field(ge=0)] = 17
    """The same seed, data and number of threads give the same model."""
    threads: Annotated[int, Field(gt=0)] | None = 1
    """CPU threads; PyTorch's own choice when null. One gives the same weights whatever the number of cores, and is
    many times faster than two that wait for each other on busy cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the matrix products; weights stay float32. fp16 is for GPUs and scales the loss."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Longest work that a killed training loses; after each epoch its state is kept anyway."""

    @model_validator(mode="after")
    def _precision_exists(self) -> Self:
        if self.precision == "fp16" and self.device == "cpu":
            raise ValueError("precision fp16 needs a GPU: say bf16, or device: cuda")
        return self
