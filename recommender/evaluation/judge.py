"""The night's verdict: a candidate against champion and baselines on days none of them was trained on."""

from collections.abc import Mapping, Sequence
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

import psycopg

from recommender.config.policy import Policy, load_policy
from recommender.config.profile import Words
from recommender.config.settings import Settings
from recommender.data.split import Split
from recommender.errors import ArtifactError, NotReadyError
from recommender.evaluation.askable import cuts, require_askable
from recommender.evaluation.contenders import (
    BEST_RECENT,
    CHALLENGER,
    CHAMPION,
    HEADLINE,
    Contenders,
    contend,
    judged_figure,
)
from recommender.evaluation.findings import Figures, Findings, RuleResult
from recommender.evaluation.gate import Evidence, apply_policy, decide
from recommender.evaluation.inquiry import inquire, reference_folder
from recommender.evaluation.owners import Owners
from recommender.evaluation.reference import take_reference, write_reference
from recommender.evaluation.report.render import remove_report, write_report
from recommender.evaluation.verdict import Verdict, findings_of
from recommender.features.loading import load_dataset, truth_after
from recommender.progress import Progress
from recommender.storage import registry, verdicts
from recommender.storage.lake import Lake


def judge_candidate(settings: Settings, ds: date, connection: psycopg.Connection, progress: Progress) -> Verdict:
    """Judge the night's newest candidate on the holdout, apply the policy, write the report, and store the verdict.

    A candidate that was judged before keeps its verdict.

    Raises
    ------
    NotReadyError
        The night has no candidate, or its holdout no choice to judge on.
    ConfigError
        The policy is wrong, or asks for a baseline that no night fits.
    """
    profile, lake, split = settings.profile, Lake(settings.lake), Split.of(settings.profile, ds)
    candidate = registry.newest_of(connection, ds)
    if (ruling := verdicts.of(connection, candidate.model_version)) is not None:
        judged = candidate.metrics.get("judged", {})
        return Verdict(candidate.model_version, ruling.answer or ruling.decision, judged, repeated=True)
    policy = load_policy(profile.gate.policy)
    require_askable(policy, profile)
    dataset = load_dataset(lake, profile, split.judged_at, known=ds)
    truth = truth_after(lake, dataset, ds, known=ds)
    if len(truth.users) == 0:
        raise NotReadyError(
            f"no user chose anything new from {split.judged_at} to {ds}, nothing to judge on: "
            "raise evaluation.holdout_days"
        )
    ks = cuts(profile)
    progress(f"judging on {len(truth.users):,} users' new choices from {split.judged_at} to {ds}")
    try:
        contenders = contend(candidate, dataset, truth, ks, profile, connection, progress)
    except ArtifactError as error:
        return _refused(settings, candidate, policy, split, error, connection)
    found = inquire(settings, ds, contenders, dataset, truth, progress)
    figures = {name: one.figures for name, one in contenders.measured.items()}
    figures[CHALLENGER] = figures[CHALLENGER] | found.figures
    evidence = Evidence(
        figures,
        {name: one.per_user for name, one in contenders.measured.items()},
        found.cohorts,
        found.excused,
        found.notes,
        contenders.champion_days,
        profile.training.seed,
    )
    rules = [*_implied(contenders), *apply_policy(policy, evidence)]
    if contenders.best_recent is contenders.champion:
        figures.pop(BEST_RECENT, None)  # to the rules it is a figure of its own, to people the champion's
    decayed = decay(contenders.champion_version, figures.get(CHAMPION), profile.training.decay_margin)
    verdict = Verdict(candidate.model_version, decide(rules), figures, rules, _alerts(decayed))
    progress("writing the report")
    folder = settings.reports / f"ds={ds}"
    earlier = registry.history(connection, before=ds)
    findings = findings_of(verdict, policy.version, split, contenders, found, earlier, profile.training.seed)
    _replace_report(folder, findings, found.example_users, profile.words)
    reference = take_reference(contenders.challenger.measured.top, truth, dataset)
    write_reference(reference_folder(settings, ds, candidate.model_version), reference)
    # PostgreSQL's JSON knows no infinite figures; the rules that judged them keep them
    known = {name: {metric: one for metric, one in each.items() if isfinite(one)} for name, each in figures.items()}
    stored = {"judged": known, "decay": decayed}
    _store(connection, verdict, stored, policy)
    return verdict


def decay(champion: registry.ModelVersion | None, fresh: Figures | None, margin: float) -> dict[str, Any]:
    """The champion on fresh days beside its own verdict's; where it `decayed` the next night trains from nothing."""
    if champion is None or fresh is None or (before := judged_figure(champion)) is None:
        return {}
    now = fresh.get(HEADLINE, 0.0)
    return {"champion": champion.model_version, "judged": before, "fresh": now, "decayed": now < before * (1 - margin)}


def _alerts(decay: Mapping[str, Any]) -> list[str]:
    if not decay.get("decayed"):
        return []
    return [
        f"the champion {decay['champion']} fell from {HEADLINE} {decay['judged']:.4f} at its verdict "
        f"to {decay['fresh']:.4f} on fresh days; the next night trains from nothing"
    ]


def _implied(contenders: Contenders) -> list[RuleResult]:
    """What holds whatever the policy says."""
    rules = []
    if CHAMPION in contenders.missing:
        told = f"not compared: {contenders.missing[CHAMPION]}"
        rules.append(RuleResult("champion_is_readable", None, None, True, told))
    if (days := contenders.champion_days) is not None and days < 0 and contenders.champion_version is not None:
        told = f"the champion is of a newer night, {contenders.champion_version.ds}"
        rules.append(RuleResult("is_not_older", None, None, False, told, why="an older night displaces no newer one"))
    return rules


def _refused(
    settings: Settings,
    candidate: registry.ModelVersion,
    policy: Policy,
    split: Split,
    error: ArtifactError,
    connection: psycopg.Connection,
) -> Verdict:
    """The verdict on a candidate that can't be read: nobody can trust what nobody can load."""
    why = "what serves must be what was trained, to the last byte"
    rule = RuleResult("artifact_is_whole", None, None, False, str(error), why=why)
    verdict = Verdict(candidate.model_version, "reject", {CHALLENGER: {}}, [rule])
    findings = Findings(
        ds=candidate.ds,
        model_version=candidate.model_version,
        kind=candidate.kind,
        decision=verdict.decision,
        headline=verdict.headline,
        policy=policy.version,
        judged_from=split.judged_at,
        users=0,
        represented=0.0,
        rules=verdict.rules,
        figures=verdict.figures,
    )
    _replace_report(settings.reports / f"ds={candidate.ds}", findings, [], settings.profile.words)
    _store(connection, verdict, {"judged": verdict.figures}, policy)
    return verdict


def _replace_report(folder: Path, findings: Findings, example_users: Sequence[str], words: Words) -> None:
    """Never an example on disk whose user can't be found: the old report leaves, then its owners, then the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_report(folder)
    Owners.of(example_users).write(folder)
    write_report(folder, findings, words)


def _store(connection: psycopg.Connection, verdict: Verdict, metrics: dict[str, Any], policy: Policy) -> None:
    registry.record_verdict(
        connection,
        verdict.model_version,
        verdict.decision,
        metrics,
        verdict.rules,
        policy=policy,
        summary=verdict.headline,
    )
