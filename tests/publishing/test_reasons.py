"""Reasons in words: the strongest contribution's, the same in SQL, and nothing about who somebody is."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from recommender.columns import CATEGORY, COUNTRY
from recommender.config.profile import Profile, Words
from recommender.config.publish import Publish
from recommender.config.settings import Settings
from recommender.config.yaml12 import load_yaml
from recommender.models.base import Model
from recommender.models.explaining.contributions import MET, Contributions, Explained, Input
from recommender.models.explaining.reasons import Phrases, Reasons, strongest
from recommender.models.popularity import Popularity
from recommender.publishing.content import Content, UserLists
from recommender.publishing.publication import publish
from recommender.retrieval.exact import TopK
from recommender.storage.postgres import connect
from tests.models.test_explaining import HISTORY_MODELS, fitted, fitted_ranking, fitted_towers
from tests.models.worlds import PROFILE, checkerboard
from tests.publishing.contents import MODEL, made
from tests.publishing.editions import content_by, edition

TITLES = np.array(["Alpha", "Beta", None], object)
CREATORS = np.array(["Ann", None, "Ann"], object)
PLAIN = Phrases({}, Words(creator="artist", item="track"))


def told(
    values: dict[str, float], side: str = "user", met: int = -1, turned: tuple[str, ...] = (), item: int = 0
) -> str | None:
    """What is said of one recommendation of `item`."""
    opposites = {"popularity": "rarity", "known_creator": "new_creator"}
    inputs = tuple(Input(name, side, (name,), opposites.get(name)) for name in values)
    found = Contributions(
        inputs,
        np.array([[list(values.values())]], np.float32),
        {name: np.array([[name in turned]]) for name in values if name in opposites},
        np.array([[met]], np.int32),
    )
    reasons = Reasons(PLAIN, TITLES, CREATORS)
    codes = reasons.tell(Explained(TopK(np.array([[item]], np.int32), np.ones((1, 1), np.float32)), found))
    assert codes is not None
    return reasons.texts[codes[0, 0] - 1] if codes[0, 0] else None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"history": 2.0, "country": 1.0}, "like what you chose lately; popular in your country"),
        ({"country": 1.0, "history": 2.0}, "like what you chose lately; popular in your country"),
        ({"history": 4.0, "country": 1.0}, "like what you chose lately"),  # a quarter of it isn't worth telling
        ({"history": -1.0, "country": 0.5}, "popular in your country"),
        ({"history": -1.0, "country": 0.0}, None),
        ({"taste_energy": 2.0, "taste_tempo": 1.5}, "close to your taste in energy and tempo"),
        ({"age": 2.0, "age_band": 1.9}, "popular with people of your age"),  # not twice the same
        ({"shoe_size": 1.0}, "fits your shoe size"),
        ({MET: 1.0}, "because you chose Beta"),
        ({"known_creator": 1.0}, "you chose Ann before"),
        ({MET: 1.0, "known_creator": 0.9}, "because you chose Beta"),  # one name a sentence
        ({"history": 1.0, "known_creator": 0.9}, "like what you chose lately; you chose Ann before"),
        ({"popularity": 1.0}, "popular now"),
        ({"activity": 5.0, "country": 1.0}, "popular in your country"),  # without words it is passed over
        ({"activity": 5.0}, None),
    ],
)
def test_the_one_or_two_strongest_are_told(values: dict[str, float], expected: str | None) -> None:
    assert told(values, met=1) == expected


def test_opposites_and_names_that_are_missing() -> None:
    assert told({"popularity": 1.0}, turned=("popularity",)) == "not on everybody's list"
    assert told({"known_creator": 1.0}, turned=("known_creator",)) == "Ann would be new to you"
    assert told({"known_creator": 1.0}, item=1) == "you chose this artist before"
    assert told({MET: 1.0}, met=2) == "because you chose another track"
    assert told({"energy": 1.0}, side="item") == "close to your taste in energy"


def test_the_strongest_are_the_largest() -> None:
    values = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)
    first, second = strongest(values)
    order = np.argsort(-values, axis=-1)
    ranked = np.take_along_axis(values, order, -1)
    np.testing.assert_array_equal(first, np.where(ranked[..., 0] > 0, order[..., 0], -1))
    told_too = (ranked[..., 0] > 0) & (ranked[..., 1] >= ranked[..., 0] / 3)
    np.testing.assert_array_equal(second, np.where(told_too, order[..., 1], -1))


def content_of(model: Model, folder: Path, k: int = 3) -> Content:
    """A publication of a model with titles, creators and the default's words."""
    items = len(model.dataset.item_ids)
    catalogue = {
        "item_id": model.dataset.item_ids,
        "title": [f"Title {n}" for n in range(items)],
        "creator": [f"Creator {n % 5}" for n in range(items)],
    }
    profile = Profile.model_validate(load_yaml(PROFILE))
    return content_by(model, edition(model, folder, Publish(top_k=k), profile, items=pd.DataFrame(catalogue)))


