"""Lists of a part of the users, ranked and kept on disk until all parts are published.

A shard is a folder that appears by one rename, checksummed; it holds positions in the edition's data set and no id.
Whoever publishes takes the shards that are there and ranks the others.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recommender.errors import ArtifactError
from recommender.models.explaining.reasons import Codes
from recommender.publishing.content import PERSONAL
from recommender.retrieval.exact import TopK
from recommender.storage.artifacts import checksum, verify, writing

_TOLD = "told.json"


@dataclass(frozen=True, eq=False)
class Ranked:
    """Lists of one shard's users; arrays read from disk are mapped into memory, not read whole."""

    users: npt.NDArray[np.int64]
    """(n,) ascending positions in the data set, of those who have a list."""
    top: TopK
    source: str = PERSONAL
    """What readers are told: `popular` where everybody gets the same list but for what they have seen."""
    reasons: Codes | None = None
    texts: tuple[str, ...] = ()
    """Sentence `n` has code `n + 1` in `reasons`."""
    vectors: npt.NDArray[np.float32] | None = None
    """(n, d) of the users, where the publication keeps them."""

    def save(self, folder: Path) -> None:
        """Write the shard, or leave nothing."""
        arrays: dict[str, npt.NDArray[Any] | None] = {
            "users": self.users,
            "items": self.top.items,
            "scores": self.top.scores,
            "reasons": self.reasons,
            "vectors": self.vectors,
        }
        with writing(folder) as scratch:
            for name, array in arrays.items():
                if array is not None:
                    np.save(scratch / f"{name}.npy", array, allow_pickle=False)
            (scratch / _TOLD).write_text(json.dumps({"source": self.source, "texts": self.texts}), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The shard of a folder.

        Raises
        ------
        ArtifactError
            There is none, or it is damaged.
        """
        if not folder.is_dir():
            raise ArtifactError(f"{folder} is missing: rank the night again")
        verify(folder, checksum(folder))

        def array(name: str) -> npt.NDArray[Any] | None:
            file = folder / f"{name}.npy"
            return np.load(file, mmap_mode="r", allow_pickle=False) if file.exists() else None

        top = TopK(np.load(folder / "items.npy", mmap_mode="r"), np.load(folder / "scores.npy", mmap_mode="r"))
        told = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
        users, texts = np.load(folder / "users.npy"), tuple(told["texts"])
        return cls(users, top, told["source"], array("reasons"), texts, array("vectors"))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The shard of a folder; None where there is none, or it is damaged and has to be ranked again."""
        try:
            return cls.open(folder)
        except (ArtifactError, OSError, ValueError):  # the last: no JSON, or no array
            return None


def forget(folder: Path, ds: date) -> None:
    """Remove what was ranked for the night and for those before it."""
    for night in folder.glob("ds=*"):
        if night.name <= f"ds={ds}":
            shutil.rmtree(night, ignore_errors=True)


def shard_of(users: npt.NDArray[np.int64], shard: int, shards: int) -> npt.NDArray[np.int64]:
    """The users of one of `shards` parts, the first is 0: as many in each, but for one."""
    part: npt.NDArray[np.int64] = np.array_split(users, shards)[shard]
    return part
