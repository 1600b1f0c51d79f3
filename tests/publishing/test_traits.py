"""How old items are, and what else rules go by, out of tiny tables."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommender.config.publish import Publish
from recommender.data.dataset import Dataset
from recommender.errors import ConfigError
from recommender.publishing.traits import ages, item_traits

NIGHT = date(2020, 6, 30)


def instant(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def dataset(events: list[tuple[int, str]], items: list[str]) -> Dataset:
    """One user's events: item and day."""
    count = len(events)
    return Dataset(
        ds=NIGHT,
        user_ids=np.array(["u"], object),
        item_ids=np.array(items, object),
        user=np.zeros(count, np.int32),
        item=np.array([item for item, _ in events], np.int32),
        ts=np.array([instant(day) for _, day in events], np.int64),
        weight=np.ones(count, np.float32),
        user_features=pd.DataFrame(index=range(1)),
        item_features=pd.DataFrame(index=range(len(items))),
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    released = [None, "2020-06-21", "2030-01-01", None]
    pd.DataFrame(
        {
            "item_id": ["d", "c", "b", "a"],
            "released": pd.to_datetime(released, utc=True),
            "year": [2019.0, 2020.0, 1e12, None],
            "creator": ["x", "y", None, "x"],
            "category": [["jazz", "pop"], None, [], ["jazz"]],
            "title": ["D", "C", "B", "A"],
        }
    ).to_parquet(tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


EVENTS = [(0, "2020-06-29"), (0, "2020-06-11"), (0, "2020-06-28")]
IDS = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("released", "expected"),
    [(None, [20, 0, 0, 0, 0]), ("released", [20, 0, 10, 0, 0]), ("year", [20, 0, 0, 182, 0])],
)
def test_an_age_is_from_the_first_event_and_without_one_from_the_release(
    table: Path, released: str | None, expected: list[float]
) -> None:
    found = ages(dataset(EVENTS, IDS), table, Publish(released=released))
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("relesed", "publish.released: the items have no column 'relesed'; did you mean 'released'?"),
        ("title", "publish.released: 'title' holds neither times nor years; say `type: time`"),
    ],
)
def test_a_release_that_can_not_be_told_is_refused(table: Path, column: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        ages(dataset(EVENTS, IDS), table, Publish(released=column))


def test_creators_and_first_categories_by_code(table: Path) -> None:
    vectors = np.array([[3, 4], [0, 0], [0, 2], [1, 0], [1, 0]], np.float32)
    found = item_traits(dataset(EVENTS, IDS), table, Publish(), vectors)
    assert found.creators.tolist() == [0, -1, 1, 0, -1]
    assert found.categories.tolist() == [0, -1, -1, 0, -1]
    assert found.vectors is not None
    assert found.vectors[:3].tolist() == [pytest.approx([0.6, 0.8]), [0, 0], [0, 1]]


def test_new_is_what_is_so_many_days_old_and_nothing_without_exploration(table: Path) -> None:
    found = item_traits(dataset(EVENTS, IDS), table, Publish())
    assert found.is_new(Publish(exploration={"new_days": 20})).tolist() == [True] * 5
    assert found.is_new(Publish(exploration={"new_days": 19})).tolist() == [False] + [True] * 4
    assert not found.is_new(Publish()).any()
