import pytest

from recommender.config.profile import Profile
from recommender.features.definitions import declared_features


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ({"column": "tags", "separator": "|"}, "categorical"),
        ({"column": "tags", "type": "list"}, "categorical"),
        ({"column": "tags"}, "categorical"),
        ({"column": "tags", "type": "number"}, "numeric"),
    ],
)
def test_a_column_of_several_values_is_a_category(column: dict[str, str], kind: str) -> None:
    profile = Profile.model_validate(
        {
            "name": "shop",
            "events": {"path": "events.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
            "items": {"path": "items.csv", "columns": {"item_id": "i", "tags": column}},
            "features": {"user": [], "item": ["tags"]},
        }
    )
    assert [feature.kind for feature in declared_features(profile, "item")] == [kind]
