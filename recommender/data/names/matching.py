"""Which spellings are one name: rules over the distinct values of a column, without a database."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import OSA

from recommender.data.spelling import fold

FOLDED, SPACES, ARTICLE, FEATURED, TYPO, OVERRIDE = "spelling", "spaces", "the", "main artist", "typo", "decided"
_CONFIDENCE = {FOLDED: 1.0, SPACES: 0.98, ARTICLE: 0.97, FEATURED: 0.96}
_DOUBTFUL = 0.9
"""For one word with and without "the", and short names with and without spaces: The Dream is not Dream."""
_COST_OF_A_TYPO = 0.5
"""A typo's confidence is 1 - this × typos / letters: one typo in ten letters is .95."""
_TIMES_RARER = 5
"""How many times rarer than the right spelling one must be to be taken for a typo."""
_MUCH_RARER, _NOT_MUCH_RARER = 20, 0.02
"""A typo that is less than so many times rarer loses this much confidence."""
_LEAST_LETTERS, _LETTERS_FOR_TWO = 6, 14
_SHORT_WORD = 3
_BLOCK_ENDS = 3
"""Letters at the beginning or at the end that a typo leaves as they are: only such pairs are compared."""
_ROWS_AT_ONCE = 2000

_AND = re.compile(r"&|(?<=\s)\+(?=\s)")
_GUESTS = re.compile(r"\s*[\[(]?(?<!\w)(?:feat(?:uring\b|\.|(?=\s))|ft\.)\s*\S.*", re.IGNORECASE | re.DOTALL)
_ARTICLE = re.compile(r"^the (?=.)|(?<=.) the$")
_NUMERAL = re.compile(r"[ivxlc]+|\d+")
_CODE = re.compile(r"(?=.*\d)[\w./:-]+")
_NAMED_ID = re.compile(r"(?:^|_)ids?$|[a-z]I[dD]$")


@dataclass(frozen=True)
class Merge:
    """One spelling that is, or may be, another name."""

    value: str
    canonical: str
    items: int
    """How many items have the value."""
    confidence: float
    rule: str
    applied: bool


@dataclass(frozen=True)
class _Name:
    """Spellings that fold to the same."""

    folded: str
    canonical: str
    items: int
    known: bool
    """Whether it was canonical before."""

    @property
    def rank(self) -> tuple[bool, int, str]:
        """The first of two is the one that the other becomes."""
        return not self.known, -self.items, self.canonical


def find_merges(
    counts: Mapping[str, int],
    apply_above: float,
    overrides: Mapping[str, str] | None = None,
    canonical_before: Collection[str] = (),
    merged_before: Mapping[str, Merge] | None = None,
) -> list[Merge]:
    """The merges among the values of a column, ordered by value; each canonical stays as it is itself.

    `counts` has the items of each value. A name that was canonical before stays so, and a merge that was applied
    before stays applied, so that names don't flip from night to night; `overrides` go before everything.
    """
    overrides = overrides or {}
    names, of_value = _same_when_folded(counts, overrides, frozenset(canonical_before))
    target = _same_but_for_what_is_left_out(names)
    for key, merge in _again(of_value, names, merged_before or {}).items():
        target.setdefault(key, merge)
    roots = {key: name for key, name in names.items() if key not in target}
    target |= _typos(roots)
    merges = [
        Merge(value, canonical, counts[value], 1.0, OVERRIDE, True)
        for value, canonical in overrides.items()
        if value in counts and value != canonical
    ]
    for value, key in of_value.items():
        name = names[key]
        own = Merge(value, name.canonical, counts[value], *_same(value, name), applied=True)
        merge = _followed(own, key, target, apply_above)
        if merge.canonical != value:
            merges.append(replace(merge, canonical=overrides.get(merge.canonical, merge.canonical)))
    return sorted(merges, key=lambda merge: merge.value)


def looks_like_ids(column: str | None, values: Collection[str]) -> bool:
    """True when the source's column is named as ids are, or most of its values are codes rather than names."""
    if column is not None and _NAMED_ID.search(column):
        return True
    codes = sum(1 for value in values if _CODE.fullmatch(value))
    return 2 * codes > len(values)


