"""Names as people type them, in Python; `reco.fold` and `reco.search_form` are the same in PostgreSQL."""

import re
import unicodedata

_MARKS = (
    "\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u200b-\u200f\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
)
"""Accents, vowel points and invisible characters, by range: dropped. Vowel signs that make another letter stay."""
_SEPARATORS = (
    "\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u00d7\u00f7\u02b9-\u02df\u055a-\u055f\u0589\u058a\u05be\u05c0"
    "\u05c3\u05f3\u05f4\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u1680\u2000-\u200a\u2010-\u2bff\u2e00-\u2e7f"
    "\u3000-\u3004\u3008-\u3020\u3030\u303d\u30a0\u30fb\ufe10-\ufe1f\ufe30-\ufe6f\ufffc-\uffff\U0001f000-\U0001faff"
)
"""Punctuation, symbols and spaces, by range, so that no database's locale decides."""
_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ı": "i", "ς": "σ"}
"""Letters that no normal form takes apart."""

_DROPPED = re.compile(f"[{_MARKS}]")
_BETWEEN_WORDS = re.compile(f"[{_SEPARATORS}]+")
_BETWEEN_ASCII_WORDS = re.compile("[^0-9a-z]+")
_SPECIAL = str.maketrans(_LETTERS)
_FEATURED = re.compile(r" (?:feat|ft|featuring) .*")
_ARTICLE = re.compile(r"^the | the$")


def fold(text: str) -> str:
    """Lower-case words without accents and punctuation, one space between: `Beyoncé  feat. JAY-Z` is
    `beyonce feat jay z`.

    Compatibility forms are one (Unicode NFKD: full width, ligatures, `²`), letters such as `ø` and `ß` are spelled in
    ASCII. Text without a letter or digit folds to nothing.
    """
    if text.isascii():
        return _BETWEEN_ASCII_WORDS.sub(" ", text.lower()).strip()
    letters = _DROPPED.sub("", unicodedata.normalize("NFKD", text)).lower().translate(_SPECIAL)
    return unicodedata.normalize("NFC", _BETWEEN_WORDS.sub(" ", letters).strip(" "))


def search_form(title: str) -> str:
    """A folded title without what people leave out: "the", "and", who is featured."""
    folded = fold(title)
    form = _ARTICLE.sub("", _FEATURED.sub("", folded))
    return f" {form} ".replace(" and ", " ").strip() or folded
