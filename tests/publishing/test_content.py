"""What a publication says of itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from recommender.config.publish import Publish
from recommender.models.popularity import Popularity
from tests.models.worlds import checkerboard
from tests.publishing.editions import content_by, edition


def test_lists_that_are_the_same_for_everybody_are_not_called_personal(tmp_path: Path) -> None:
    model = Popularity()
    model.attach(checkerboard())
    content = content_by(model, edition(model, tmp_path, Publish(top_k=3)))
    assert {lists.source for lists in content.lists} == {"popular"}
    assert content.users == len(model.dataset.active_users)


def test_who_has_chosen_every_item_gets_the_list_for_unknown_users(tmp_path: Path) -> None:
    world = checkerboard()
    items = len(world.item_ids)
    everything = {
        "user": np.append(world.user, np.zeros(items)).astype(np.int32),
        "item": np.append(world.item, np.arange(items)).astype(np.int32),
        "ts": np.append(world.ts, np.full(items, world.ts.max())),
        "weight": np.ones(len(world.user) + items, np.float32),
    }
    model = Popularity()
    model.attach(replace(world, **everything))
    content = content_by(model, edition(model, tmp_path, Publish(top_k=3)))
    (lists,) = content.lists
    assert set(model.dataset.user_ids) - set(lists.user_ids) == {model.dataset.user_ids[0]}
    assert (lists.top.items[:, 0] >= 0).all()
