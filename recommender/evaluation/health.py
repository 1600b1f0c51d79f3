"""Figures of a candidate that no list shows: how its training went, how large it is, how long an answer takes."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from recommender.evaluation.findings import Figures
from recommender.models.base import Model

LIST_LENGTH = 100
CALLS = 20
"""Lists of one user that are timed, at most."""
BUDGET_SECONDS = 0.8
"""For these, and again for a batch of users."""
MOST_USERS = 4096
"""In the batch."""
_MEGABYTE = 1e6
_LOSS, _RECALL, _EPOCH = "loss", "recall", "epoch"

History = Sequence[Mapping[str, float]]


def training_health(fit: Mapping[str, Any], folder: Path) -> Figures:
    """How a fit went, and what it left.

    `fit_epochs`, `fit_seconds`, `fit_finite` (1 where history and weights are finite numbers, else 0) and
    `artifact_megabytes` are always there. `fit_loss_ratio`, last loss by first, needs two epochs or more;
    `fit_recall_drop`, what the last epoch lost of the best one's validation recall as a share of it, needs one with a
    recall. Of a model of several parts they are the worst part's.

    Parameters
    ----------
    fit
        `epochs`, `seconds` and `history`, as a version's metrics have them.
    folder
        The artifact.
    """
    history: History = fit.get("history", ())
    numbers = np.array([value for entry in history for value in entry.values()], np.float64)
    finite = bool(np.isfinite(numbers).all()) and all(map(_is_finite, sorted(folder.rglob("*.safetensors"))))
    figures = {
        "fit_epochs": float(fit.get("epochs", 0)),
        "fit_seconds": float(fit.get("seconds", 0)),
        "fit_finite": float(finite),
        "artifact_megabytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / _MEGABYTE,
    }
    ratios = [run[-1] / run[0] for run in _runs(history, _LOSS) if len(run) > 1 and run[0] > 0]
    drops = [1 - run[-1] / max(run) for run in _runs(history, _RECALL) if max(run) > 0]
    figures |= {"fit_loss_ratio": max(ratios)} if ratios else {}
    return figures | ({"fit_recall_drop": max(drops)} if drops else {})


def latency(model: Model, users: npt.NDArray[np.int64]) -> Figures:
    """How long lists take, measured in less than two seconds unless a single list takes longer.

    `recommend_ms` is the median time of the list of one user of `LIST_LENGTH` items, in milliseconds,
    `recommend_users_per_second` the rate in one batch.

    Parameters
    ----------
    users
        (n,) whose lists are made, the first ones; without any there are no figures.
    """
    if len(users) == 0:
        return {}
    _seconds(model, users[:1])  # what is computed once for all lists is no part of one
    single: list[float] = []
    while len(single) < min(CALLS, len(users)) and sum(single) < BUDGET_SECONDS:
        single.append(_seconds(model, users[len(single) : len(single) + 1]))
    batch = users[: min(MOST_USERS, max(1, int(BUDGET_SECONDS / max(median(single), 1e-6))))]
    return {
        "recommend_ms": median(single) * 1000,
        "recommend_users_per_second": len(batch) / max(_seconds(model, batch), 1e-9),
    }


def _seconds(model: Model, users: npt.NDArray[np.int64]) -> float:
    started = time.perf_counter()
    model.recommend(users, LIST_LENGTH, allowed=model.dataset.known_items)
    return time.perf_counter() - started


def _runs(history: History, measure: str) -> list[list[float]]:
    """The finite values of a measure, a list for each part that learnt by itself.

    A part of several has its name before those of its measures; where parts have none, epochs begin anew.
    """
    names = sorted({name for entry in history for name in entry if name == measure or name.endswith(f"_{measure}")})
    runs = []
    for name in names:
        epoch = name.removesuffix(measure) + _EPOCH
        entries = [entry for entry in history if np.isfinite(entry.get(name, np.nan))]
        begins = [right.get(epoch, 0) <= left.get(epoch, 0) for left, right in pairwise(entries)]
        cuts = [0, *(number for number, anew in enumerate(begins, 1) if anew), len(entries)]
        runs += [[entry[name] for entry in entries[start:stop]] for start, stop in pairwise(cuts) if start < stop]
    return runs


def _is_finite(path: Path) -> bool:
    """Whether a file of weights can be read and has finite numbers alone; one tensor at a time is in memory."""
    try:
        with safe_open(path, framework="pt") as file:
            return all(bool(torch.isfinite(file.get_tensor(name)).all()) for name in file.keys())  # noqa: SIM118
    except SafetensorError:
        return False
