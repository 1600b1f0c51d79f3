"""The files of a folder, grouped into tables: what can be read, how, and how it is laid out."""

import codecs
import glob
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from recommender.config.source import COMPRESSIONS, Format, Origin
from recommender.data.draft.json_lines import json_relation, structure_of, value_names
from recommender.storage.duckdb_sql import column_types, literal, one_line, paths

_TEXT_ENDINGS = (".csv", ".tsv", ".dat", ".txt", ".tab", ".data", ".base", "")
_SNIFFED_ROWS = 10_000
_CHUNK = 1 << 20
_MOST_DECODED = 256 << 20
"""Bytes of a file that are tried as UTF-8."""
_MOST_ZEROS = 0.001
"""Share of zero bytes in a text that has some by mistake."""
_SEVERAL_BYTES = "::"
"""A delimiter that files of ratings have and no sniffer knows."""
_HEADER_WORDS = re.compile(r"id$|user|item|time|date|name|title|^ts$", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How to read a file."""

    format: Format
    columns: tuple[str, ...]
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    encoding: str = "utf-8"
    structure: str = ""
    """Of JSON lines: the keys of its objects."""


@dataclass
class Table:
    """Files of one layout."""

    files: list[Path]
    path: str
    """Relative to the data folder; `*` where there are several files."""
    layout: Layout
    stem: str
    """The path in plain letters, for names of joins."""
    relation: str = field(default="")
    """The table in the working database that holds its first rows."""
    rows: int = 0

    @property
    def declares_format(self) -> bool:
        """Whether the file's ending says nothing about its format."""
        name = self.path.rsplit("/", 1)[-1]
        return Origin.model_construct(path=self.path, format=None).format_of(name) is None


@dataclass(frozen=True)
class Unread:
    """A file that is no table, and why."""

    path: str
    reason: str


def find_tables(connection: duckdb.DuckDBPyConnection, data: Path) -> tuple[list[Table], list[Unread]]:
    """Group the readable files under `data` into tables; the rest with the reason why they are none."""
    layouts: dict[Path, Layout] = {}
    unread = []
    for shown in sorted(glob.glob("**", root_dir=data, recursive=True)):  # noqa: PTH207, it follows links to folders
        file = data / shown
        if not file.is_file() or any(part.startswith("_") for part in Path(shown).parts):
            continue
        found = _layout(connection, file)
        if isinstance(found, Layout):
            layouts[file] = found
        else:
            unread.append(Unread(shown, found))
    groups: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for file, layout in layouts.items():
        folders = file.relative_to(data).parts[:-1]
        alike = layout.header and bool(folders)  # a folder of files with one header is one table, whatever their names
        name = "" if alike else _without_digits(file.name)
        groups[tuple(map(_without_value, folders)), name, _ending(file.name), layout].append(file)
    tables = []
    for files in groups.values():
        together = set(data.glob(_pattern(files, data))) == set(files)
        for members in [files] if together else [[file] for file in files]:
            path = _pattern(members, data)
            tables.append(Table(members, path, layouts[members[0]], _plain(path)))
    return sorted(tables, key=lambda table: table.path), unread


def reader(table: Table) -> str:
    """SQL that reads a table as the source has it: text for text files, native types for Parquet."""
    files = paths(table.files)
    layout = table.layout
    if layout.format == "parquet":
        return f"read_parquet({files}, union_by_name = true, hive_partitioning = true)"
    if layout.format == "jsonl":
        return json_relation(table.files, layout.structure)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in layout.columns)
    return (
        f"read_csv({files}, columns = {{{columns}}}, header = {str(layout.header).lower()}, auto_detect = false, "
        f"delim = {literal(layout.delimiter)}, quote = {literal(layout.quote)}, escape = {literal(layout.quote)}, "
        f"encoding = '{layout.encoding}', ignore_errors = true, null_padding = true, strict_mode = false)"
    )


def _layout(connection: duckdb.DuckDBPyConnection, file: Path) -> Layout | str:
    """How to read a file, or why it can't be."""
    if file.stat().st_size == 0:
        return "empty"
    name = file.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    ending = Path(name).suffix
    try:
        if ending == ".parquet":
            return Layout("parquet", _names(connection, f"read_parquet({literal(str(file))})"))
        if ending in (".jsonl", ".ndjson", ".json"):
            structure = structure_of(connection, file)
            if structure is None:
                return "no JSON object a line"
            return Layout("jsonl", value_names(structure), structure=structure)
        if ending in _TEXT_ENDINGS:
            return _text_layout(connection, file)
    except (duckdb.Error, OSError) as error:
        return one_line(error)[:100]
    return f"{ending} is no form of table that can be read"


