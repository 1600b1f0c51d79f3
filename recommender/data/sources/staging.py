"""Text files made readable for DuckDB: unpacked and checked, UTF-8, one kind of line ending.

A local file that is so already is read where it stands; anything else is copied to the engine's temporary folder,
block by block.
"""

import codecs
import gzip
import json
import re
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from recommender.config.source import COMPRESSIONS, Origin
from recommender.data.sources.files import SourceFile, reaching
from recommender.errors import SourceError

_BLOCK = 1 << 24
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GLOB = re.compile(r"[*?\[\]]")
"""What DuckDB takes as a pattern even where it is a file's name."""
_ANOTHER_ENCODING = 0.001
"""Share of undecodable lines from which a file is in another encoding rather than damaged."""


@dataclass(frozen=True)
class ReadableFile:
    """A file that DuckDB can read."""

    name: str
    """Path or URL, for messages."""
    inner: str
    """Its name below the source's folder, for reasons that are kept with rows."""
    path: Path
    undecodable: Path | None = None
    """JSON lines {line, raw} with what had to be left out."""


def stage(file: SourceFile, origin: Origin, folder: Path, where: str) -> ReadableFile:
    """A readable form of a file; `folder` is made when a copy is needed.

    Raises
    ------
    SourceError
        The file can't be read, is packed and damaged, or is in another encoding than declared.
    """
    copy = folder.joinpath(*(_GLOB.sub("_", part) for part in file.inner.split("/")))
    is_text = file.format != "parquet"
    packed = is_text and file.name.lower().endswith(COMPRESSIONS)
    recoded = is_text and origin.encoding != "utf-8"
    path = file.local
    with reaching(file.name, where):
        if path is None or packed or recoded or _GLOB.search(str(path)):
            copy.parent.mkdir(parents=True, exist_ok=True)
            with file.open() as stream, copy.open("wb") as out:
                unpacked = _unpacked(stream, file.name) if packed else stream
                if recoded:
                    _recode(unpacked, out, origin.encoding, file.name, where)
                else:
                    shutil.copyfileobj(unpacked, out, _BLOCK)
            path = copy
        if not is_text:
            return ReadableFile(file.name, file.inner, path)
        cleaned, undecodable = _clean(file.name, path, copy, where)
        return ReadableFile(file.name, file.inner, cleaned, undecodable)


def _unpacked(stream: IO[bytes], name: str) -> Any:
    if name.lower().endswith(".gz"):
        return _Gzip(fileobj=stream)
    return pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")


class _Gzip(gzip.GzipFile):
    """Says of damaged data what it says of a damaged frame."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except zlib.error as error:
            raise gzip.BadGzipFile(f"damaged gzip data: {error}") from None


def _recode(stream: Any, out: IO[bytes], encoding: str, name: str, where: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    first = True
    while True:
        block = stream.read(_BLOCK)
        if first and encoding == "utf-16" and block and block[:2] not in _UTF_16_MARKS and b"\0" not in block:
            raise SourceError(f"{name} is not {encoding}: leave `encoding` out, or name the right one ({where})")
        first = False
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise SourceError(f"{name} is not {encoding}: {error.reason}; change its `encoding` ({where})") from None
        out.write(text.encode("utf-8", "replace"))
        if not block:
            return


def _clean(name: str, path: Path, copy: Path, where: str) -> tuple[Path, Path | None]:
    """The file, or a copy in UTF-8 with equal line endings, and where the lines are that are not UTF-8."""
    with path.open("rb") as stream:
        if stream.read(2) in _UTF_16_MARKS:
            raise SourceError(f"{name} is utf-16: say `encoding: utf-16` ({where})")
    if _is_plain(path):
        return path, None
    copy.parent.mkdir(parents=True, exist_ok=True)
    cleaned, undecodable = copy.with_name(f"clean {copy.name}"), copy.with_name(f"undecodable {copy.name}")
    lines = bad = accented = first_bad = 0
    with path.open("rb") as stream, cleaned.open("wb") as out, undecodable.open("w") as aside:
        while block := stream.readlines(_BLOCK):
            if not _is_utf8(b"".join(block)):
                for place, line in enumerate(block):
                    if not _is_utf8(line):
                        bad += 1
                        number = lines + place + 1
                        first_bad = first_bad or number
                        raw = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
                        aside.write(json.dumps({"line": number, "raw": raw}) + "\n")
                        block[place] = b"\n"  # keeps the numbers of the lines after it
            accented += sum(not line.isascii() for line in block)
            lines += len(block)
            out.write(b"".join(block).replace(b"\r\n", b"\n").replace(b"\r", b" "))
    if bad > accented and bad >= _ANOTHER_ENCODING * lines:
        raise SourceError(
            f"{name} line {first_bad} is not utf-8, nor are {bad:,} lines in all: say `encoding: latin-1`, "
            f"or what it is ({where})"
        )
    if path == copy:
        copy.unlink()
    return cleaned, undecodable if bad else None


def _is_plain(path: Path) -> bool:
    """Whether all is UTF-8 and all lines end alike; a carriage return within a line makes them differ."""
    returns = pairs = feeds = 0
    rest = b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            while block.endswith(b"\r") and (more := stream.read(1)):
                block += more
            feeds += block.count(b"\n") if returns or b"\r" in block else b"\n" in block
            returns += block.count(b"\r")
            pairs += block.count(b"\r\n") if returns else 0
            text = rest + block
            cut = _last_character(text)
            if not _is_utf8(text[:cut]):
                return False
            rest = text[cut:]
    return not rest and (returns == 0 or feeds == 0 or returns == pairs == feeds)


def _last_character(text: bytes) -> int:
    """Where the last character begins when it isn't complete, else the end."""
    for back in range(1, min(4, len(text)) + 1):
        byte = text[-back]
        if byte & 0xC0 == 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(text) - back if length > back else len(text)
        if byte < 0x80:
            break
    return len(text)


def _is_utf8(text: bytes) -> bool:
    """As fast as memory; `bytes.decode` is not."""
    ends = pa.py_buffer(b"\0\0\0\0" + len(text).to_bytes(4, "little"))
    try:
        pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(text)]).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True
