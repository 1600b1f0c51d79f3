"""What is asked about a challenger beside its metrics: cohorts, drift, health, explanations, examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.columns import CATEGORY, CREATOR, ITEM_ID, TITLE
from recommender.config.profile import Profile, personal_columns
from recommender.config.settings import Settings
from recommender.data.dataset import Dataset, Truth
from recommender.evaluation.changes import config_changes
from recommender.evaluation.cohorts import Cohort, cohort_figures, cohorts_of, represented, weighted
from recommender.evaluation.contenders import HEADLINE, Contenders
from recommender.evaluation.diagnostics import diagnose
from recommender.evaluation.drift import new_item_share, night_drift
from recommender.evaluation.examples import Teller, examples, familiarity, nothing_told
from recommender.evaluation.explain import explain_model, most_important
from recommender.evaluation.findings import (
    Change,
    CohortFigures,
    Diagnostics,
    Drift,
    Example,
    Explanation,
    Figures,
)
from recommender.evaluation.health import latency, training_health
from recommender.evaluation.parity import FIGURE as PARITY
from recommender.evaluation.parity import onnx_parity
from recommender.evaluation.reference import read_reference
from recommender.models.base import Model
from recommender.models.explaining.contributions import Explained
from recommender.models.explaining.reasons import Phrases, Reasons
from recommender.progress import Progress
from recommender.retrieval.exact import TopK
from recommender.storage.lake import Lake

WEIGHTED = "recall@20_weighted"
IMPORTANCE = "importance_largest"
COHORT_CUT = "@20"
"""Metrics of groups of users are told at this length of list."""


@dataclass(eq=False)
class Inquiry:
    """The answers, and what rules need to know of figures that are missing or worth a word."""

    represented: float
    """Of the users with events, the share that was judged."""
    figures: Figures = field(default_factory=dict)
    """Of the challenger."""
    notes: dict[str, str] = field(default_factory=dict)
    excused: dict[str, str] = field(default_factory=dict)
    cohorts: list[Cohort] = field(default_factory=list)
    cohort_figures: list[CohortFigures] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    diagnostics: Diagnostics | None = None
    explanation: Explanation | None = None
    examples: list[Example] = field(default_factory=list)
    example_users: list[str] = field(default_factory=list)
    """Who the examples are of; kept apart from everything that people read."""
    changes: list[Change] = field(default_factory=list)


def inquire(
    settings: Settings, ds: date, contenders: Contenders, dataset: Dataset, truth: Truth, progress: Progress
) -> Inquiry:
    """Ask everything about tonight's challenger.

    Parameters
    ----------
    dataset, truth
        What was known when the judged days began, and what users chose in them.
    """
    profile, seed = settings.profile, settings.profile.training.seed
    challenger, champion = contenders.challenger, contenders.champion
    measured, model, version = challenger.measured, challenger.model, challenger.version
    found = Inquiry(represented(dataset, truth.users))

    progress("comparing groups of users")
    found.cohorts = cohorts_of(profile, dataset, truth.users)
    theirs = None if champion is None else champion.measured.per_user
    metrics = [name for name in measured.per_user if name.endswith(COHORT_CUT)]
    found.cohort_figures = cohort_figures(measured.per_user, theirs, found.cohorts, metrics, seed)
    found.figures[WEIGHTED] = weighted(measured.per_user[HEADLINE], dataset, truth.users)

    _compare_with_reference(found, settings, ds, contenders, dataset, truth, progress)

    progress("looking at training, exports and speed")
    found.figures |= training_health(version.metrics.get("fit", {}), version.artifact)
    found.figures |= latency(model, truth.users)
    parity = onnx_parity(model, version.artifact, version.metrics.get("export", {}), seed)
    found.figures |= parity.figures
    if parity.problems:
        found.notes[PARITY] = "; ".join(parity.problems)
    if not parity.figures:
        found.excused["onnx_"] = "this kind of model exports no ONNX"

    progress("explaining scores")
    catalogue = _catalogue(settings, ds, dataset)
    found.diagnostics = diagnose(model, dataset, truth.users, measured.top, catalogue, seed)
    found.figures |= familiarity(measured.top, dataset, truth, catalogue)
    found.explanation = explain_model(model, truth, measured.top, seed)
    _weigh_importance(found)
    shown = None if champion is None else champion.measured.top
    found.examples, found.example_users = examples(
        measured.top, shown, dataset, truth, catalogue, seed, tell=_teller(model, profile, catalogue)
    )
    if champion is not None:
        found.changes = config_changes(champion.version.config, version.config)
    return found


def _compare_with_reference(
    found: Inquiry,
    settings: Settings,
    ds: date,
    contenders: Contenders,
    dataset: Dataset,
    truth: Truth,
    progress: Progress,
) -> None:
    """Drift since the champion's night."""
    champion = contenders.champion_version
    found.figures["new_item_share"] = new_item_share(truth, dataset)
    found.excused["new_item_share_before"] = "the champion left no sample of what was chosen"
    if champion is None:
        found.excused["drift_"] = "no champion since whose night anything could have drifted"
        return
    progress(f"comparing distributions with those of {champion.ds}")
    drift = night_drift(
        Lake(settings.lake),
        settings.profile,
        settings.reports / f"ds={ds}",
        ds,
        champion.ds,
        contenders.challenger.measured.top,
        None if contenders.champion is None else contenders.champion.measured.top,
        truth,
        dataset,
        read_reference(reference_folder(settings, champion.ds, champion.model_version)),
        progress,
    )
    found.figures |= drift.figures
    found.drift = drift.columns
    if drift.worst is not None:
        found.notes["drift_worst"] = f"furthest of all {drift.worst}"
    drifted = [one.name for one in drift.columns if one.drifted and one.group.endswith("features")]
    if drifted:
        found.notes["drift_share"] = ", ".join(drifted)