def _names(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[str, ...]:
    return tuple(column_types(connection, relation))


def _text_layout(connection: duckdb.DuckDBPyConnection, file: Path) -> Layout | str:
    encoding = _encoding(file)
    if encoding is None:
        return "not text"
    several = f", delim = '{_SEVERAL_BYTES}'" if _SEVERAL_BYTES in _first_line(file, encoding) else ""
    try:
        row = connection.execute(
            f"select delimiter, quote, hasheader, columns from sniff_csv({literal(str(file))}, "
            f"sample_size = {_SNIFFED_ROWS}, encoding = '{encoding}', ignore_errors = true{several})"
        ).fetchone()
    except duckdb.Error:
        return "no rows of columns"
    if row is None or len(row[3]) < 2:
        return "one column only, or rows of different lengths"
    delimiter, quote, header, columns = row
    names = tuple(column["name"] for column in columns)
    if not header:
        first = [value.strip(' "') for value in _first_line(file, encoding).rstrip("\r\n").split(delimiter)]
        header = len(set(first)) == len(names) and sum(bool(_HEADER_WORDS.search(value)) for value in first) > 1
        names = tuple(first) if header else names
    return Layout(
        "csv", names, delimiter, quote if quote and quote != "(empty)" else _quote(delimiter), bool(header), encoding
    )


def _quote(delimiter: str) -> str:
    """Where the sniffer met no quotes: files of tabs rarely have quotes, and `5" single` is none."""
    return "" if delimiter in ("\t", _SEVERAL_BYTES) else '"'


def _chunks(file: Path) -> Iterator[bytes]:
    with pa.input_stream(str(file), compression="detect") as stream:
        left = _MOST_DECODED
        while left > 0 and (chunk := stream.read(_CHUNK)):
            left -= len(chunk)
            yield chunk


def _encoding(file: Path) -> str | None:
    """utf-8 when all of the file is, utf-16 by its mark, else latin-1; None for what is no text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    encoding = "utf-8"
    for number, chunk in enumerate(_chunks(file)):
        if number == 0 and chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        if chunk.count(b"\0") > _MOST_ZEROS * len(chunk):
            return None
        if encoding == "utf-8":
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                encoding = "latin-1"
    return encoding


def _first_line(file: Path, encoding: str) -> str:
    first = next(_chunks(file), b"")
    return first.decode(encoding, errors="replace").lstrip("\ufeff").split("\n", 1)[0]


def _pattern(files: list[Path], data: Path) -> str:
    """One path for all the files, with `*` where they differ."""
    parts = [file.relative_to(data).parts for file in files]
    return "/".join(_shared(column) for column in zip(*parts, strict=True))


def _shared(names: Iterable[str]) -> str:
    different = sorted(set(names))
    if len(different) == 1:
        return different[0]
    first, last = different[0], different[-1]
    alike = next((n for n, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    start = first[:alike].rstrip("0123456789-_.")
    endings = {_ending(name) for name in different}
    return f"{start}*{endings.pop() if len(endings) == 1 else ''}"


def _ending(name: str) -> str:
    """`.csv.gz` of `a.csv.gz`, `.csv` of `a.csv`."""
    path = Path(name)
    return "".join(path.suffixes[-2:]) if path.suffix in COMPRESSIONS else path.suffix


def _without_digits(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _without_value(folder: str) -> str:
    """`year=2020` groups with `year=2021`, and `2020` with `2021`."""
    return _without_digits(re.sub(r"=.*", "=", folder))


def _plain(path: str) -> str:
    """`events/*.parquet` is called events, `user_artists.dat.gz` user_artists."""
    name = path.rsplit("/", 1)
    stem = name[-1].split(".", 1)[0]
    if "*" in stem and len(name) > 1:
        stem = name[0].split("/")[0]
    text = re.sub(r"[^a-z0-9]+", "_", stem.replace("*", "").lower()).strip("_") or "side"
    return text if text[0].isalpha() else f"t_{text}"
