"""The state of an interrupted fit on disk: whole or not there, checked before use, nothing pickled."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recommender.errors import ArtifactError
from recommender.progress import Progress
from recommender.storage.artifacts import checksum, verify, writing

TENSORS, CONTENT = "state.safetensors", "state.json"
KEPT = 2
"""The last one and, should it turn out torn, the one before."""
ASIDE = "torn"
NAME = r"\d{5}-\d{8}"


@dataclass(frozen=True)
class Checkpoint:
    """Where a fit was."""

    name: str
    tensors: dict[str, Tensor]
    content: dict[str, Any]


class Checkpoints:
    """A folder with the last checkpoints of one fit; each is a folder of its own with a list of checksums.

    Parameters
    ----------
    folder
        None: nothing is kept and nothing is found.
    identity
        Tells fits apart: what another one left is not used, and removed by the first checkpoint of this one.
    minutes
        Longest time between two within an epoch.
    """

    def __init__(self, folder: Path | None, identity: str, minutes: float, progress: Progress) -> None:
        self.folder = folder
        self._identity, self._seconds, self._progress = identity, 60 * minutes, progress
        self._own: list[Path] = []
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        return self.folder is not None and time.monotonic() - self._written >= self._seconds

    def latest(self) -> Checkpoint | None:
        """The last whole one of this fit; torn ones are put aside and said."""
        for path in sorted(self._all(), reverse=True):
            found = self._read(path)
            if found is not None:
                if found.content["identity"] != self._identity:
                    self._progress(f"{path} is of another fit, by its configuration or data: starting afresh")
                    return None
                return found
        return None

    def read(self, name: str) -> Checkpoint:
        """One of which is known that it is whole."""
        path = self._folder() / name
        return Checkpoint(name, load_file(path / TENSORS), json.loads((path / CONTENT).read_text(encoding="utf-8")))

    def save(self, name: str, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> None:
        """Write one; names ascend. Those before the last are removed once it is there."""
        if self.folder is None:
            return
        with writing(self.folder / name) as scratch:
            # a copy of each: tied weights share their memory, and safetensors would refuse them
            save_file({key: value.detach().cpu().clone() for key, value in tensors.items()}, scratch / TENSORS)
            text = json.dumps({"identity": self._identity, **content})
            (scratch / CONTENT).write_text(text, encoding="utf-8")
        _sync(self.folder)
        path = self.folder / name
        self._own = [*(own for own in self._own if own != path), path][-KEPT:]
        for other in [*self._all(), *self.folder.glob(".writing-*")]:  # a fit of a part may have its folder in here
            if other not in self._own:
                shutil.rmtree(other, ignore_errors=True)
        self._written = time.monotonic()

    def go_on_from(self, name: str) -> None:
        """Keep this one, which `latest` found, and what came before it."""
        self._own = sorted(path for path in self._all() if path.name <= name)[-KEPT:]

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            if not (path / CONTENT).is_file():
                raise ArtifactError(f"{path} is incomplete")
            verify(path, checksum(path))
            return self.read(path.name)
        except (ArtifactError, OSError, ValueError) as error:
            aside = path.with_name(f"{ASIDE}-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
            self._progress(f"a checkpoint is put aside as {aside}: {error}")
            return None

    def _all(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return [path for path in self.folder.iterdir() if re.fullmatch(NAME, path.name)]

    def _folder(self) -> Path:
        if self.folder is None:
            raise ArtifactError("this fit keeps no checkpoints")
        return self.folder


def discard(folder: Path | None) -> None:
    """Remove a fit's checkpoints: the model is saved."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def identity(module: nn.Module, *what: object) -> str:
    """Hash of a module's values as they are and of anything that JSON can say."""
    digest = hashlib.sha256(json.dumps([torch.__version__, *what], sort_keys=True).encode())
    for name, value in module.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    """Make the folder's list of names outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
