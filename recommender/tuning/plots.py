"""A study as one HTML page that needs no network: what was tried, what it brought, what mattered."""

import html
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna import visualization
from optuna.trial import TrialState

_PLOTS: tuple[tuple[str, str, Callable[[optuna.Study], Any]], ...] = (
    (
        "What mattered",
        "Share of the figure's variance that each setting explains.",
        visualization.plot_param_importances,
    ),
    ("Figure by setting", "Each dot is a trial.", visualization.plot_slice),
    ("Settings together", "Each line is a trial.", visualization.plot_parallel_coordinate),
    ("How the search went", "The best so far, trial by trial.", visualization.plot_optimization_history),
    ("How trials learnt", "The figure after each epoch, or over the folds.", visualization.plot_intermediate_values),
)
_STYLE = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto} pre{background:#f4f4f4;padding:1em}"


def write_plots(study: optuna.Study, section: str, path: Path) -> Path:
    """Write the page, with the best settings on top; returns its path. Plots that need more trials are left out."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{html.escape(study.study_name)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(study.study_name)}</h1>",
        f"<p>{len(study.trials)} trials, {len(complete)} of them to their end. The best:</p>",
        f"<pre>{html.escape(section)}</pre>",
    ]
    library: bool = True  # plotly's own code, four megabytes: once
    for title, about, plot in _PLOTS:
        try:
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # that few trials tell little
                figure = plot(study)
        except (RuntimeError, ValueError):  # too few trials, or all alike
            continue
        parts.append(f"<h2>{title}</h2><p>{about}</p>{figure.to_html(full_html=False, include_plotlyjs=library)}")
        library = False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text("\n".join(parts), encoding="utf-8")
    temporary.replace(path)
    return path
