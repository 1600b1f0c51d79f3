"""Whether a model may score a data set: features that mean something else than in training give nonsense."""

from collections.abc import Iterable

from recommender.data.dataset import Dataset
from recommender.errors import ArtifactError
from recommender.features.definitions import Feature

NAMED = 5
"""So many features an error names; the rest are counted."""


def require_definitions(model: str, features: Iterable[Feature], dataset: Dataset) -> None:
    """Compare the features a model was trained on with those of a data set; versions nobody knows pass.

    Raises
    ------
    ArtifactError
        The data set lacks one of them, or has it by another definition.
    """
    frames = {"user": dataset.user_features, "item": dataset.item_features}
    lacking, changed = [], []
    for feature in features:
        version = dataset.feature_versions.get(feature.entity, {}).get(feature.name, feature.version)
        if feature.name not in frames[feature.entity].columns:
            lacking.append(feature.name)
        elif version != feature.version:
            changed.append(feature.name)
    problems = []
    if changed:
        problems.append(f"other definitions of {_listed(changed)} than the snapshots of {dataset.ds} hold")
    if lacking:
        problems.append(f"{_listed(lacking)}, which the snapshots of {dataset.ds} lack")
    if problems:
        raise ArtifactError(
            f"{model} was trained on {' and on '.join(problems)}: "
            "train again (`recommender run train`), or put the definitions back"
        )


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
