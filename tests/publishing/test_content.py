"""What a publication says of itself."""

from pathlib import Path

import pandas as pd

from recommender.config.profile import Publish
from recommender.models.popularity import Popularity
from recommender.publishing.content import build_content
from tests.models.worlds import checkerboard


def test_lists_that_are_the_same_for_everybody_are_not_called_personal(tmp_path: Path) -> None:
    model = Popularity()
    model.attach(checkerboard())
    users, items = tmp_path / "users.parquet", tmp_path / "items.parquet"
    pd.DataFrame({"user_id": model.dataset.user_ids}).to_parquet(users)
    pd.DataFrame({"item_id": model.dataset.item_ids}).to_parquet(items)
    content = build_content(model, users, items, Publish(top_k=3))
    assert {lists.source for lists in content.lists} == {"popular"}
    assert content.users == len(model.dataset.active_users)
