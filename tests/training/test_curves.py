from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.test_checkpoint import LONG, interrupted
from tests.training.unsteady import unsteady_fit


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """Each curve's points by epoch."""
    events = EventAccumulator(str(folder)).Reload()
    found = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert all(len({point.step for point in points}) == len(points) for points in found.values())
    return {tag: {point.step: point.value for point in points} for tag, points in found.items()}


def test_curves_of_an_interrupted_fit_are_those_of_one_left_alone(tmp_path: Path) -> None:
    _, report = unsteady_fit(None, logs=tmp_path / "alone")
    for stop in ((3, 1), (5, 1)):
        interrupted(tmp_path / "kept", stop, logs=tmp_path / "again")
    unsteady_fit(tmp_path / "kept", logs=tmp_path / "again", minutes=LONG)
    alone, again = curves(tmp_path / "alone"), curves(tmp_path / "again")
    assert set(alone) == {
        "train/loss",
        "train/learning_rate",
        "train/gradient_norm",
        "train/examples_per_second",
        "validation/recall@20",
    }
    for tag in set(alone) - {"train/examples_per_second"}:
        assert again[tag] == alone[tag]
    for key, tag in (("loss", "train/loss"), ("recall", "validation/recall@20")):
        assert list(alone[tag].values()) == pytest.approx([entry[key] for entry in report.history])
    assert list(alone["train/loss"]) == [1, 2, 3, 4, 5, 6]


def test_a_fit_that_starts_afresh_hides_the_curves_of_the_one_before(tmp_path: Path) -> None:
    interrupted(tmp_path / "kept", (5, 1), logs=tmp_path / "logs")
    unsteady_fit(None, logs=tmp_path / "logs")
    assert list(curves(tmp_path / "logs")["train/loss"]) == [1, 2, 3, 4, 5, 6]