def _same_when_folded(
    counts: Mapping[str, int], overrides: Mapping[str, str], before: Collection[str]
) -> tuple[dict[str, _Name], dict[str, str]]:
    """Names by key, and each value's key; values that people decided about, or without letters, have none."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for value in counts:
        if value not in overrides:
            key = _key(value)
            if key:
                spellings[key].append(value)
    names = {}
    for key, values in spellings.items():
        canonical = min(values, key=lambda value: (value not in before, -counts[value], value))
        items = sum(counts[value] for value in values)
        names[key] = _Name(_folded(canonical), canonical, items, canonical in before)
    return names, {value: key for key, values in spellings.items() for value in values}


def _same_but_for_what_is_left_out(names: Mapping[str, _Name]) -> dict[str, Merge]:
    """Who is featured; "the", in front or behind, where both forms occur; spaces and dots in short names."""
    found = {}
    joined: dict[str, list[_Name]] = defaultdict(list)
    for name in names.values():
        joined[name.folded.replace(" ", "")].append(name)
    for key, name in names.items():
        main = _GUESTS.sub("", name.canonical).strip()
        if main and main != name.canonical and fold(main):
            other = names.get(_key(main))
            found[key] = _merge(name, other.canonical if other else main, FEATURED, _CONFIDENCE[FEATURED])
            continue
        bare = _ARTICLE.sub("", name.folded)
        with_the = [
            other
            for form in (bare, f"the {bare}", f"{bare} the")
            for other in joined[form.replace(" ", "")]
            if other.folded == form
        ]
        for rule, others, sure in (
            (ARTICLE, with_the, " " in bare),
            (SPACES, joined[name.folded.replace(" ", "")], False),
        ):
            first = min(others, key=lambda other: other.rank, default=name)
            if first.rank < name.rank:
                sure = sure or first.items >= _MUCH_RARER * name.items
                found[key] = _merge(name, first.canonical, rule, _CONFIDENCE[rule] if sure else _DOUBTFUL)
                break
    return found


def _again(of_value: Mapping[str, str], names: Mapping[str, _Name], before: Mapping[str, Merge]) -> dict[str, Merge]:
    """Typos that were merged before: a change of counts does not take them back."""
    found = {}
    for value, merge in before.items():
        key, canonical_key = of_value.get(value), of_value.get(merge.canonical)
        if merge.applied and merge.rule == TYPO and key and canonical_key and key != canonical_key:
            found[key] = replace(merge, canonical=names[canonical_key].canonical)
    return found


def _typos(names: Mapping[str, _Name]) -> dict[str, Merge]:
    found: dict[str, Merge] = {}
    closest: dict[str, tuple[float, int]] = {}
    for rare, common, typos in _close_pairs(names):
        one, other = names[rare], names[common]
        if one.items * _TIMES_RARER > other.items or _told_apart(one.folded, other.folded):
            continue
        doubt = 0.0 if one.items * _MUCH_RARER <= other.items else _NOT_MUCH_RARER
        confidence = round(1 - _COST_OF_A_TYPO * typos / len(rare) - doubt, 3)
        if (confidence, other.items) > closest.get(rare, (0.0, 0)):
            closest[rare] = (confidence, other.items)
            found[rare] = _merge(one, other.canonical, TYPO, confidence)
    return found


def _close_pairs(names: Mapping[str, _Name]) -> Iterator[tuple[str, str, int]]:
    """Keys one or two typos apart, the rarer first; only keys that share a beginning or an end are compared."""
    least = min((name.items for name in names.values()), default=0) * _TIMES_RARER
    blocks: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in names:
        if len(key) >= _LEAST_LETTERS:
            blocks["begins", key[:_BLOCK_ENDS]].append(key)
            blocks["ends", key[-_BLOCK_ENDS:]].append(key)
    for keys in blocks.values():
        common = sorted((key for key in keys if names[key].items >= least), key=len)
        rare = sorted(keys, key=len)
        for start in range(0, len(rare) if common else 0, _ROWS_AT_ONCE):
            rows = rare[start : start + _ROWS_AT_ONCE]
            lengths = [len(key) for key in common]
            first, last = np.searchsorted(lengths, [len(rows[0]) - 2, len(rows[-1]) + 3])
            columns = common[first:last]
            distances = process.cdist(rows, columns, scorer=OSA.distance, score_cutoff=2, dtype=np.uint8)
            for row, column in zip(*np.nonzero((distances > 0) & (distances <= 2)), strict=True):
                typos = int(distances[row, column])
                if typos == 1 or min(len(rows[row]), len(columns[column])) >= _LETTERS_FOR_TWO:
                    yield rows[row], columns[column], typos


def _told_apart(one: str, other: str) -> bool:
    """Differences that are rarely typos: numbers, short words, the first or last letter of a word."""
    words, others = one.split(" "), other.split(" ")
    if len(words) != len(others):
        return True
    for word, twin in zip(words, others, strict=True):
        if word == twin:
            continue
        if min(len(word), len(twin)) <= _SHORT_WORD or word[0] != twin[0] or word[-1] != twin[-1]:
            return True
        if any(_NUMERAL.fullmatch(each) or any(letter.isdigit() for letter in each) for each in (word, twin)):
            return True
    return False


def _followed(own: Merge, key: str, target: Mapping[str, Merge], apply_above: float) -> Merge:
    """The end of the chain of merges that are applied; where none is, a first step that is only listed."""
    merge, seen = own, {key}
    while key in target:
        step = target[key]
        if step.confidence <= apply_above and not step.applied:
            only_listed = merge is own and own.canonical == own.value
            return replace(step, value=own.value, items=own.items) if only_listed else merge
        merge = replace(
            own, canonical=step.canonical, confidence=min(merge.confidence, step.confidence), rule=step.rule
        )
        key = _key(step.canonical)
        if key in seen:
            break
        seen.add(key)
    return merge


def _same(value: str, name: _Name) -> tuple[float, str]:
    rule = FOLDED if _folded(value) == name.folded else SPACES
    return _CONFIDENCE[rule], rule


def _folded(value: str) -> str:
    return fold(_AND.sub(" and ", value))


def _key(value: str) -> str:
    """What the spellings of one name share; in short names spaces tell: H.E.R. is not Her."""
    folded = _folded(value)
    joined = folded.replace(" ", "")
    return joined if len(joined) >= _LEAST_LETTERS else folded


def _merge(name: _Name, canonical: str, rule: str, confidence: float) -> Merge:
    return Merge(name.canonical, canonical, name.items, confidence, rule, applied=False)
