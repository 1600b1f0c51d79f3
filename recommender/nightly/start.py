"""Where a night's training begins: from an earlier champion's weights, or from nothing.

Decided by the registry's record of nights before `ds` alone, so that the same night decides the same again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from recommender.config.training import Training
from recommender.data.split import Split
from recommender.errors import ArtifactError
from recommender.models.base import Model
from recommender.models.blend import Blend
from recommender.models.registry import MODELS, load_model
from recommender.progress import Progress
from recommender.storage.artifacts import verify
from recommender.storage.registry import ModelVersion

CONFIGURES_START = ("model", "features", "preprocessing")
"""Sections of the profile in which a start must agree with tonight's model."""
WARM, FULL = "warm", "full"
_WAS_CHAMPION = ("champion", "retired")


@dataclass(frozen=True)
class Start:
    """The version to go on from, or none, and why."""

    version: ModelVersion | None
    why: str
    refitted: bool = False
    """Whether the weights are those that were fitted once more on everything up to the version's night."""

    @property
    def name(self) -> str | None:
        return None if self.version is None else self.version.model_version


def find_start(
    history: Sequence[ModelVersion], kind: str, config: dict[str, Any], training: Training, split: Split
) -> Start:
    """Choose the newest champion of the same kind and configuration that knows nothing which tonight's fit may not.

    Parameters
    ----------
    history
        Registered versions, the newest night first; those of `split.ds` and later are left out here.
    config
        Tonight's sections of the profile, as they are stored with a version.
    """
    if not training.warm_start:
        return Start(None, "training.warm_start is off")
    if not _goes_on(kind, config["model"]):
        return Start(None, f"{kind} begins from nothing every night")
    alike = [
        version
        for version in history
        if version.ds < split.ds
        and version.kind == kind
        and all(version.config.get(section) == config[section] for section in CONFIGURES_START)
    ]
    full = next((version.ds for version in alike if version.metrics.get("start", {}).get("how") == FULL), None)
    if full is None:
        return Start(None, "nothing of this configuration was trained before")
    if (split.ds - full).days >= training.full_retrain_days:
        return Start(None, f"the last training from nothing is of {full}, {(split.ds - full).days} days ago")
    decayed = _decayed_since(history, full, split.ds)
    if decayed is not None:
        return Start(None, f"judging saw the champion decay on {decayed}")
    champions = [version for version in alike if version.status in _WAS_CHAMPION]
    fitting = next((version for version in champions if _knows_no_more(version, split)), None)
    if fitting is not None:
        return Start(fitting, f"goes on from {fitting.model_version}")
    if champions:
        return Start(None, f"{champions[0].model_version} knows events after {split.trained_to}")
    return Start(None, "no champion is of this configuration")


def _goes_on(kind: str, model: dict[str, Any]) -> bool:
    """Whether the kind can begin from earlier weights; a blend where one of its models can."""
    parts = [part["kind"] for part in model["models"].values()] if kind == Blend.kind else [kind]
    return any(MODELS[part].warm_starts for part in parts)


def refit_starts(history: Sequence[ModelVersion], champion: ModelVersion) -> list[Start]:
    """Where the refit of tonight's champion may begin, the best first; it may know everything up to its night.

    A champion that was trained from nothing is refitted from nothing: going on from its judged weights, which are
    weeks old, for a few epochs would publish less than what was judged. One that went on from earlier weights is
    refitted from the newest refitted weights of its configuration, or else from its own judged ones; the few epochs
    that it took say nothing of a training from nothing.
    """
    if champion.metrics.get("start", {}).get("how") != WARM:
        return [Start(None, "trained from nothing, refitted from nothing")]
    judged = Start(champion, "goes on from the judged weights")
    for version in history:
        alike = all(version.config.get(section) == champion.config.get(section) for section in CONFIGURES_START)
        if (
            version.ds < champion.ds
            and version.kind == champion.kind
            and alike
            and version.serving_artifact is not None
        ):
            return [Start(version, f"goes on from what {version.model_version} published", refitted=True), judged]
    return [judged]


def load_start(start: Start, progress: Progress) -> Model | None:
    """The weights of the chosen version, verified; None, with a line that says why, where they can't be read."""
    if start.version is None:
        return None
    folder, checksum = start.version.artifact, start.version.checksum
    if start.refitted:
        folder, checksum = start.version.served
    try:
        verify(folder, checksum)
        return load_model(start.version.kind, folder)
    except ArtifactError as error:
        progress(f"training can't go on from {start.version.model_version}: {error}")
        return None


def _knows_no_more(version: ModelVersion, split: Split) -> bool:
    """True where its weights come from events up to tonight's `trained_to`, its early stop from days up to `judged_at`.

    The refitted weights of a version know its whole night; they are never the start of a candidate.
    """
    data = version.metrics.get("data", {})
    trained_to, judged_at = data.get("trained_to"), data.get("judged_at")
    if trained_to is None or judged_at is None:
        return False
    return date.fromisoformat(trained_to) <= split.trained_to and date.fromisoformat(judged_at) <= split.judged_at


def _decayed_since(history: Sequence[ModelVersion], full: date, ds: date) -> date | None:
    """The newest night before `ds` and after `full` whose judging saw the champion decay."""
    seen = (version.ds for version in history if version.metrics.get("decay", {}).get("decayed"))
    return next((night for night in seen if full < night < ds), None)
