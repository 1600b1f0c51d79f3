"""The night's verdict: a candidate against champion and baselines on days none of them was trained on."""

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import psycopg

from recommender.config.policy import Policy, load_policy
from recommender.config.profile import Profile, personal_columns
from recommender.config.settings import Settings
from recommender.data.dataset import Dataset, Truth
from recommender.data.split import Split
from recommender.errors import ArtifactError, ConfigError, NotReadyError
from recommender.evaluation.baselines import baseline_figures
from recommender.evaluation.confidence import Compared, Interval, compare, intervals
from recommender.evaluation.drift import feature_drift
from recommender.evaluation.evaluate import Measured, measure
from recommender.evaluation.findings import Figures, RuleResult
from recommender.evaluation.gate import ONNX_FILES, apply_policy
from recommender.features.definitions import declared_features, table_of
from recommender.features.loading import load_dataset, truth_after
from recommender.features.measures import Entity
from recommender.features.provenance import built_versions
from recommender.models.base import Model
from recommender.models.popularity import Popularity
from recommender.models.registry import load_model
from recommender.progress import Progress
from recommender.storage import registry
from recommender.storage.artifacts import verify
from recommender.storage.lake import Lake

HEADLINE = "recall@20"


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, and every figure it decided on."""

    model_version: str
    promoted: bool
    figures: dict[str, Figures]
    """By model: `challenger`, the baselines, and `champion` where there is one."""
    rules: list[RuleResult] = field(default_factory=list)
    repeated: bool = False
    """True where the verdict was given in an earlier run of the same night."""
    intervals: dict[str, Interval] = field(default_factory=dict)
    """Of the challenger's figures that are means over users."""
    beside: dict[str, dict[str, Compared]] = field(default_factory=dict)
    """The challenger beside each of the other models, by metric."""

    @property
    def summary(self) -> str:
        decided = "promoted" if self.promoted else "rejected"
        again = " in an earlier run" if self.repeated else ""
        failed = [rule for rule in self.rules if not rule.passed]
        why = "; ".join(f"{rule.rule}: {rule.detail}" for rule in failed)
        scores = ", ".join(
            f"{name} {figures[HEADLINE]:.4f}" for name, figures in self.figures.items() if HEADLINE in figures
        )
        return f"{self.model_version} {decided}{again} ({HEADLINE}: {scores}){f' because {why}' if why else ''}"


def load_served(version: registry.ModelVersion, dataset: Dataset) -> Model:
    """The artifact of a version that serves, verified, over a data set."""
    return _load(version.kind, *version.served, dataset)


