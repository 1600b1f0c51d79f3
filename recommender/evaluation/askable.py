"""Which figures a policy's rules may ask about, and of whom."""

import difflib

from recommender.config.policy import EVERY, Policy, Rule
from recommender.config.profile import Profile
from recommender.errors import ConfigError
from recommender.evaluation.cohorts import ACTIVITY, TENURE, USUAL, WARMTH
from recommender.evaluation.contenders import BEST_RECENT, CHAMPION, POPULARITY
from recommender.features.definitions import declared_features

MEANS = (
    *("recall", "precision", "f1", "hit", "ndcg", "mrr", "map"),
    *("diversity", "novelty", "serendipity", "popularity", "popularity_bias", "new_item_share"),
)
"""Means over users, at each of `evaluation.k` and at 20."""
TOGETHER = ("coverage", "gini", "top_item_share")
"""Of all lists together, likewise."""
OF_ALL = ("auc", "pair_accuracy", "pair_precision", "pair_recall", "pair_f1", "users")
"""Of every model."""
OF_CHALLENGER = (
    *("recall@20_weighted", "known_creator_share@20", "known_category_share@20"),
    *("known_creator_share_of_hits@20", "known_category_share_of_hits@20"),
    *("drift_share", "drift_worst", "drift_scores", "drift_recommendations", "drift_choices"),
    *("new_item_share", "new_item_share_before", "onnx_max_abs_diff", "importance_largest"),
    *("fit_finite", "fit_epochs", "fit_seconds", "fit_loss_ratio", "fit_recall_drop"),
    *("recommend_ms", "recommend_users_per_second", "artifact_megabytes"),
)
"""Of the challenger alone."""


def cuts(profile: Profile) -> list[int]:
    """Lengths of list at which a night measures."""
    return sorted({*profile.evaluation.k, 20})


def require_askable(policy: Policy, profile: Profile) -> None:
    """Refuse rules that no night of the profile can answer, before anything is measured.

    Raises
    ------
    ConfigError
        A figure that nobody measures, or not of that model or of groups of users; a model that no night fits; an
        unknown grouping.
    """
    means, together = ([f"{name}@{k}" for name in names for k in cuts(profile)] for names in (MEANS, TOGETHER))
    models = (CHAMPION, BEST_RECENT, POPULARITY, *profile.evaluation.baselines)
    groupings = (EVERY, *USUAL, ACTIVITY, TENURE, WARMTH, *_categories(profile))
    for rule in policy.rules:
        _require(rule, "asks for", rule.metric, (*means, *together, *OF_ALL, *OF_CHALLENGER), "which no night measures")
        if rule.against is not None and rule.against not in models:
            raise _refusal(
                rule, f"is against {rule.against}, which no night fits: add {rule.against} to evaluation.baselines"
            )
        if rule.against is not None and rule.metric in OF_CHALLENGER:
            raise _refusal(rule, f"is against {rule.against}, but {rule.metric} is measured of the challenger alone")
        if rule.cohort is not None:
            _require(rule, "is of cohort", rule.cohort, groupings, "by which no users are grouped")
        if (rule.certainty is not None or rule.cohort is not None) and rule.metric not in means:
            raise _refusal(rule, f"has a certainty or a cohort, but {rule.metric} is not known user by user")


def _categories(profile: Profile) -> list[str]:
    return [feature.name for feature in declared_features(profile, "user") if feature.kind == "categorical"]


def _require(rule: Rule, what: str, given: str, known: tuple[str, ...], problem: str) -> None:
    if given not in known:
        near = difflib.get_close_matches(given, known, n=1)
        cure = f"did you mean {near[0]}?" if near else "docs/judging.md lists them"
        raise _refusal(rule, f"{what} {given}, {problem}: {cure}")


def _refusal(rule: Rule, problem: str) -> ConfigError:
    return ConfigError(f"rule {rule.name} of the gate's policy {problem}")
