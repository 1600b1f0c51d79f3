import pytest

from recommender.config.profile import Profile
from recommender.features.definitions import declared_features


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ({"column": "tags", "separator": "|"}, "categories"),
        ({"column": "tags", "type": "list"}, "categories"),
        ({"column": "tags"}, "categorical"),
        ({"column": "tags", "type": "number"}, "numeric"),
    ],
)
def test_the_kind_of_an_attribute_is_that_of_its_column(column: dict[str, str], kind: str) -> None:
    profile = Profile.model_validate(
        {
            "name": "shop",
            "events": {"path": "events.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
            "items": {"path": "items.csv", "columns": {"item_id": "i", "tags": column}},
            "features": {"user": [], "item": ["tags"]},
        }
    )
    assert [feature.kind for feature in declared_features(profile, "item")] == [kind]
