"""Shards: each is a part of the users, whole or not there, and together they are everybody's lists."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.config.publish import Publish
from recommender.errors import ArtifactError
from recommender.models.popularity import Popularity
from recommender.progress import quiet
from recommender.publishing.build import content_of
from recommender.publishing.lists import ranked_users
from recommender.publishing.ranked import Ranked, forget, shard_of
from recommender.publishing.rules import Rules
from recommender.retrieval.exact import TopK
from tests.models.test_explaining import fitted_ranking
from tests.models.worlds import checkerboard
from tests.publishing.editions import edition

LISTS = Ranked(
    users=np.array([2, 5]),
    top=TopK(np.array([[1, 0], [3, -1]], np.int32), np.array([[0.5, 0.25], [1, -np.inf]], np.float32)),
    source="popular",
    reasons=np.array([[1, 0], [2, 0]], np.int32),
    texts=("because you chose Ünter", "popular now"),
    vectors=np.ones((2, 3), np.float32),
)


@given(users=st.integers(0, 50), shards=st.integers(1, 60))
def test_every_user_is_in_one_shard(users: int, shards: int) -> None:
    everybody = np.arange(users) * 3
    parts = [shard_of(everybody, shard, shards) for shard in range(shards)]
    np.testing.assert_array_equal(np.concatenate(parts), everybody)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("told", [True, False])
def test_a_shard_is_read_as_it_was_written(tmp_path: Path, told: bool) -> None:
    written = LISTS if told else Ranked(LISTS.users, LISTS.top)
    written.save(tmp_path / "shard")
    found = Ranked.open(tmp_path / "shard")
    np.testing.assert_array_equal(found.users, written.users)
    np.testing.assert_array_equal(found.top.items, written.top.items)
    np.testing.assert_array_equal(found.top.scores, written.top.scores)
    assert (found.texts, found.source) == (written.texts, written.source)
    assert (found.reasons is not None) == (found.vectors is not None) == told


@pytest.mark.parametrize("damage", ["items.npy", "told.json", "checksums.json"])
def test_a_damaged_shard_is_ranked_again(tmp_path: Path, damage: str) -> None:
    LISTS.save(tmp_path / "shard")
    file = tmp_path / "shard" / damage
    file.write_bytes(file.read_bytes()[:-3])
    assert Ranked.read(tmp_path / "shard") is None
    with pytest.raises((ArtifactError, ValueError)):
        Ranked.open(tmp_path / "shard")
    assert Ranked.read(tmp_path / "nothing") is None


def test_what_is_published_is_forgotten_with_the_nights_before(tmp_path: Path) -> None:
    for night in ("2020-01-01", "2020-01-02", "2020-01-03"):
        LISTS.save(tmp_path / f"ds={night}" / "0")
    forget(tmp_path, date(2020, 1, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["ds=2020-01-03"]


def test_shards_together_are_what_one_would_be(tmp_path: Path) -> None:
    model = fitted_ranking()
    one = edition(model, tmp_path, Publish(top_k=3))
    rules, everybody = Rules(one), model.dataset.active_users
    whole = ranked_users(one, rules, model, everybody, quiet)
    parts = [ranked_users(one, rules, model, shard_of(everybody, shard, 3), quiet) for shard in range(3)]
    np.testing.assert_array_equal(np.concatenate([part.top.items for part in parts]), whole.top.items)
    split, single = content_of(one, rules, model, parts), content_of(one, rules, model, [whole])
    assert whole.reasons is not None
    (lists,) = single.lists
    assert lists.reasons is not None
    told = [single.reason_texts[code - 1] if code else None for code in lists.reasons.ravel()]
    again = [
        split.reason_texts[code - 1] if code else None
        for lists in split.lists
        if lists.reasons is not None
        for code in lists.reasons.ravel()
    ]
    assert again == told
    assert len(set(split.reason_texts)) == len(split.reason_texts)


def test_progress_tells_how_many_users_are_done(tmp_path: Path) -> None:
    model = Popularity()
    model.attach(checkerboard())
    one, lines = edition(model, tmp_path, Publish(top_k=3)), list[str]()
    users = len(model.dataset.active_users)
    ranked_users(one, Rules(one), model, model.dataset.active_users, lines.append)
    assert lines == [f"ranked {users} of {users} users"]
