"""The profile's model and its rivals, fitted on the same data; the best on the validation days is the candidate."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recommender.config.blend import Blend
from recommender.config.head import Head
from recommender.config.models import AnyModel
from recommender.config.profile import Profile
from recommender.config.ranking import Ranking
from recommender.errors import ArtifactError, DatabaseError, RecommenderError, TrainingError
from recommender.evaluation.evaluate import evaluate
from recommender.evaluation.findings import Figures
from recommender.models.base import Model, Support
from recommender.models.registry import new_model
from recommender.nightly.past import Material
from recommender.nightly.start import FULL, WARM, Start, load_start
from recommender.progress import Progress
from recommender.training.report import FitReport

HEADLINE, TIE_BREAK = "recall@20", "ndcg@20"
KS = (20,)


@dataclass(frozen=True)
class Entrant:
    """One model of the night."""

    label: str
    """Its kind; a second one of the kind has a number too."""
    config: AnyModel
    start: Start


@dataclass(frozen=True, eq=False)
class Fitted:
    """What became of an entrant."""

    entrant: Entrant
    model: Model
    report: FitReport
    figures: Figures
    """On the validation days; the days of the holdout were not looked at."""
    seconds: float
    """Of fitting and comparing."""
    how: str
    """`warm` or `full`."""

    @property
    def rank(self) -> tuple[float, float]:
        return self.figures.get(HEADLINE, 0.0), self.figures.get(TIE_BREAK, 0.0)

    @property
    def start(self) -> dict[str, object]:
        """How it began, as it is stored with the version."""
        return {
            "how": self.how,
            "from": self.entrant.start.name if self.how == WARM else None,
            "why": self.entrant.start.why,
        }


@dataclass(frozen=True, eq=False)
class Contest:
    """The winner, and the figures of the others by label."""

    winner: Fitted
    others: dict[str, dict[str, Any]]

    @property
    def summary(self) -> str:
        """The others, for people; empty where there are none."""
        return ", ".join(
            f"{label} {found[HEADLINE]:.4f} in {found['seconds']:.0f} s" if HEADLINE in found else f"{label} failed"
            for label, found in self.others.items()
        )


def labels(configs: Sequence[AnyModel]) -> list[str]:
    """A distinct name each: the kind, numbered from the second one of a kind on."""
    named: list[str] = []
    for config in configs:
        earlier = sum(name.split("-")[0] == config.kind for name in named)
        named.append(f"{config.kind}-{earlier + 1}" if earlier else config.kind)
    return named


def parts_of(config: AnyModel) -> list[AnyModel]:
    """The models that a composite one is made of, and theirs; as a model of its own each may be a rival too."""
    parts: list[AnyModel] = []
    if isinstance(config, Ranking | Blend):
        parts = list(config.parts.values())
    elif isinstance(config, Head):
        parts = [config.towers]
    return [one for part in parts for one in (part, *parts_of(part))]


def compete(
    profile: Profile,
    entrants: Sequence[Entrant],
    material: Material,
    checkpoints: Path,
    logs: dict[str, Path],
    progress: Progress,
) -> Contest:
    """Fit every entrant and choose the best by recall@20; the first one named wins a tie.

    What others are made of comes first, so that a ranking model finds its candidates' models fitted. One that fails
    is reported and left out.

    Parameters
    ----------
    checkpoints
        A folder in which each entrant has one of its own.
    logs
        TensorBoard's folder of each entrant, by label.

    Raises
    ------
    TrainingError
        All of them failed; where there is only one, its own error.
    """
    shared = {part.model_dump_json() for entrant in entrants for part in parts_of(entrant.config)}
    fitted: dict[str, dict[str, Model]] = {WARM: {}, FULL: {}}
    best: Fitted | None = None
    found: dict[str, dict[str, Any]] = {}
    errors: list[RecommenderError] = []
    place = {entrant.label: number for number, entrant in enumerate(entrants)}
    for entrant in sorted(entrants, key=lambda entrant: len(parts_of(entrant.config))):
        label, key = entrant.label, entrant.config.model_dump_json()
        progress(f"{label}: {entrant.start.why}")
        # of parts that went on from earlier weights the few epochs say nothing of a training from nothing
        begins = FULL if entrant.start.version is None else WARM
        support = Support(material.past, None, fitted[begins], checkpoints / label, logs[label])
        try:
            done = fit_entrant(profile, entrant, material, support, progress)
        except DatabaseError:
            raise
        except RecommenderError as error:
            errors.append(error)
            found[label] = {"error": str(error)}
            progress(f"{label} is left out: {error}")
            continue
        found[label] = {**done.figures, "epochs": done.report.epochs, "seconds": round(done.seconds, 2)}
        if key in shared:
            fitted[done.how][key] = done.model
        if best is None or (done.rank, -place[label]) > (best.rank, -place[best.entrant.label]):
            best = done
    if best is None:
        if len(errors) == 1:
            raise errors[0]
        raise TrainingError("; ".join(f"{label} failed: {found[label]['error']}" for label in place))
    return Contest(best, {label: found[label] for label in place if label != best.entrant.label})


def fit_entrant(profile: Profile, entrant: Entrant, material: Material, support: Support, progress: Progress) -> Fitted:
    """Fit from the entrant's start where it fits, else from nothing, and score the validation days."""
    clock = time.monotonic()
    support = replace(support, start=load_start(entrant.start, progress))
    model, report, how = fit(profile, entrant.config, material, support, progress)
    figures = {} if material.truth is None else evaluate(model, material.truth, KS)
    return Fitted(entrant, model, report, figures, time.monotonic() - clock, how)


def fit(
    profile: Profile,
    config: AnyModel,
    material: Material,
    support: Support,
    progress: Progress,
) -> tuple[Model, FitReport, str]:
    """A new model fitted on the material, and whether it went on from `support.start` (`warm`) or not (`full`).

    A start that doesn't fit is reported, and the model is fitted from nothing.
    """
    if support.start is not None:
        try:
            return *fit_from(profile, config, material, support, progress), WARM
        except ArtifactError as error:
            progress(f"training from nothing: {error}")
            support = replace(support, start=None, fitted={})
    return *fit_from(profile, config, material, support, progress), FULL


def fit_from(
    profile: Profile,
    config: AnyModel,
    material: Material,
    support: Support,
    progress: Progress,
    epochs: int | None = None,
) -> tuple[Model, FitReport]:
    """A new model fitted on the material from `support.start`, if there is one.

    Raises
    ------
    ArtifactError
        The start doesn't fit.
    """
    model = new_model(config, profile)
    report = model.fit(
        material.dataset, material.rows, material.truth, epochs=epochs, progress=progress, support=support
    )
    return model, report
