"""Model artifacts: one folder a version, written beside its final place, checksummed, verified before every load."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recommender.errors import ArtifactError

CHECKSUMS = "checksums.json"


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder that becomes `folder`, checksummed, when the block ends without an error.

    A killed process leaves only a `.writing-*` folder, which the next write of the same version removes.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".writing-{folder.name}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = folder.parent / f".writing-{folder.name}-{uuid.uuid4().hex[:8]}"
    scratch.mkdir()
    try:
        yield scratch
        sums = {path.relative_to(scratch).as_posix(): file_sha256(path) for path in _files(scratch)}
        (scratch / CHECKSUMS).write_text(json.dumps(sums, indent=1, sort_keys=True))
        for path in _files(scratch):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def checksum(folder: Path) -> str:
    """The version's own checksum: SHA-256 of its list of file checksums."""
    return file_sha256(folder / CHECKSUMS)


def verify(folder: Path, expected: str) -> None:
    """Check every file of an artifact.

    Raises
    ------
    ArtifactError
        A file is missing, changed, or unlisted, or the list itself is not the one that was registered.
    """
    manifest = folder / CHECKSUMS
    if not manifest.is_file():
        raise ArtifactError(f"artifact {folder} is missing or incomplete: train the night again")
    if checksum(folder) != expected:
        raise ArtifactError(
            f"{manifest} does not match the registered checksum: the artifact was changed after training"
        )
    sums: dict[str, str] = json.loads(manifest.read_text())
    present = {path.relative_to(folder).as_posix() for path in _files(folder)} - {CHECKSUMS}
    for name in sorted(present | sums.keys()):
        if name not in sums:
            raise ArtifactError(f"{folder / name} was added after training: remove it or train the night again")
        if name not in present or file_sha256(folder / name) != sums[name]:
            raise ArtifactError(f"{folder / name} is missing or corrupt: train the night again")


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
