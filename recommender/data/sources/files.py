"""Which files a source's path means: local files, folders, globs, and whatever fsspec reads."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec  # type: ignore[import-untyped]

from recommender.config.source import Format, Origin
from recommender.errors import SourceError, first_line

_MAGIC = re.compile(r"[*?\[]")
_HIDDEN = (".", "_")
"""How the names of what other programs leave in a folder begin: `_SUCCESS`, `.part-0.crc`."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    name: str
    """Path or URL, for messages."""
    format: Format
    local: Path | None
    """Where it is on this machine; None when it is elsewhere."""
    inner: str
    """Path below the folder that the source's path names up to its first `*`; tells `key=value` folders."""
    open: Callable[[], IO[bytes]]


def find_files(origin: Origin, data: Path, where: str) -> list[SourceFile]:
    """The files of an origin with a path, in the order of their names.

    Raises
    ------
    SourceError
        There is none, they are of different formats, or the place can't be reached.
    """
    path = origin.path or ""
    with reaching(path, where):
        if "://" in path and not path.startswith("file://"):
            found = _remote(path)
        else:
            found = _local(path.removeprefix("file://"), data)
    if not found:
        raise SourceError(f"no file matches {data / path if '://' not in path else _shown(path)} ({where})")
    files = []
    unknown = []
    for name, local, inner, opener in found:
        kind = origin.format_of(name) or origin.format_of(path)
        if kind is None:
            unknown.append(PurePosixPath(name).name)
        else:
            files.append(SourceFile(name, kind, local, inner, opener))
    if not files:
        raise SourceError(
            f"cannot tell the format of {', '.join(unknown[:3])} in {_shown(path)}: "
            f"say `format: csv`, `parquet` or `jsonl` ({where})"
        )
    kinds = {file.format: file.name for file in files}
    if len(kinds) > 1:
        (one, first), (other, second) = list(kinds.items())[:2]
        raise SourceError(
            f"{_shown(path)} mixes formats: {first} is {one}, {second} is {other}; "
            f"name the files of one format, such as `{path.rstrip('/').split('*')[0].rstrip('/')}/*.{one}` ({where})"
        )
    return files


@contextmanager
def reaching(path: str, where: str) -> Iterator[None]:
    """Turn what goes wrong while files are looked for or read into one line."""
    try:
        yield
    except ImportError as error:
        raise SourceError(f"cannot read {_shown(path)}: {first_line(error)} ({where})") from None
    except (OSError, EOFError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise SourceError(f"cannot read {_shown(path)}: {reason} ({where})") from None


_Found = tuple[str, Path | None, str, Callable[[], IO[bytes]]]


def _local(path: str, data: Path) -> list[_Found]:
    place = data / path
    if os.path.lexists(place) or not _MAGIC.search(path):
        base, matches = place, [place] if os.path.lexists(place) else []
    else:
        parts = Path(path).parts
        fixed = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
        base = data.joinpath(*parts[:fixed])
        matches = sorted(base.glob(str(Path(*parts[fixed:]))))
    found: list[_Found] = []
    for match in matches:
        if match.is_dir():
            inside = (file for file in sorted(match.rglob("*")) if not file.is_dir())
            members = [file for file in inside if not _hidden(file.relative_to(match).parts)]
            if not members and len(matches) == 1:
                raise ValueError("the folder holds no file")
        else:
            members = [match]
        for file in members:
            if not file.exists():
                raise ValueError(f"{file} is a link to nothing")
            inner = str(file.relative_to(base)) if file != base and file.is_relative_to(base) else file.name
            found.append((str(file), file, inner, _opener(file)))
    return list({entry[0]: entry for entry in found}.values())


def _remote(url: str) -> list[_Found]:
    system, root = fsspec.core.url_to_fs(url)
    if _MAGIC.search(root):
        names = [name for name in system.glob(root) if not system.isdir(name)]
        base = _MAGIC.split(root)[0].rpartition("/")[0]
    elif system.isdir(root):
        names = [name for name in system.find(root) if not _hidden(_below(name, root).split("/"))]
        base = root
    else:
        names = [root] if system.exists(root) else []
        base = root.rpartition("/")[0]
    return [
        (_shown(system.unstrip_protocol(name)), None, _below(name, base) or "file", _remote_opener(system, name))
        for name in sorted(names)
    ]


def _opener(file: Path) -> Callable[[], IO[bytes]]:
    return lambda: file.open("rb")


def _remote_opener(system: Any, name: str) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        stream: IO[bytes] = system.open(name, "rb")
        return stream

    return opened


def _below(name: str, base: str) -> str:
    return name.removeprefix(base).lstrip("/")


def _hidden(parts: Any) -> bool:
    return any(part.startswith(_HIDDEN) for part in parts)


def _shown(url: str) -> str:
    """Without a user and password, should a URL hold them."""
    return re.sub(r"://[^/@]*@", "://***@", url)
