"""Which spellings are one name, and which only look like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.names.matching import Merge, find_merges, looks_like_ids

ABOVE = 0.95


def merged(counts: dict[str, int], **more) -> dict[str, tuple[str, str]]:
    """Value to canonical and rule, of the merges that are applied."""
    return {m.value: (m.canonical, m.rule) for m in find_merges(counts, ABOVE, **more) if m.applied}


def listed(counts: dict[str, int]) -> dict[str, str]:
    return {m.value: m.canonical for m in find_merges(counts, ABOVE) if not m.applied}


@pytest.mark.parametrize(
    ("value", "canonical", "rule"),
    [
        ("QUEENSRYCHE", "Queensrÿche", "spelling"),
        ("Guns N Roses", "Guns N' Roses", "spelling"),
        ("Simon and Garfunkel", "Simon & Garfunkel", "spelling"),
        ("Florence and the Machine", "Florence + the Machine", "spelling"),
        ("ＡＢＢＡ Gold", "Abba Gold", "spelling"),
        ("Lone Star", "Lonestar", "spaces"),
        ("Rolling Stones", "The Rolling Stones", "the"),
        ("Rolling Stones, The", "The Rolling Stones", "the"),
        ("Beatles", "The Beatles", "the"),
        ("Rihanna feat. JAY-Z", "Rihanna", "main artist"),
        ("Rihanna (ft. Drake & Friends)", "Rihanna", "main artist"),
        ("Rihanna Featuring Ne-Yo", "Rihanna", "main artist"),
        ("Marilyn Mansoon", "Marilyn Manson", "typo"),
        ("Wolfgnag Amadeus Mozrat", "Wolfgang Amadeus Mozart", "typo"),
    ],
)
def test_spellings_of_one_name(value: str, canonical: str, rule: str) -> None:
    assert merged({value: 1, canonical: 200}) == {value: (canonical, rule)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jennifer Hanson", "Jennifer Hudson"),
        ("Blink 181 Band", "Blink 182 Band"),
        ("Rocky Balboa II", "Rocky Balboa III"),
        ("Beyond the Sea", "Beyond that Sea"),
        ("Mario Castellano", "Maria Castellano"),
        ("Bones Brigade", "Jones Brigade"),
        ("Her", "H.E.R."),
        ("Dream", "The Dream"),
        ("50 ft Wave", "50"),
        ("Mastodon", "Mastadan"),
        ("🔥", "☀️"),
    ],
)
def test_names_that_only_look_alike_are_not_merged(one: str, other: str) -> None:
    assert merged({one: 1, other: 12}) == {}


def test_a_typo_is_much_rarer_than_the_right_spelling() -> None:
    assert merged({"Marilyn Mansoon": 5, "Marilyn Manson": 20}) == {}
    assert listed({"Marilyn Mansoon": 5, "Marilyn Manson": 30}) == {"Marilyn Mansoon": "Marilyn Manson"}


def test_the_most_frequent_spelling_is_canonical_and_the_first_among_equals() -> None:
    assert merged({"abba!": 1, "ABBA": 3, "Abba": 2}) == {"abba!": ("ABBA", "spelling"), "Abba": ("ABBA", "spelling")}
    assert merged({"abba": 2, "ABBA": 2}) == {"abba": ("ABBA", "spelling")}


def test_merges_follow_each_other_to_the_end() -> None:
    counts = {"rolling stones": 2, "The Rolling Stones": 90, "Rolling Stones feat. Lady Gaga": 1}
    found = {m.value: m for m in find_merges(counts, ABOVE)}
    assert {value: m.canonical for value, m in found.items()} == {
        "rolling stones": "The Rolling Stones",
        "Rolling Stones feat. Lady Gaga": "The Rolling Stones",
    }
    assert found["Rolling Stones feat. Lady Gaga"].confidence == 0.96


def test_uncertain_merges_are_listed_with_their_confidence_and_left_alone() -> None:
    (merge,) = find_merges({"Rhianna": 1, "Rihanna": 484}, ABOVE)
    assert merge == Merge("Rhianna", "Rihanna", 1, 0.929, "typo", applied=False)
    (merge,) = find_merges({"Rhianna": 1, "Rihanna": 484}, 0.9)
    assert merge.applied


def test_a_name_stays_canonical_when_another_spelling_becomes_more_frequent() -> None:
    counts = {"Beyonce": 9, "Beyoncé": 5}
    assert merged(counts) == {"Beyoncé": ("Beyonce", "spelling")}
    assert merged(counts, canonical_before={"Beyoncé"}) == {"Beyonce": ("Beyoncé", "spelling")}
    counts = {"Rolling Stones": 9, "The Rolling Stones": 5}
    assert merged(counts, canonical_before={"The Rolling Stones"}) == {"Rolling Stones": ("The Rolling Stones", "the")}


def test_a_typo_that_was_merged_stays_merged() -> None:
    before = {m.value: m for m in find_merges({"Marilyn Mansoon": 1, "Marilyn Manson": 90}, ABOVE)}
    counts = {"Marilyn Mansoon": 40, "Marilyn Manson": 90}
    assert merged(counts) == {}
    assert merged(counts, merged_before=before) == {"Marilyn Mansoon": ("Marilyn Manson", "typo")}


def test_people_have_the_last_word() -> None:
    counts = {"Prince": 50, "TAFKAP": 3, "ABBA": 40, "Abba": 2}
    decided = {"TAFKAP": "Prince", "Abba": "Abba"}
    assert merged(counts) == {"Abba": ("ABBA", "spelling")}
    assert merged(counts, overrides=decided) == {"TAFKAP": ("Prince", "decided")}


@pytest.mark.parametrize(
    ("column", "values", "ids"),
    [
        ("artist_id", ["Abba"], True),
        ("artistID", ["Abba"], True),
        ("artist", ["1204", "991", "77"], True),
        ("artist", ["/m/0twntz", "/m/0xt3h5", "Abba"], True),
        ("artist", ["a3f-99", "b1c-02"], True),
        ("artist", ["Abba", "U2", "311"], True),
        ("artist", ["Abba", "Queen", "U2"], False),
        ("madrid", ["Abba"], False),
        (None, ["rock", "80s", "pop"], False),
    ],
)
def test_ids_are_recognised(column: str | None, values: list[str], ids: bool) -> None:
    assert looks_like_ids(column, values) is ids


names = st.text(st.sampled_from("aAbBéE &+.,'-theIV12ft"), max_size=18)


@given(st.dictionaries(names, st.integers(1, 100), max_size=25))
def test_canonical_names_are_not_merged_themselves_and_a_second_night_changes_nothing(counts: dict[str, int]) -> None:
    merges = find_merges(counts, ABOVE)
    applied = {m.value: m.canonical for m in merges if m.applied}
    assert len({m.value for m in merges}) == len(merges)
    assert set(applied) <= set(counts)
    assert not set(applied) & set(applied.values())
    after: dict[str, int] = {}
    for value, items in counts.items():
        canonical = applied.get(value, value)
        after[canonical] = after.get(canonical, 0) + items
    again = find_merges(counts, ABOVE, None, frozenset(after), {m.value: m for m in merges})
    assert {m.value: m.canonical for m in again if m.applied} == applied
