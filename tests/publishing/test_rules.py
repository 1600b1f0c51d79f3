"""The rules of a profile over a model's lists: who may get what, full lists, and new items among them."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from recommender.config.publish import Exploration, Publish
from recommender.errors import ConfigError
from recommender.models.base import Model
from recommender.models.popularity import Popularity
from recommender.progress import quiet
from recommender.publishing.checks import check_content
from recommender.publishing.lists import ranked_users
from recommender.publishing.ranked import Ranked
from recommender.publishing.rules import Rules
from tests.models.test_explaining import fitted_ranking
from tests.models.worlds import checkerboard
from tests.publishing.editions import content_by, edition

K = 3
EVENTS = ("user", "item", "ts", "weight")


def popularity() -> Model:
    model = Popularity()
    model.attach(checkerboard())
    return model


def catalogue(model: Model, **columns: npt.NDArray[np.generic] | list[str]) -> pd.DataFrame:
    return pd.DataFrame({"item_id": model.dataset.item_ids, **columns})


def people(model: Model) -> pd.DataFrame:
    """Every second user lives in Germany, the others in Peru."""
    countries = np.where(np.arange(len(model.dataset.user_ids)) % 2 == 0, "DE", "PE")
    return pd.DataFrame({"user_id": model.dataset.user_ids, "country": countries})


def lists(model: Model, folder: Path, publish: Publish, items: pd.DataFrame) -> tuple[Ranked, Rules]:
    one = edition(model, folder, publish, users=people(model), items=items)
    rules = Rules(one)
    return ranked_users(one, rules, model, model.dataset.active_users, quiet), rules


@pytest.mark.parametrize("make", [popularity, fitted_ranking])
def test_nobody_gets_what_a_filter_keeps_from_them(make: type[Model], tmp_path: Path) -> None:
    model = make()
    items = np.arange(len(model.dataset.item_ids))
    publish = Publish(top_k=K, filters=("in_stock", "users.country is null or country = users.country"))
    table = catalogue(model, in_stock=items % 5 != 0, country=np.where(items % 2 == 0, "DE", "PE"))
    ranked, rules = lists(model, tmp_path, publish, table)
    assert len(ranked.users) == len(model.dataset.active_users)
    shown = ranked.top.items >= 0
    of = np.repeat(ranked.users[:, None], ranked.top.items.shape[1], axis=1)[shown]
    item = ranked.top.items[shown]
    assert (item % 5 != 0).all()
    assert (item % 2 == of % 2).all()
    may = (items % 5 != 0) & (items[None] % 2 == ranked.users[:, None] % 2)
    unseen = may & ~model.dataset.seen[ranked.users].toarray().astype(bool)
    np.testing.assert_array_equal(shown.sum(axis=1), np.minimum(unseen.sum(axis=1), K))
    assert rules.everybody is not None
    np.testing.assert_array_equal(rules.everybody, items % 5 != 0)
    np.testing.assert_array_equal(rules.unknown, rules.everybody)


@pytest.mark.parametrize("make", [popularity, fitted_ranking])
def test_a_cap_holds_and_lists_stay_full(make: type[Model], tmp_path: Path) -> None:
    model = make()
    creators = [f"creator {n % 4}" for n in range(len(model.dataset.item_ids))]
    publish = Publish(top_k=K, max_per_creator=1, pool=20)
    ranked, _ = lists(model, tmp_path, publish, catalogue(model, creator=creators))
    named = [[creators[item] for item in row if item >= 0] for row in ranked.top.items.tolist()]
    seen = model.dataset.seen[ranked.users].toarray().astype(bool)
    for row, of_user in zip(named, seen, strict=True):
        possible = {creators[item] for item in np.flatnonzero(~of_user)}
        assert len(set(row)) == min(len(possible), len(row))
        assert len(row) == min(K, int((~of_user).sum()))


def test_reasons_are_of_the_items_that_are_shown(tmp_path: Path) -> None:
    model = fitted_ranking()
    creators = [f"creator {n % 4}" for n in range(len(model.dataset.item_ids))]
    publish = Publish(top_k=K, max_per_creator=1, pool=20)
    ranked, _ = lists(model, tmp_path, publish, catalogue(model, creator=creators))
    assert ranked.reasons is not None
    assert ranked.reasons.shape == ranked.top.items.shape
    told = {ranked.texts[code - 1] for code in ranked.reasons.ravel() if code}
    for text in told:
        if "creator" in text and "{" not in text:
            rows, columns = np.nonzero(ranked.reasons == ranked.texts.index(text) + 1)
            if any(name in text for name in creators):
                assert all(
                    creators[ranked.top.items[row, column]] in text for row, column in zip(rows, columns, strict=True)
                )


@pytest.mark.parametrize("make", [popularity, fitted_ranking])
def test_new_items_have_their_places(make: type[Model], tmp_path: Path) -> None:
    model = make()
    publish = Publish(top_k=K, exploration=Exploration(share=0.4, new_days=1))
    dataset = model.dataset
    first = np.full(len(dataset.item_ids), dataset.until, np.int64)
    np.minimum.at(first, dataset.item, dataset.ts)
    new = dataset.until - first <= 86_400
    ranked, _ = lists(model, tmp_path, publish, catalogue(model))
    plain, _ = lists(model, tmp_path, Publish(top_k=K), catalogue(model))
    seen = dataset.seen[ranked.users].toarray().astype(bool)
    for row, before in zip(ranked.top.items, plain.top.items, strict=True):
        assert row[0] == before[0], "a new item comes where it is due, not before what the model ranks first"
    for row, of_user in zip(ranked.top.items, seen, strict=True):
        assert new[row[row >= 0]].sum() >= min(1, int((new & ~of_user).sum()))


def test_who_has_no_list_of_their_own_gets_nothing_that_is_kept_from_them(tmp_path: Path) -> None:
    model = popularity()
    items = np.arange(len(model.dataset.item_ids))
    world = replace(model.dataset, **{name: getattr(model.dataset, name)[model.dataset.user > 3] for name in EVENTS})
    model.attach(world)
    users = people(model)
    users.loc[3, "country"] = "AQ"
    publish = Publish(top_k=K, filters=("users.country is null or country = users.country",))
    table = catalogue(model, country=np.where(items % 2 == 0, "DE", "PE"))
    one = edition(model, tmp_path, publish, users=users, items=table)
    content = content_by(model, one)
    listed = {
        user: row[row >= 0].tolist()
        for part in content.lists
        for user, row in zip(part.user_ids, part.top.items, strict=True)
    }
    ids = world.user_ids
    assert all(item % 2 == number % 2 for number in (0, 1, 2) for item in listed[ids[number]])
    assert all(len(listed[ids[number]]) == K for number in (0, 1, 2))
    assert listed[ids[3]] == [], "there is nothing for Antarctica"
    assert Rules(one).starved == 1
    found = check_content(content, Rules(one).wanted())
    assert found.faults == []


def test_a_filter_that_leaves_strangers_nothing_is_refused_before_anything_is_ranked(tmp_path: Path) -> None:
    model = popularity()
    table = catalogue(model, country=["DE"] * len(model.dataset.item_ids))
    with pytest.raises(ConfigError, match="nothing is known; say what they may get"):
        lists(model, tmp_path, Publish(filters=("country = users.country",)), table)


def test_without_new_items_nothing_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted_ranking()
    publish = Publish(top_k=K, exploration=Exploration(share=0.4, new_days=1), released="year")
    monkeypatch.setattr(type(model), "recommend", None)
    old = replace(model.dataset, ds=model.dataset.ds + timedelta(days=900))
    monkeypatch.setattr(model, "_dataset", old)
    table = catalogue(model, year=np.full(len(old.item_ids), 1990))
    ranked, _ = lists(model, tmp_path, publish, table)
    assert (ranked.top.items[:, 0] >= 0).all()


def test_a_filter_that_does_not_fit_the_tables_is_one_line(tmp_path: Path) -> None:
    model = popularity()
    with pytest.raises(ConfigError, match=r"publish\.filters\.0.*in_stok.*in_stock"):
        lists(
            model,
            tmp_path,
            Publish(filters=("in_stok",)),
            catalogue(model, in_stock=np.ones(len(model.dataset.item_ids), bool)),
        )
