"""Rules that no night could answer are refused before anything is measured."""

import pytest

from recommender.config.policy import Policy, Rule, load_policy
from recommender.config.profile import Profile
from recommender.errors import ConfigError
from recommender.evaluation.askable import require_askable

EVENTS = {"path": "e.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}}
USERS = {"path": "u.csv", "columns": {"user_id": "u", "country": "c", "plan": "p"}}
PROFILE = Profile.model_validate(
    {
        "name": "shop",
        "events": EVENTS,
        "users": USERS,
        "features": {"user": ["country", "plan"], "item": []},
        "evaluation": {"k": [5], "baselines": ["ease"]},
    }
)


def ask(**rule: object) -> None:
    policy = Policy(rules=(Rule.model_validate({"name": "r", "at_least": 1, **rule}),))
    require_askable(policy, PROFILE)


def test_the_shipped_policy_can_be_answered() -> None:
    require_askable(load_policy(None), PROFILE)


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "recall@5"},
        {"metric": "recall@20", "against": "ease", "certainty": 0.9},
        {"metric": "coverage@20", "against": "best_recent"},
        {"metric": "auc", "against": "champion"},
        {"metric": "drift_worst"},
        {"metric": "ndcg@5", "cohort": "plan"},
        {"metric": "ndcg@5", "cohort": "every", "certainty": 0.1},
    ],
)
def test_what_a_night_measures_may_be_asked(rule: dict[str, object]) -> None:
    ask(**rule)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metric": "recal@20"}, r"rule r .* asks for recal@20, which no night measures: did you mean recall@20\?"),
        ({"metric": "recall@10"}, "asks for recall@10, which no night measures"),
        ({"metric": "recall@20", "against": "ials"}, "add ials to evaluation.baselines"),
        ({"metric": "recommend_ms", "against": "champion"}, "recommend_ms is measured of the challenger alone"),
        ({"metric": "recall@20", "cohort": "coutry"}, r"cohort coutry, by which no users are grouped: .* country\?"),
        ({"metric": "coverage@20", "certainty": 0.9}, "coverage@20 is not known user by user"),
        ({"metric": "auc", "cohort": "every"}, "auc is not known user by user"),
    ],
)
def test_what_no_night_measures_is_refused(rule: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask(**rule)