def reference_folder(settings: Settings, ds: date, model_version: str) -> Path:
    """Where a version leaves what it showed and what was chosen when it was judged."""
    return settings.reports / f"ds={ds}" / "reference" / model_version


def _weigh_importance(found: Inquiry) -> None:
    """How much the feature counts that counts most; ids and histories are no features."""
    explained = found.explanation
    if explained is None or not explained.importances:
        found.excused[IMPORTANCE] = "this kind of model has no named inputs"
        return
    largest = most_important(explained)
    if largest is None:
        found.excused[IMPORTANCE] = "the model reads no feature"
        return
    found.figures[IMPORTANCE] = largest.attribution
    found.notes[IMPORTANCE] = f"{largest.side} {largest.name}"


def _teller(model: Model, profile: Profile, catalogue: pd.DataFrame) -> Teller:
    """The reasons that readers would get."""
    titles, creators = (
        np.array([None if pd.isna(value) else str(value) for value in catalogue[name]], object)
        if name in catalogue
        else np.full(len(catalogue), None, object)
        for name in (TITLE, CREATOR)
    )
    reasons = Reasons(Phrases.of(profile), titles, creators)

    def tell(users: npt.NDArray[np.int64], items: npt.NDArray[np.int32]) -> Sequence[Sequence[str | None]]:
        top = TopK(items, np.zeros(items.shape, np.float32))
        codes = reasons.tell(Explained(top, model.contributions(users, items)))
        if codes is None:
            return nothing_told(users, items)
        texts = [None, *reasons.texts]
        return [[texts[code] for code in row] for row in codes.tolist()]

    return tell


def _catalogue(settings: Settings, ds: date, dataset: Dataset) -> pd.DataFrame:
    """A row an item of the data set, in its order, with the columns that people know it by."""
    items = pd.read_parquet(Lake(settings.lake).latest("items", ds))
    personal = personal_columns(settings.profile, "items")
    wanted = [name for name in (TITLE, CREATOR, CATEGORY) if name in items.columns and name not in personal]
    return items.set_index(ITEM_ID)[wanted].reindex(dataset.item_ids).reset_index(drop=True)
