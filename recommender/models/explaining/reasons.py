"""Reasons in words: of each recommendation the one or two inputs of the model that speak most for it.

    reasons = Reasons(Phrases.of(profile), titles, creators)
    codes = reasons.tell(explained)         # (users, k); 0 where nothing speaks for an item
    reasons.texts[codes[0, 0] - 1]          # "because you chose Jade Journey; popular in your country"

Texts say nothing of a person but what a template says of everybody, and the titles that the person chose.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recommender.config.profile import Profile, Words
from recommender.config.reasons import CREATOR_OF_ITEM, FEATURE, TITLE_OF_MET, readable, template_of
from recommender.models.explaining.contributions import Contributions, Explained, Input

WORTH_TELLING = 1 / 3
"""Of the strongest contribution: a second one of less is not told."""
_PLAIN, _BY_CREATOR, _BY_TITLE = 0, 1, 2
_BETWEEN = "; "
_MARKS = re.compile("|".join(re.escape(mark) for mark in (FEATURE, TITLE_OF_MET, CREATOR_OF_ITEM)))

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Phrases:
    """A profile's templates and nouns."""

    reasons: Mapping[str, str]
    words: Words

    @classmethod
    def of(cls, profile: Profile) -> Self:
        return cls(profile.reasons, profile.words)

    def template(self, name: str, side: str) -> str:
        """What is said of an input, its nouns filled in."""
        text = template_of(name, side, self.reasons)
        for noun, word in self.words.model_dump().items():
            text = text.replace(f"{{words.{noun}}}", word)
        return text


class Phrase(NamedTuple):
    """What is said of one input."""

    template: str
    feature: str

    @property
    def subject(self) -> int:
        """Whose name it needs."""
        if TITLE_OF_MET in self.template:
            return _BY_TITLE
        return _BY_CREATOR if CREATOR_OF_ITEM in self.template else _PLAIN

    def repeats(self, other: "Phrase") -> bool:
        """True where it would say nothing that the other hasn't said."""
        return self.template == other.template and (FEATURE not in self.template or self.feature == other.feature)


class Reasons:
    """Sentences with a number each, collected over the lists of a publication.

    Parameters
    ----------
    phrases
        The profile's.
    titles, creators
        (items,) of the catalogue, None where there is none.
    """

    def __init__(self, phrases: Phrases, titles: npt.NDArray[np.object_], creators: npt.NDArray[np.object_]) -> None:
        self._phrases, self._titles = phrases, titles
        codes, names = pd.factorize(pd.Series(creators, dtype=object))
        self._creator, self._creators = codes.astype(np.int64), names
        self._codes: dict[str, int] = {}

    @property
    def texts(self) -> Sequence[str]:
        """Sentence `n` has code `n + 1`."""
        return list(self._codes)

    def tell(self, explained: Explained) -> Codes | None:
        """(users, k) codes of the reasons; None where the model can't tell what its scores rest on."""
        found = explained.contributions
        if found is None or not found.inputs:
            return None
        untold = [place for place, one in enumerate(found.inputs) if not self._phrases.template(one.name, one.side)]
        values = found.values
        if untold:
            values = values.copy()
            values[..., untold] = -np.inf
        first, second = strongest(values)
        phrases = _Wordings(self._phrases, found)
        said, also = phrases.of(first), phrases.of(second)
        items = explained.top.items
        naming, naming_too = phrases.subject[said], phrases.subject[also]
        # one name a sentence, and nothing twice: else sentences would be as many as recommendations
        dropped = phrases.repeats[said, also] | ((naming > _PLAIN) & (naming_too > _PLAIN))
        also = np.where(dropped, len(phrases), also)
        subject = self._subjects(np.where(dropped, naming, np.maximum(naming, naming_too)), items, found)
        width = len(self._titles) + len(self._creators) + 1
        key = (said * (len(phrases) + 1) + also) * width + subject
        key[(said == len(phrases)) | (items < 0)] = -1
        place, keys = pd.factorize(key.ravel())
        codes = np.array(
            [self._code(phrases, *_parts(one, len(phrases) + 1, width)) for one in keys.tolist()], np.int32
        )
        return codes[place].reshape(items.shape) if len(codes) else np.zeros(items.shape, np.int32)

    def _subjects(
        self, kind: npt.NDArray[np.int64], items: npt.NDArray[np.int32], found: Contributions
    ) -> npt.NDArray[np.int64]:
        """(users, k) whom or what each sentence names, 0 for nobody; first the items count, then the creators."""
        subject = np.zeros(items.shape, np.int64)
        if (by_title := kind == _BY_TITLE).any() and found.met is not None:
            subject[by_title] = 1 + found.met[by_title]
        if (by_creator := kind == _BY_CREATOR).any():
            named = self._creator[items[by_creator]]
            subject[by_creator] = np.where(named < 0, 0, 1 + len(self._titles) + named)
        return subject

    def _code(self, phrases: "_Wordings", said: int, also: int, subject: int) -> int:
        if said < 0:
            return 0
        named = [phrases.phrases[number] for number in (said, also) if number < len(phrases)]
        text = self._sentence(named, subject)
        return self._codes.setdefault(text, len(self._codes) + 1)

    def _sentence(self, phrases: Sequence[Phrase], subject: int) -> str:
        features = [readable(phrase.feature) for phrase in phrases]
        if len({phrase.template for phrase in phrases}) == 1:
            return self._filled(phrases[0].template, " and ".join(features), subject)
        return _BETWEEN.join(
            self._filled(phrase.template, feature, subject) for phrase, feature in zip(phrases, features, strict=True)
        )

    def _filled(self, template: str, feature: str, subject: int) -> str:
        items, words = len(self._titles), self._phrases.words
        title = self._titles[subject - 1] if 0 < subject <= items else None
        creator = self._creators[subject - 1 - items] if subject > items else None
        names = {
            FEATURE: feature,
            TITLE_OF_MET: title or f"another {words.item}",
            CREATOR_OF_ITEM: creator or f"this {words.creator}",
        }
        return _MARKS.sub(lambda mark: names[mark[0]], template)


