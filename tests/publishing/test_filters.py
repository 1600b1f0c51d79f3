"""Filters over tiny tables: what is left to whom."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommender.config.profile import Profile
from recommender.data.dataset import Dataset
from recommender.errors import ConfigError
from recommender.publishing import filters
from recommender.publishing.filters import Allowed, allowed, check_filters

ITEMS = pd.DataFrame(
    {
        "item_id": ["d", "c", "b", "a"],
        "in_stock": [1.0, None, 0.0, 1.0],
        "explicit": ["yes", "no", "no", "no"],
        "countries": [["de"], ["fr", "de"], ["de"], None],
        "country": ["fr", "fr", "de", None],
        "price": [4.0, 3.0, 2.0, 1.0],
        "until": pd.to_datetime(["2020-01-01", "2020-01-02", None, "2021-01-01"], utc=True),
    }
)
USERS = pd.DataFrame({"user_id": ["v", "u", "w"], "country": ["fr", "de", None], "budget": [2.5, None, 3.5]})
USER_IDS = ["u", "v", "w", "x"]
"""x is in no table of users, e in none of items."""


class World:
    def __init__(self, folder: Path) -> None:
        self.users, self.items = folder / "users.parquet", folder / "items.parquet"
        ITEMS.to_parquet(self.items)
        USERS.to_parquet(self.users)
        self.dataset = Dataset(
            ds=date(2020, 1, 2),
            user_ids=np.array(USER_IDS, object),
            item_ids=np.array(list("abcde"), object),
            user=np.zeros(0, np.int32),
            item=np.zeros(0, np.int32),
            ts=np.zeros(0, np.int64),
            weight=np.zeros(0, np.float32),
            user_features=pd.DataFrame(),
            item_features=pd.DataFrame(),
        )

    def allowed(self, *conditions: str) -> Allowed:
        found = allowed(conditions, self.users, self.items, self.dataset)
        assert found is not None
        return found

    def left(self, *conditions: str) -> dict[str, str]:
        """Letters of the items that are left to everybody, to each user and to one who is unknown."""
        found = self.allowed(*conditions)
        masks = {"all": found.everybody, "unknown": found.mask(found.unknown)}
        masks |= {user: found.mask(group) for user, group in zip(USER_IDS, found.groups, strict=True)}
        return {name: "".join(self.dataset.item_ids[mask]) for name, mask in masks.items()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_filters_there_is_nothing_to_mask(world: World) -> None:
    assert allowed((), world.users, world.items, world.dataset) is None


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ("in_stock", "ad"),  # null is not true, and e has no row at all
        ("not in_stock", "b"),
        ("in_stock is null", "ce"),
        ("in_stock and not explicit", "a"),
        ("IN_STOCK or items.price > 2 -- whatever", "acd"),
        ("list_contains(countries, 'de')", "bcd"),
        ("len(list_filter(countries, lambda x: x <> 'de')) > 0", "c"),
        ("item_id not in ('a', 'e')", "bcd"),
        ("until is null or until > ds", "abe"),
        ("explicit = 'yes'' or ''1'' = ''1' or price = 3", "c"),
    ],
)
def test_conditions_over_items(world: World, condition: str, left: str) -> None:
    found = world.left(condition)
    assert set(found.values()) == {left}
    assert world.allowed(condition).groups.tolist() == [0] * 4


def test_conditions_that_name_the_user(world: World) -> None:
    assert world.left(
        "in_stock is null or not explicit", "countries is null or list_contains(countries, users.country)"
    ) == {
        "all": "abce",
        "u": "abce",
        "v": "ace",
        "w": "ae",
        "x": "ae",
        "unknown": "ae",
    }


def test_the_item_has_a_column_of_the_same_name(world: World) -> None:
    found = world.left("country = Users.Country")
    assert found == {"all": "abcde", "u": "b", "v": "cd", "w": "", "x": "", "unknown": ""}
    assert world.allowed("country = users.country").starved == 2


def test_several_columns_of_users_make_groups_of_those_who_share_what_is_left(world: World) -> None:
    both = ("country = users.country or price <= users.budget",)
    assert world.left(*both) == {"all": "abcde", "u": "b", "v": "abcd", "w": "abc", "x": "", "unknown": ""}
    found = world.allowed("price < 9 or users.budget > 1", "country = users.country or true")
    assert found.groups.tolist() == [found.unknown, 1, 1, found.unknown]  # e, whose price nobody knows, is for the rich
    assert len(found.packed) == 2


def test_groups_are_judged_in_blocks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = world.left("country = users.country or price <= users.budget")
    monkeypatch.setattr(filters, "_JUDGED", 1)
    assert world.left("country = users.country or price <= users.budget") == whole


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (
            ["price", "in_stok"],
            "publish.filters.1: the items have no column 'in_stok'; did you mean 'in_stock'? (their",
        ),
        (["budget > 1"], "publish.filters.0: the items have no column 'budget'; the user's own is users.budget (their"),
        (
            ["users.contry = 'de'"],
            "publish.filters.0: the users have no column 'contry'; did you mean 'country'? (their",
        ),
        (["zzz"], "name one of theirs, or map 'zzz' in items.columns (their columns: countries, country, explicit,"),
        (["price > 9"], "publish.filters.0: 'price > 9' leaves none of 5 items"),
        (
            ["price > 1", "users.country = 'zz'"],
            "publish.filters.1: \"users.country = 'zz'\" leaves no item to any user",
        ),
        (["in_stock", "not in_stock"], "publish.filters: each leaves items, all 2 together leave none"),
        (["price < 3", "price > 2 and users.country = 'de'"], "all 2 together leave none"),
        (["country"], "publish.filters.0: 'country': Conversion Error: Could not convert string '…' to BOOL"),
        (["users.country::int = 1"], "publish.filters.0: 'users.country::int = 1': ConversionException for some user"),
        (["length(read_text('/etc/passwd')) > 0"], "is a table function"),
        (["unnest(countries) = 'de'"], "UNNEST not supported here"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(world: World, conditions: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        world.allowed(*conditions)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_too_many_kinds_of_users_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MOST_GROUPS", 3)
    with pytest.raises(
        ConfigError, match="the users' country, budget come in 4 combinations, at most 3 are told apart"
    ):
        world.allowed("country = users.country or price <= users.budget")


def profile(*conditions: str, **columns: object) -> Profile:
    columns = {"item_id": "item", **columns}
    return Profile.model_validate(
        {
            "name": "shop",
            "events": {"path": "events.csv", "columns": {"user_id": "user", "item_id": "item", "ts": "ts"}},
            "users": {"path": "users.csv", "columns": {"user_id": "user", "country": "country", "age": "age"}},
            "items": {"path": "items.csv", "columns": columns},
            "publish": {"filters": list(conditions)},
        }
    )


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("stock and not explicit", None),
        ("ds < released and list_contains(countries, users.country)", None),
        ("users.age_band = '18-24' or stock > 3", None),
        ("stok", "did you mean 'stock'?"),
        ("users.contry = 'de'", "did you mean 'country'?"),
        ("stock + released > 2", "publish.filters.0: 'stock + released > 2': Binder Error: No function matches"),
        ("no_such_function(stock)", "no_such_function does not exist!"),
    ],
)
def test_a_profile_is_checked_without_its_data(condition: str, problem: str | None) -> None:
    of = profile(
        condition,
        stock={"column": "stock", "type": "integer"},
        explicit="explicit",
        released={"column": "released", "type": "time"},
        countries={"column": "countries", "separator": "|"},
    )
    found = check_filters(of)
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]