def judge_candidate(settings: Settings, ds: date, connection: psycopg.Connection, progress: Progress) -> Verdict:
    """Judge the night's newest candidate on the holdout, apply the policy, and store every figure.

    A candidate that was judged before keeps its verdict.
    """
    profile, lake, split = settings.profile, Lake(settings.lake), Split.of(settings.profile, ds)
    candidate = registry.newest_of(connection, ds)
    if candidate.status != "candidate":
        return Verdict(
            candidate.model_version,
            candidate.status in ("champion", "retired"),
            candidate.metrics.get("judged", {}),
            repeated=True,
        )
    policy = load_policy(profile.gate.policy)
    _require_baselines(policy, profile)
    dataset = load_dataset(lake, profile, split.judged_at, known=ds)
    truth = truth_after(lake, dataset, ds, known=ds)
    if len(truth.users) == 0:
        raise NotReadyError(
            f"no user chose anything new from {split.judged_at} to {ds}, nothing to judge on: "
            "raise evaluation.holdout_days"
        )
    ks = sorted({*profile.evaluation.k, 20})
    progress(f"judging on {len(truth.users):,} users' new choices from {split.judged_at} to {ds}")
    judged = measure(_load(candidate.kind, candidate.artifact, candidate.checksum, dataset), truth, ks)
    challenger = dict(judged.figures)
    if (exported := candidate.metrics.get("export")) is not None:
        challenger |= {name: float(value) for name, value in exported.items() if isinstance(value, int | float)}
        challenger[ONNX_FILES] = float(len(exported.get("files", ())))
    others = {"popularity": _popularity(dataset, truth, ks)}
    baselines = [kind for kind in profile.evaluation.baselines if kind not in others]
    others |= baseline_figures(baselines, profile, dataset, truth, ks, progress)
    champion = registry.champion(connection)
    rules = []
    if champion is not None:
        try:
            others["champion"] = measure(_load(champion.kind, champion.artifact, champion.checksum, dataset), truth, ks)
        except ArtifactError as error:
            progress(f"the champion can't be compared: {error}")
            rules.append(RuleResult("champion_is_readable", None, None, True, f"not compared: {error}"))
        progress("comparing feature distributions with the champion's")
        challenger["drift_share"] = _drift(settings, lake, ds, champion.ds, progress)
        if champion.ds > ds:
            rules.append(
                RuleResult("is_not_older", None, None, False, f"the champion is of a newer night, {champion.ds}")
            )
    beside = {name: compare(judged.per_user, other.per_user, profile.training.seed) for name, other in others.items()}
    means = {name: other.figures for name, other in others.items()}
    rules += apply_policy(policy, challenger, means, beside)
    promoted = all(rule.passed for rule in rules)
    figures = {"challenger": challenger, **means}
    measured = {"judged": figures, "decay": decay(champion, means.get("champion"), profile.training.decay_margin)}
    stored = [(rule.rule, rule.value, rule.threshold, rule.passed, rule.detail) for rule in rules]
    registry.record_verdict(connection, candidate.model_version, promoted, measured, stored)
    sure = intervals(judged.per_user, profile.training.seed)
    verdict = Verdict(candidate.model_version, promoted, figures, rules, intervals=sure, beside=beside)
    report = settings.reports / f"ds={ds}" / "verdict.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(asdict(verdict), indent=1))
    return verdict


def _require_baselines(policy: Policy, profile: Profile) -> None:
    judged = {None, "champion", "popularity", *profile.evaluation.baselines}
    for rule in policy.rules:
        if rule.against not in judged:
            raise ConfigError(
                f"rule {rule.name} of the gate's policy is against {rule.against}, which no night fits: "
                f"add {rule.against} to evaluation.baselines"
            )


def decay(champion: registry.ModelVersion | None, fresh: Figures | None, margin: float) -> dict[str, object]:
    """The champion on fresh days beside its own verdict's; where it `decayed` the next night trains from nothing."""
    if champion is None or fresh is None:
        return {}
    before = champion.metrics.get("judged", {}).get("challenger", {}).get(HEADLINE)
    if before is None:
        return {}
    now = fresh.get(HEADLINE, 0.0)
    return {"champion": champion.model_version, "judged": before, "fresh": now, "decayed": now < before * (1 - margin)}


def _popularity(dataset: Dataset, truth: Truth, ks: list[int]) -> Measured:
    baseline = Popularity()
    baseline.attach(dataset)
    return measure(baseline, truth, ks)


def _load(kind: str, folder: Path, expected: str, dataset: Dataset) -> Model:
    verify(folder, expected)
    model = load_model(kind, folder)
    model.attach(dataset)
    return model


def _drift(settings: Settings, lake: Lake, ds: date, reference: date, progress: Progress) -> float:
    """Share of declared features whose distribution differs from the champion's night; HTML for people.

    Values by another definition are no drift: what was redefined since is left out.
    """
    drifted = total = 0
    entities: tuple[Entity, ...] = ("user", "item")
    for entity in entities:
        table = table_of(entity)
        before, after = built_versions(lake, table, reference), built_versions(lake, table, ds)
        declared = declared_features(settings.profile, entity)
        if not declared or before is None or after is None:
            continue
        same = [feature for feature in declared if before.get(feature.name) == after.get(feature.name)]
        if len(same) < len(declared):
            progress(f"{len(declared) - len(same)} {entity} features are new or defined otherwise since {reference}")
        html = settings.reports / f"ds={ds}" / f"drift_{entity}.html"
        personal = personal_columns(settings.profile, table)
        report = feature_drift(lake.read(table, reference), lake.read(table, ds), same, html, personal)
        drifted += len(report.drifted)
        total += len(report.columns)
    return drifted / max(1, total)
