"""What moved since the champion's night, for the gate, for the report and for people.

    drift = night_drift(lake, profile, folder, ds, champion.ds, judged.top, champions.top, truth, dataset, past)
    drift.figures["drift_worst"], drift.worst           # 0.61, "user features: events_7d"

Five groups of columns are compared: the features of the users and of the items in the snapshots of both nights, what
the models score, what is recommended, and what people choose. Evidently judges each column by its population stability
index (PSI) over a few bars and writes a page a group; `bars.py` says how a column is cut, `verdicts.py` what counts.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from recommender.config.profile import Profile, personal_columns
from recommender.data.dataset import Dataset, Truth
from recommender.data.session import working_database
from recommender.evaluation.drift.bars import Column
from recommender.evaluation.drift.columns import choice_columns, feature_columns, recommended_columns, score_columns
from recommender.evaluation.drift.snapshots import sample_rows
from recommender.evaluation.drift.verdicts import Group, judge_columns
from recommender.evaluation.findings import Drift, Figures
from recommender.evaluation.reference import Reference, Sample, choices_frame, shown_frame
from recommender.features.definitions import declared_features, table_of
from recommender.features.measures import KEYS, Entity
from recommender.features.provenance import built_versions
from recommender.progress import Progress, quiet
from recommender.retrieval.exact import TopK
from recommender.storage.lake import Lake

_FEATURES: dict[Group, Entity] = {"user features": "user", "item features": "item"}


@dataclass(frozen=True)
class NightDrift:
    """What moved between two nights."""

    figures: Figures
    """`drift_share`: of the features, how many drifted. `drift_worst`, `drift_scores`, `drift_recommendations` and
    `drift_choices`: the largest PSI of the features and of each group, less what chance explains; 0 where nothing was
    compared. `new_item_share` of the choices, and `new_item_share_before`."""
    columns: list[Drift]
    worst: str | None = None
    """Group and name of the feature that moved furthest; None where none moved further than by chance."""


def night_drift(
    lake: Lake,
    profile: Profile,
    folder: Path,
    ds: date,
    since: date,
    challenger: TopK,
    champion: TopK | None,
    truth: Truth,
    dataset: Dataset,
    past: Reference | None,
    progress: Progress = quiet,
) -> NightDrift:
    """Compare tonight with the champion's night; `drift_<group>.html` for people appear in `folder`.

    Parameters
    ----------
    ds, since
        Tonight, and the night whose champion is compared with.
    challenger, champion
        Lists for the users of `truth`; no champion where it can't be read any more.
    dataset
        What the lists were made from, and `truth` came after.
    past
        What the champion left when it was judged; None where it left nothing, and then the scores of the two models
        are compared, no recommendations and no choices.
    """
    features = [
        drift
        for group, entity in _FEATURES.items()
        for drift in judge_columns(group, _moved_features(lake, profile, entity, since, ds, progress), folder)
    ]
    days = (ds - since).days
    shown = shown_frame(challenger, truth.users, dataset)
    champions = shown_frame(champion, truth.users, dataset) if champion is not None else None
    choices = choices_frame(truth, dataset)
    if past is None:
        progress(f"the champion of {since} left no sample of what it showed and what was chosen")
    groups: dict[Group, list[Column]] = {
        "scores": score_columns(past.shown if past else None, champions, shown),
        "recommendations": recommended_columns(past.shown, shown, days) if past else [],
        "choices": choice_columns(past.choices, choices, days) if past else [],
    }
    judged = {group: judge_columns(group, columns, folder) for group, columns in groups.items()}
    figures = {
        "drift_share": sum(drift.drifted for drift in features) / max(1, len(features)),
        "drift_worst": _furthest(features),
        **{f"drift_{group}": _furthest(drifts) for group, drifts in judged.items()},
        "new_item_share": _new_items(choices),
        **({"new_item_share_before": _new_items(past.choices)} if past else {}),
    }
    worst = max(features, key=_beyond_chance, default=None)
    named = f"{worst.group}: {worst.name}" if worst is not None and _beyond_chance(worst) > 0 else None
    return NightDrift(figures, [*features, *(drift for drifts in judged.values() for drift in drifts)], named)


def _moved_features(
    lake: Lake, profile: Profile, entity: Entity, since: date, ds: date, progress: Progress
) -> list[Column]:
    """Samples of the declared features in both nights' snapshots; none where there is no snapshot.

    Values by another definition are no drift: what was redefined since is left out.
    """
    table = table_of(entity)
    before, after = built_versions(lake, table, since), built_versions(lake, table, ds)
    declared = declared_features(profile, entity)
    if not declared or before is None or after is None:
        return []
    same = [feature for feature in declared if before.get(feature.name) == after.get(feature.name)]
    if len(same) < len(declared):
        progress(f"{len(declared) - len(same)} {entity} features are new or defined otherwise since {since}")
    names = [feature.name for feature in same]
    with working_database(profile.engine) as connection:
        then, now = (sample_rows(connection, lake.path(table, night), KEYS[entity], names) for night in (since, ds))
    return feature_columns(then, now, same, personal_columns(profile, table), (ds - since).days)


def _beyond_chance(drift: Drift) -> float:
    return max(0.0, drift.score - drift.chance)


def _furthest(drifts: list[Drift]) -> float:
    return max(map(_beyond_chance, drifts), default=0.0)


def new_item_share(truth: Truth, dataset: Dataset) -> float:
    """Of what was chosen, the share of items that were new."""
    return _new_items(choices_frame(truth, dataset))


def _new_items(choices: Sample) -> float:
    return float(choices.rows["is_new"].mean()) if len(choices.rows) else 0.0
