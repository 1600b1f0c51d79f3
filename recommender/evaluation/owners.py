"""Whose examples a report shows: kept so that an erased user's can be found, and nobody's id be read.

Beside a random salt there is the salted SHA-256 of each id. Whoever has the file can test an id they know.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

FILE = "examples_of.json"
_SALT_BYTES = 16


@dataclass(frozen=True)
class Owners:
    """The users of a report's examples, in their order."""

    salt: str
    digests: tuple[str, ...] = ()

    @classmethod
    def of(cls, user_ids: Iterable[str]) -> Self:
        """With a new salt."""
        salt = secrets.token_hex(_SALT_BYTES)
        return cls(salt, tuple(_digest(salt, user_id) for user_id in user_ids))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` kept; nobody where there is no such file."""
        path = folder / FILE
        if not path.is_file():
            return cls("")
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(content["salt"], tuple(content["digests"]))

    def write(self, folder: Path) -> None:
        """Keep them where the owner of the folder alone can read them; appears by one rename."""
        scratch = folder / f".{FILE}"
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"salt": self.salt, "digests": self.digests}, file)
        scratch.replace(folder / FILE)

    def among(self, user_ids: Collection[str]) -> list[str | None]:
        """Of each example, which of these users it is of; None where of none."""
        known = {_digest(self.salt, user_id): user_id for user_id in user_ids}
        return [known.get(digest) for digest in self.digests]

    def only(self, kept: Sequence[bool]) -> Self:
        """Those of the examples that are kept."""
        return replace(self, digests=tuple(one for one, keep in zip(self.digests, kept, strict=True) if keep))


def _digest(salt: str, user_id: str) -> str:
    return hashlib.sha256((salt + user_id).encode()).hexdigest()
