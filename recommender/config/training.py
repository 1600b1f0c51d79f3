"""What models are trained on, and with which means."""

from typing import Annotated, Literal

from pydantic import Field

from recommender.config.section import Section


class Training(Section):
    """What a model is trained on, and how."""

    window_days: Annotated[int, Field(gt=0)] = 730
    """Events older than this serve as history only, not as training rows."""
    validation_days: Annotated[int, Field(gt=0)] = 14
    """Last days before the holdout; early stopping looks at them."""
    refit: bool = True
    """Fit a promoted model once more on everything up to `ds` before it is published."""
    seed: int = 17
    """The same seed, data and number of threads give the same model."""
    threads: Annotated[int, Field(gt=0)] | None = 1
    """CPU threads; PyTorch's own choice when null. One gives the same weights whatever the number of cores, and is
    many times faster than two that wait for each other on busy cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the matrix products; weights stay float32. fp16 is for GPUs and scales the loss."""
