"""Artifacts: nothing is loaded that isn't exactly what was written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recommender.errors import ArtifactError
from recommender.storage.artifacts import checksum, verify, writing


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "model-1"
    with writing(folder) as scratch:
        (scratch / "weights").write_bytes(b"1234")
        (scratch / "onnx").mkdir()
        (scratch / "onnx" / "tower").write_bytes(b"5678")
    return folder


def test_a_whole_artifact_verifies(artifact: Path) -> None:
    verify(artifact, checksum(artifact))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "weights").write_bytes(b"1235"), "weights is missing or corrupt"),
        (lambda folder: (folder / "onnx" / "tower").unlink(), "onnx/tower is missing or corrupt"),
        (lambda folder: (folder / "extra.pkl").write_bytes(b"x"), "extra.pkl was added"),
        (lambda folder: (folder / "checksums.json").write_text("{}"), "does not match the registered checksum"),
        (lambda folder: (folder / "checksums.json").unlink(), "missing or incomplete"),
    ],
)
def test_any_change_is_found(artifact: Path, damage: Callable[[Path], object], message: str) -> None:
    expected = checksum(artifact)
    damage(artifact)
    with pytest.raises(ArtifactError, match=message):
        verify(artifact, expected)


def test_a_failed_write_leaves_the_old_version(artifact: Path) -> None:
    expected = checksum(artifact)
    with pytest.raises(ZeroDivisionError), writing(artifact) as scratch:
        (scratch / "weights").write_bytes(b"new")
        raise ZeroDivisionError
    verify(artifact, expected)
    assert [path.name for path in artifact.parent.iterdir()] == ["model-1"]


def test_a_killed_write_is_cleared_by_the_next(artifact: Path) -> None:
    (artifact.parent / ".writing-model-1-dead").mkdir()
    with writing(artifact) as scratch:
        (scratch / "weights").write_bytes(b"new")
    assert [path.name for path in artifact.parent.iterdir()] == ["model-1"]
    assert (artifact / "weights").read_bytes() == b"new"
