"""What a profile may say about the words in which recommendations are explained."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import AfterValidator

NOUNS = tuple(f"{{words.{noun}}}" for noun in ("user", "item", "event", "creator", "category"))
FEATURE, TITLE_OF_MET, CREATOR_OF_ITEM = "{feature}", "{title}", "{creator}"
MARKS = (FEATURE, TITLE_OF_MET, CREATOR_OF_ITEM, *NOUNS)
"""What a template may hold: a feature's own name, the title of something the user chose, the creator of what is
recommended, and the profile's nouns. Nothing of a user has a mark: what people are stands in no reason."""


def _template(text: str) -> str:
    for mark in re.findall(r"\{[^{}]*\}?|\}", text):
        if mark not in MARKS:
            raise ValueError(f"{mark!r} is no mark of a reason: there are {', '.join(MARKS)}")
    return text


Reasons = dict[str, Annotated[str, AfterValidator(_template)]]

_TASTE = f"close to your taste in {FEATURE}"
DEFAULTS: Mapping[str, str] = {
    "met": "because you chose {title}",
    "history": "like what you chose lately",
    "own_user": "close to your taste over time",
    "own_item": "chosen by people with your taste",
    "taste": "close to your taste",
    "activity": "",  # it speaks for nearly everything a user is shown, and so for nothing
    "habits": "chosen at the hours you keep",
    "country": "popular in your country",
    "age": "popular with people of your age",
    "age_band": "popular with people of your age",
    "gender": "popular with people like you",
    "registered": "chosen by people who joined when you did",
    "top_category": "close to the {words.category} you choose most",
    "top_creator": "close to the {words.creator} you choose most",
    "creator": "{creator} is close to your taste",
    "category": "its {words.category} is close to your taste",
    "known_creator": "you chose {creator} before",
    "new_creator": "{creator} would be new to you",
    "known_category": "its {words.category} is one you choose",
    "new_category": "its {words.category} would be new to you",
    "year": "from years you like",
    "popularity": "popular now",
    "rarity": "not on everybody's list",
    "newness": "new",
    "lasting": "around for long, and still chosen",
    "title": "its title is like those you choose",
    "duration": "as long as you like them",
}
"""By name of a model's input; `reasons` of a profile goes before it."""
TASTE_PREFIXES = ("taste_gap_", "taste_")
TASTE_IN = "taste_in"
"""Of every taste and numeric attribute that has no template of its own."""


def template_of(name: str, side: str, reasons: Mapping[str, str]) -> str:
    """What is said of an input of a model, with its marks; nothing of one that is not worth telling."""
    if name in reasons:
        return reasons[name]
    if name in DEFAULTS:
        return DEFAULTS[name]
    if side == "user" and not name.startswith(TASTE_PREFIXES):
        return f"fits your {FEATURE}"
    return reasons.get(TASTE_IN, _TASTE)


def misnamed(reasons: Mapping[str, str], declared: Collection[str]) -> str | None:
    """What is wrong with a name that is neither known here nor a declared feature, its beginning, or a model's."""
    known = sorted({*DEFAULTS, TASTE_IN, *declared})
    for name in reasons:
        if not any(one == name or one.startswith(f"{name}_") for one in known):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            return f"reasons: no input of the model is called {name!r}; {hint}"
    return None


def readable(name: str) -> str:
    """An input's name as people read it: `taste_danceability` as `danceability`."""
    for prefix in TASTE_PREFIXES:
        name = name.removeprefix(prefix)
    return name.replace("_", " ")