class _Wordings:
    """The phrases that a model's inputs come down to: those of the inputs, then those of their opposites."""

    def __init__(self, phrases: Phrases, found: Contributions) -> None:
        self._found = found
        self._places = len(found.inputs)
        self.phrases = [self._phrase(phrases, one, one.name) for one in found.inputs] + [
            self._phrase(phrases, one, one.opposite or one.name) for one in found.inputs
        ]
        self.subject = np.array([*(phrase.subject for phrase in self.phrases), _PLAIN], np.int64)
        nothing = len(self.phrases)
        self.repeats = np.zeros((nothing + 1, nothing + 1), bool)
        self.repeats[:nothing, :nothing] = [[a.repeats(b) for a in self.phrases] for b in self.phrases]

    def __len__(self) -> int:
        return len(self.phrases)

    def of(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(users, n) numbers of phrases for numbers of inputs; -1 becomes the length."""
        number = np.where(chosen < 0, len(self.phrases), chosen)
        for place, one in enumerate(self._found.inputs):
            if one.opposite is not None and one.name in self._found.turned:
                number[(chosen == place) & self._found.turned[one.name]] = place + self._places
        return number

    @staticmethod
    def _phrase(phrases: Phrases, one: Input, name: str) -> Phrase:
        return Phrase(phrases.template(name, one.side), name)


def strongest(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(users, n) the inputs with the largest and second largest of (users, n, inputs) contributions.

    -1 where that is not positive, or a second is not worth telling beside the first.
    """
    first = values.argmax(-1)
    most = np.take_along_axis(values, first[..., None], -1)[..., 0]
    rest = values.copy()
    np.put_along_axis(rest, first[..., None], -np.inf, -1)
    second = rest.argmax(-1)
    more = np.take_along_axis(rest, second[..., None], -1)[..., 0]
    return np.where(most > 0, first, -1), np.where((most > 0) & (more >= most * WORTH_TELLING), second, -1)


def _parts(key: int, phrases: int, width: int) -> tuple[int, int, int]:
    """Both phrases and the subject of a key; -1 stands for no reason."""
    if key < 0:
        return -1, -1, 0
    pair, subject = divmod(key, width)
    return pair // phrases, pair % phrases, subject
