"""Users taken out of artifacts' id maps. What a model learnt keeps its indices; the erased id becomes a tombstone.

The commit is the new checksum in `reco.models`. Before it the changed artifact lies beside the old one as
`.erased-<name>`, after it takes its place: a run after a kill drops or finishes what it finds.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.columns import USER_ID
from recommender.storage.artifacts import CHECKSUMS, checksum, file_sha256

_PREPARED, _REPLACED, _UNFINISHED = ".erased-", ".before-", ".writing-"
_TOMBSTONE = "\0erased "
"""No user has such an id: PostgreSQL takes no NUL. The position after it keeps ids unique."""


def erase_from_artifacts(connection: psycopg.Connection, artifacts: Path, users: Collection[str]) -> Counter[str]:
    """Replace the users' ids in every artifact; returns id map entries replaced, by user.

    Nobody may train or load a model meanwhile. An artifact that did not verify before does not verify afterwards.
    """
    _finish(connection, artifacts)
    replaced: Counter[str] = Counter()
    for folder in sorted(artifacts.glob("[!.]*")):
        changed: dict[Path, pa.Table] = {}
        for path in sorted(folder.rglob("*.parquet")):
            if USER_ID not in pq.read_schema(path).names:
                continue
            table = pq.ParquetFile(path).read()
            hit = pc.is_in(table[USER_ID], value_set=pa.array(sorted(users), table.schema.field(USER_ID).type))
            if not pc.any(hit).as_py():
                continue
            replaced.update(table[USER_ID].filter(hit).to_pylist())
            changed[path.relative_to(folder)] = _with_tombstones(table, hit)
        if changed:
            _replace(connection, folder, changed)
    return replaced


def _with_tombstones(table: pa.Table, hit: pa.ChunkedArray) -> pa.Table:
    field = table.schema.field(USER_ID)
    tombstones = pa.array([f"{_TOMBSTONE}{position}" for position in range(table.num_rows)], field.type)
    return table.set_column(table.schema.names.index(USER_ID), field, pc.if_else(hit, tombstones, table[USER_ID]))


def _replace(connection: psycopg.Connection, folder: Path, changed: dict[Path, pa.Table]) -> None:
    prepared = folder.with_name(_PREPARED + folder.name)
    # without the checksums: as long as it has none of its own, a killed run's copy is no artifact
    shutil.copytree(folder, prepared, copy_function=os.link, ignore=lambda _, names: {CHECKSUMS} & {*names})
    old = checksum(folder)
    sums: dict[str, str] = json.loads((folder / CHECKSUMS).read_text())
    for name, table in changed.items():
        (prepared / name).unlink()  # a link: the original must not change
        pq.write_table(table, prepared / name, compression="zstd")
        if file_sha256(folder / name) == sums.get(name.as_posix()):
            sums[name.as_posix()] = file_sha256(prepared / name)
    (prepared / CHECKSUMS).write_text(json.dumps(sums, indent=1, sort_keys=True))
    for path in (*(prepared / name for name in changed), prepared / CHECKSUMS):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    new = checksum(prepared)
    with connection.transaction():
        connection.execute(
            "update reco.models set checksum = %s where artifact = %s and checksum = %s", [new, str(folder), old]
        )
        connection.execute(
            "update reco.models set serving_checksum = %s where serving_artifact = %s and serving_checksum = %s",
            [new, str(folder), old],
        )
    _swap(prepared, folder)


def _swap(prepared: Path, folder: Path) -> None:
    before = folder.with_name(_REPLACED + folder.name)
    if folder.exists():
        folder.rename(before)
    prepared.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


def _finish(connection: psycopg.Connection, artifacts: Path) -> None:
    """Bring what killed processes left to an end."""
    for unfinished in artifacts.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(unfinished)
    rows = connection.execute("select checksum, serving_checksum from reco.models").fetchall()
    registered = {value for row in rows for value in row if value is not None}
    for prepared in artifacts.glob(f"{_PREPARED}*"):
        folder = prepared.with_name(prepared.name.removeprefix(_PREPARED))
        if not folder.exists() or ((prepared / CHECKSUMS).is_file() and checksum(prepared) in registered):
            _swap(prepared, folder)
        else:
            shutil.rmtree(prepared)
    for before in artifacts.glob(f"{_REPLACED}*"):
        shutil.rmtree(before)
