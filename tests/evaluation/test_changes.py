import pytest

from recommender.evaluation.changes import LONGEST, config_changes
from recommender.evaluation.findings import Change

BEFORE = {
    "model": {"kind": "ranking", "candidates": {"tower": {"dimension": 64, "teacher": None}, "ease": {"kind": "ease"}}},
    "training": {"seed": 1, "refit": True, "rate": 3e-3},
    "features": {"user": ["age", "events_30d"], "item": ["category", "creator"]},
}


def test_equal_configurations_have_no_changes() -> None:
    assert config_changes(BEFORE, BEFORE) == []
    assert config_changes({"layers": (16, 8), "none": {}}, {"layers": [16, 8], "none": {}}) == []


def test_changes_by_their_dotted_names_in_order() -> None:
    after = {
        "model": {"kind": "ranking", "candidates": {"tower": {"dimension": 384, "teacher": {"kind": "ease"}}}},
        "training": {"seed": 1, "refit": False, "rate": 3e-3, "device": "cpu"},
        "features": {"user": ["events_30d", "gender"], "item": ["creator", "category"]},
    }
    assert config_changes(BEFORE, after) == [
        Change("features.item", '["category", "creator"]', '["creator", "category"]'),
        Change("features.user.age", "listed", None),
        Change("features.user.gender", None, "listed"),
        Change("model.candidates.ease.kind", "ease", None),
        Change("model.candidates.tower.dimension", "64", "384"),
        Change("model.candidates.tower.teacher", "null", None),
        Change("model.candidates.tower.teacher.kind", None, "ease"),
        Change("training.device", None, "cpu"),
        Change("training.refit", "true", "false"),
    ]


def test_the_other_way_round_sides_are_exchanged() -> None:
    after = {**BEFORE, "training": {"seed": 2}, "features": {"user": []}}
    there, back = config_changes(BEFORE, after), config_changes(after, BEFORE)
    assert len(there) == 6
    assert [(one.key, one.before, one.after) for one in there] == [(one.key, one.after, one.before) for one in back]


@pytest.mark.parametrize("tail", [("left", "right"), ("", " and more")])
def test_long_values_are_cut_to_where_they_differ(tail: tuple[str, str]) -> None:
    (change,) = config_changes({"sql": "x" * 100 + tail[0]}, {"sql": "x" * 100 + tail[1]})
    assert change.before != change.after
    assert change.before is not None and change.after is not None
    assert max(len(change.before), len(change.after)) <= LONGEST
    assert change.after.endswith(tail[1])


def test_lists_of_numbers_are_one_value() -> None:
    assert config_changes({"layers": [16, 8]}, {"layers": [32, 8]}) == [Change("layers", "[16, 8]", "[32, 8]")]
