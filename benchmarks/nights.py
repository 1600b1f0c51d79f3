"""Ten consecutive nights of Last.fm: training that goes on from the night before, against training from nothing.

RECOMMENDER_SHARED_DATA=… python -m benchmarks.nights          # runs for about an hour on two cores

Every night fits the music profile's tower twice on the same rows, judged as the gate judges: on the holdout's new
choices, which neither has seen. The warm one starts from last night's warm one, so that whatever is lost adds up; the
schedule's full retraining would end the chain after `training.full_retrain_days`.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.scratch import scratch_world
from recommender import pipeline
from recommender.config.models import AnyModel
from recommender.config.settings import Settings, load_settings
from recommender.data.dataset import Dataset, Truth
from recommender.data.split import Split
from recommender.evaluation.evaluate import evaluate
from recommender.features.loading import load_dataset, truth_after
from recommender.features.store import feature_store
from recommender.models.base import Model, Support
from recommender.models.registry import MODELS
from recommender.nightly.contest import fit, parts_of
from recommender.nightly.past import Material, validation_material
from recommender.progress import quiet
from recommender.storage.lake import Lake
from recommender.storage.postgres import libpq_url

FIRST = date(2014, 5, 1)
NIGHTS = 10
RECALL_AT_LEAST, SECONDS_AT_MOST = 0.99, 0.25
"""Of training from nothing, over all nights."""


@dataclass(frozen=True)
class Fit:
    """One model of one night."""

    model: Model
    recall: float
    seconds: float


def main() -> None:
    console = Console(highlight=False)
    shared = os.environ.get("RECOMMENDER_SHARED_DATA")
    if not shared or not (Path(shared) / "lfm").is_dir():
        console.print("skipped: RECOMMENDER_SHARED_DATA does not name a folder with lfm/")
        return
    table = Table("night", "from nothing", "s", "warm", "s", "recall ratio", "time ratio", box=None)
    pairs: list[tuple[Fit, Fit]] = []
    with scratch_world() as scratch:
        music = load_settings("music", Path(shared) / "lfm")
        settings = Settings(music.profile, music.profile_path, music.data, scratch.home, None)
        for night, full, warm in _nights(settings):
            ratios = f"{warm.recall / full.recall:.3f}", f"{warm.seconds / full.seconds:.3f}"
            table.add_row(*map(str, (night, f"{full.recall:.4f}", f"{full.seconds:.0f}")),
                          f"{warm.recall:.4f}", f"{warm.seconds:.0f}", *ratios)  # fmt: skip
            console.print(
                f"{night}: recall@20 {warm.recall:.4f} warm, {full.recall:.4f} from nothing; time {ratios[1]}"
            )
            pairs.append((full, warm))
    console.print(table)
    recall = sum(warm.recall for _, warm in pairs) / sum(full.recall for full, _ in pairs)
    seconds = sum(warm.seconds for _, warm in pairs) / sum(full.seconds for full, _ in pairs)
    console.print(f"recall {recall:.3f} of training from nothing (at least {RECALL_AT_LEAST}), "
                  f"time {seconds:.3f} (at most {SECONDS_AT_MOST})")  # fmt: skip


def _nights(settings: Settings) -> Iterator[tuple[date, Fit, Fit]]:
    """Each night's fit from nothing and its warm one; the night before the first gives the first start."""
    config = _tower(settings.profile.model)
    start: Model | None = None
    for number in range(NIGHTS + 1):
        night = FIRST + timedelta(days=number)
        pipeline.ingest(settings, night)
        pipeline.features(settings, night)
        lake, split = Lake(settings.lake), Split.of(settings.profile, night)
        store = feature_store(settings, libpq_url(settings))
        material = validation_material(lake, settings.profile, store, split)
        dataset = load_dataset(lake, settings.profile, split.judged_at, known=night)
        truth = truth_after(lake, dataset, night, known=night)
        full = _fit(settings, config, material, dataset, truth, None)
        if start is None:
            start = _kept(full.model)
            continue
        warm = _fit(settings, config, material, dataset, truth, start)
        start = _kept(warm.model)
        yield night, full, warm


def _fit(
    settings: Settings, config: AnyModel, material: Material, dataset: Dataset, truth: Truth, start: Model | None
) -> Fit:
    clock = time.perf_counter()
    model, _, _ = fit(settings.profile, config, material, Support(past=material.past, start=start), quiet)
    taken = time.perf_counter() - clock
    model.attach(dataset)
    return Fit(model, evaluate(model, truth, (20,))["recall@20"], taken)


def _kept(model: Model) -> Model:
    """As the next night finds it: written and read."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        return type(model).load(Path(folder))


def _tower(config: AnyModel) -> AnyModel:
    """The profile's model, or the first part of it, that goes on from the night before and has no parts itself."""
    return next(one for one in (config, *parts_of(config)) if MODELS[one.kind].warm_starts and not parts_of(one))


if __name__ == "__main__":
    main()
