"""What a learnt model must beat: simple models, fitted by their defaults on everything known before the holdout."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from recommender.config.models import AnyModel, ModelConfig
from recommender.config.policy import Baseline
from recommender.config.profile import Profile
from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import DatabaseError, RecommenderError
from recommender.evaluation.evaluate import Measured, measure
from recommender.features.loading import training_events
from recommender.models.registry import new_model
from recommender.progress import Progress

_CONFIG = TypeAdapter[AnyModel](ModelConfig)


def baseline_figures(
    kinds: Iterable[Baseline], profile: Profile, dataset: Dataset, truth: Truth, ks: list[int], progress: Progress
) -> dict[str, Measured]:
    """Figures of each on the judged users; one that can't be fitted is reported and left out."""
    rows = _rows(profile, dataset)
    found: dict[str, Measured] = {}
    for kind in kinds:
        try:
            model = new_model(_CONFIG.validate_python({"kind": kind}), profile)
            model.fit(dataset, rows, progress=progress)
            found[kind] = measure(model, truth, ks, classification=True)
        except DatabaseError:
            raise
        except RecommenderError as error:
            progress(f"{kind} can't be compared: {error}")
    return found


def _rows(profile: Profile, dataset: Dataset) -> TrainingRows:
    """The training window's events; baselines read no features."""
    event, outside = training_events(profile, dataset)
    nothing: Any = pd.DataFrame(index=np.arange(len(event)))
    return TrainingRows(event, nothing, nothing, outside=outside)
