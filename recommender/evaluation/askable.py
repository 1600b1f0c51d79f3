"""Which figures a policy's rules may ask about."""

import difflib

from recommender.config.policy import Policy, Rule
from recommender.config.profile import Profile
from recommender.errors import ConfigError
from recommender.evaluation.contenders import BEST_RECENT, CHAMPION, POPULARITY

AT_K = (
    *("recall", "precision", "f1", "hit", "ndcg", "mrr", "map", "coverage"),
    *("diversity", "novelty", "serendipity", "popularity", "popularity_bias", "gini"),
    *("top_item_share", "new_item_share"),
)
"""Measured at each of `evaluation.k`, and at 20."""
SINGLE = (
    *("auc", "pair_accuracy", "pair_precision", "pair_recall", "pair_f1", "users"),
    *("recall@20_weighted", "known_creator_share@20", "known_category_share@20"),
    *("known_creator_share_of_hits@20", "known_category_share_of_hits@20"),
    *("drift_share", "drift_worst", "drift_scores", "drift_recommendations", "drift_choices"),
    *("new_item_share", "new_item_share_before", "onnx_max_abs_diff", "importance_largest"),
    *("fit_finite", "fit_epochs", "fit_seconds", "fit_loss_ratio", "fit_recall_drop"),
    *("recommend_ms", "recommend_users_per_second", "artifact_megabytes"),
)


def cuts(profile: Profile) -> list[int]:
    """Lengths of list at which a night measures."""
    return sorted({*profile.evaluation.k, 20})


def require_askable(policy: Policy, profile: Profile) -> None:
    """Refuse rules that no night of the profile can answer, before anything is measured.

    Raises
    ------
    ConfigError
        A figure that nobody measures, or a model that no night fits.
    """
    figures = [f"{name}@{k}" for name in AT_K for k in cuts(profile)] + list(SINGLE)
    models = {None, CHAMPION, BEST_RECENT, POPULARITY, *profile.evaluation.baselines}
    for rule in policy.rules:
        if rule.against not in models:
            raise _refusal(
                rule, f"is against {rule.against}, which no night fits: add {rule.against} to evaluation.baselines"
            )
        if rule.metric not in figures:
            near = difflib.get_close_matches(rule.metric, figures, n=1)
            cure = f"did you mean {near[0]}?" if near else "docs/judging.md lists them"
            raise _refusal(rule, f"asks for {rule.metric}, which no night measures: {cure}")


def _refusal(rule: Rule, problem: str) -> ConfigError:
    return ConfigError(f"rule {rule.name} of the gate's policy {problem}")
