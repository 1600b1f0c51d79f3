"""Evidently's verdict on columns that were cut into bars, and its page for people.

A column has drifted where its PSI is beyond 0.1 and beyond what chance explains.
"""

import json
import os
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.evaluation.drift.bars import Bars, Codes, Column, cut
from recommender.evaluation.findings import Drift

PSI_SHIFT = 0.1
Group = Literal["user features", "item features", "scores", "recommendations", "choices"]
PAGES: dict[Group, str] = {
    "user features": "drift_user.html",
    "item features": "drift_item.html",
    "scores": "drift_scores.html",
    "recommendations": "drift_recommendations.html",
    "choices": "drift_choices.html",
}
_NOTHING = "<!doctype html><title>Drift</title><p>Nothing has enough values in both nights to be compared."


@dataclass(frozen=True)
class _Verdict:
    psi: float
    drifted: bool


def judge_columns(group: Group, columns: Sequence[Column], folder: Path) -> list[Drift]:
    """How each column moved; the group's page of `PAGES` appears in the folder, one self-contained file.

    The page and the bars show distributions, no row, and of personal columns no value.
    """
    cuts = [cut(column) for column in columns]
    verdicts = _ask([bars for bars in cuts if bars.labels], folder / PAGES[group])
    return [
        _drift(group, bars, verdicts[bars.name]) if bars.labels else Drift(group, bars.name, 0.0, "too few rows", False)
        for bars in cuts
    ]


def _drift(group: Group, bars: Bars, verdict: _Verdict) -> Drift:
    before, now = bars.shares
    return Drift(group, bars.name, verdict.psi, "PSI", verdict.drifted, bars.labels, before, now, bars.chance)


def _ask(cuts: Sequence[Bars], html: Path) -> dict[str, _Verdict]:
    """Evidently's answer by column."""
    html.parent.mkdir(parents=True, exist_ok=True)
    scratch = html.with_name(f".{html.stem}-{uuid.uuid4().hex}.html")
    if not cuts:
        scratch.write_text(_NOTHING, encoding="utf-8")
        scratch.replace(html)
        return {}
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of its plotting
        from evidently import DataDefinition, Dataset, Report  # takes seconds, and nobody else needs it
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(categorical_columns=[bars.name for bars in cuts])
        # columns have different numbers of values: the shorter ones end in None, which nothing counts
        before = pd.DataFrame({bars.name: pd.Series(_labelled(bars, bars.reference)) for bars in cuts})
        now = pd.DataFrame({bars.name: pd.Series(_labelled(bars, bars.current)) for bars in cuts})
        preset = DataDriftPreset(
            per_column_method={bars.name: "psi" for bars in cuts},
            per_column_threshold={bars.name: max(PSI_SHIFT, bars.chance) for bars in cuts},
        )
        snapshot = Report([preset], include_tests=True).run(
            current_data=Dataset.from_pandas(now, data_definition=definition),
            reference_data=Dataset.from_pandas(before, data_definition=definition),
        )
        content = json.loads(snapshot.json())
        snapshot.save_html(str(scratch))
    scratch.replace(html)
    failed = {
        test["metric_config"]["params"]["column"]: test["status"] == "FAIL"
        for test in content["tests"]
        if test["id"] == "drift"
    }
    return {
        column: _Verdict(float(metric["value"]), failed[column])
        for metric in content["metrics"]
        if (column := metric["config"].get("column")) is not None
    }


def _labelled(bars: Bars, codes: Codes) -> npt.NDArray[np.object_]:
    """(values,) labels with the bar's number before them, which keeps them apart and in order."""
    labels = [f"{number:02d}  {label}" for number, label in enumerate(bars.labels, 1)]
    return np.array([*labels, None], dtype=object)[codes]
