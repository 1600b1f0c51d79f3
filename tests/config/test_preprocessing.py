import pytest
from pydantic import ValidationError

from recommender.config.preprocessing import Preprocessing
from recommender.config.profile import Profile

TABLES = {
    "name": "shop",
    "events": {"path": "events.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
    "users": {"path": "users.csv", "columns": {"user_id": "u", "age": "age"}},
    "items": {"path": "items.csv", "columns": {"item_id": "i"}},
    "features": {"user": ["age"], "item": ["events_7d"]},
}


def test_what_a_feature_does_not_say_is_as_for_all() -> None:
    preprocessing = Preprocessing.model_validate(
        {"missing": "mean", "rare_category_count": 9, "features": {"age": {"cap_deviations": None, "scale": "minmax"}}}
    )
    age, other = preprocessing.steps("age"), preprocessing.steps("year")
    assert (age.missing, age.cap_deviations, age.scale, age.rare_category_count) == ("mean", None, "minmax", 9)
    assert (other.missing, other.cap_deviations, other.scale) == ("mean", 3.0, "standard")


def test_written_and_read_again_it_says_the_same() -> None:
    preprocessing = Preprocessing.model_validate({"cap_deviations": 2, "features": {"age": {"cap_deviations": None}}})
    assert Preprocessing.model_validate_json(preprocessing.model_dump_json()) == preprocessing


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        ({"features": {"aeg": {}}}, "no feature named 'aeg' is declared; did you mean 'age'?"),
        ({"features": {"tempo": {}}}, "no feature named 'tempo' is declared; declared are age, events_7d"),
        ({"features": {"age": {"scale": "log"}}}, "preprocessing.features.age.scale"),
        ({"features": {"age": {"k_core": {}}}}, "preprocessing.features.age.k_core"),
        ({"cap_deviations": 0}, "preprocessing.cap_deviations"),
        ({"k_core": {"users": 0}}, "preprocessing.k_core.users"),
    ],
)
def test_what_is_wrong_is_named(preprocessing: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Profile.model_validate({**TABLES, "preprocessing": preprocessing})
    assert message in str(caught.value)