@pytest.mark.parametrize("kind", ["two_tower", "ranking", "ease"])
def test_every_recommendation_names_its_strongest_contribution(kind: str, tmp_path: Path) -> None:
    makers = {"two_tower": fitted_towers, "ranking": fitted_ranking, "ease": lambda: fitted(HISTORY_MODELS["ease"]())}
    model: Model = makers[kind]()
    content = content_of(model, tmp_path)
    (lists,) = content.lists
    assert lists.reasons is not None
    found = model.contributions(model.dataset.active_users, lists.top.items)
    assert found is not None
    phrases = Phrases.of(Profile.model_validate(load_yaml(PROFILE)))
    worth_telling = [bool(phrases.template(one.name, one.side)) for one in found.inputs]
    for user, place in np.ndindex(lists.reasons.shape):
        number = int(np.where(worth_telling, found.values[user, place], -np.inf).argmax())
        one, code = found.inputs[number], int(lists.reasons[user, place])
        if found.values[user, place, number] <= 0:
            assert code == 0
            continue
        turned = one.name in found.turned and found.turned[one.name][user, place]
        expected = phrases.template(str(one.opposite) if turned else one.name, one.side)
        if found.met is not None:
            expected = expected.replace("{title}", str(content.titles[found.met[user, place]]))
        expected = expected.replace("{creator}", str(content.creators[lists.top.items[user, place]]))
        assert content.reason_texts[code - 1].split("; ")[0] == expected


def test_no_text_holds_what_somebody_is(tmp_path: Path) -> None:
    model = fitted_towers()
    texts = " ".join(content_of(model, tmp_path).reason_texts)
    assert texts
    for name in (COUNTRY, CATEGORY):
        values = {*model.dataset.user_features.get(name, []), *model.dataset.item_features.get(name, [])} - {None}
        assert not any(str(value) in texts for value in values)
    assert not any(user in texts for user in model.dataset.user_ids)


def test_a_model_that_cannot_tell_is_published_without_reasons(tmp_path: Path) -> None:
    model = Popularity()
    model.attach(checkerboard())
    content = content_of(model, tmp_path)
    assert [lists.reasons for lists in content.lists] == [None]
    assert list(content.reason_texts) == []


def test_reasons_are_read_back_by_sql(world: Settings) -> None:
    content = made("a")
    (lists,) = content.lists
    codes = np.zeros(lists.top.items.shape, np.int32)
    codes[1] = np.arange(len(codes[1])) % 3
    short = UserLists("segment", np.array(["newcomer"], object), TopK(lists.top.items[:1], lists.top.scores[:1]))
    told_lists = [replace(lists, reasons=codes), short]
    texts = ["because you chose it", "popular in your country; new"]
    with connect(world, autocommit=True) as connection:
        for night in (1, 2):
            made_now = replace(content, lists=told_lists, reason_texts=texts)
            publish(connection, date(2020, 1, night), MODEL, str(night), lambda made_now=made_now: made_now, keep=1)

        def reasons(user: str) -> list[str]:
            return [row[0] for row in connection.execute("select reason from reco.recommend(%s, 4)", [user]).fetchall()]

        before = "close to what you chose before"
        assert reasons("user-1") == [before, texts[0], texts[1], before]
        assert reasons("user-2") == [before] * 4
        assert reasons("newcomer") == ["popular with people like you"] * 4
        assert reasons("nobody knows") == ["popular now"] * 4
        # the expired night's sentences went with it
        kept = connection.execute("select distinct publication_id from reco.reason_texts").fetchall()
        assert kept == connection.execute("select publication_id from reco.publications").fetchall()


@pytest.mark.parametrize(
    ("reasons", "problem"),
    [
        ({"histroy": "like that"}, "did you mean 'history'"),
        ({"history": "popular in {country}"}, "no mark of a reason"),
        ({"history": "half a {mark"}, "no mark of a reason"),
    ],
)
def test_a_profile_s_templates_are_checked(reasons: dict[str, str], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Profile.model_validate({**load_yaml(PROFILE), "reasons": reasons})


def test_a_profile_s_words_go_before_the_default_s() -> None:
    given = {**load_yaml(PROFILE), "reasons": {"country": "loved where you live"}, "words": {"category": "genre"}}
    phrases = Phrases.of(Profile.model_validate(given))
    assert phrases.template("country", "user") == "loved where you live"
    assert phrases.template("category", "item") == "its genre is close to your taste"
