"""Ids replaced in artifacts: still verified, indices unmoved, whatever moment a kill chooses."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from recommender.config.settings import Settings, load_settings
from recommender.errors import ArtifactError
from recommender.storage import artifact_ids, registry
from recommender.storage.artifact_ids import erase_from_artifacts
from recommender.storage.artifacts import checksum, verify, writing
from recommender.storage.postgres import connect

NIGHT = date(2026, 3, 1)


@pytest.fixture
def settings(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    return load_settings("synthetic")


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with connect(settings, autocommit=True) as connection:
        yield connection


@pytest.fixture
def folder(settings: Settings, connection: psycopg.Connection) -> Path:
    """A registered artifact and its refit."""
    for name in ("model-1", "model-1-full"):
        with writing(settings.artifacts / name) as scratch:
            pd.DataFrame({"user_id": ["a", "b", "c"]}).to_parquet(scratch / "user_ids.parquet", index=False)
            pd.DataFrame({"item_id": ["a", "b"]}).to_parquet(scratch / "item_ids.parquet", index=False)
            (scratch / "weights.bin").write_bytes(b"weights")
    folder = settings.artifacts / "model-1"
    full = settings.artifacts / "model-1-full"
    registry.register(connection, "model-1", "two_tower", NIGHT, folder, checksum(folder), {}, {})
    registry.record_refit(connection, "model-1", full, checksum(full))
    return folder


def verified(connection: psycopg.Connection) -> list[list[str]]:
    """The id maps of both artifacts, verified."""
    version = registry.find(connection, "model-1")
    assert version is not None
    verify(version.artifact, version.checksum)
    verify(*version.served)
    return [
        pd.read_parquet(path / "user_ids.parquet")["user_id"].tolist() for path in (version.artifact, version.served[0])
    ]


def test_an_id_becomes_a_tombstone_and_indices_stay(
    settings: Settings, connection: psycopg.Connection, folder: Path
) -> None:
    before = registry.find(connection, "model-1")
    assert erase_from_artifacts(connection, settings.artifacts, ["b", "nobody"]) == {"b": 2}
    for ids in verified(connection):
        assert (ids[0], ids[2]) == ("a", "c")
        assert ids[1].startswith("\0")
        assert pd.Index(ids).get_indexer(pd.Index(["a", "b", "c"])).tolist() == [0, -1, 2]
    after = registry.find(connection, "model-1")
    assert before is not None and after is not None
    assert after.checksum != before.checksum
    assert erase_from_artifacts(connection, settings.artifacts, ["a", "c"]) == {"a": 2, "c": 2}
    assert all(len(set(ids)) == 3 for ids in verified(connection)), "an index of ids must be unique"
    assert pd.read_parquet(folder / "item_ids.parquet")["item_id"].tolist() == ["a", "b"]


def test_an_artifact_without_the_user_is_not_touched(
    settings: Settings, connection: psycopg.Connection, folder: Path
) -> None:
    inode = folder.stat().st_ino
    assert erase_from_artifacts(connection, settings.artifacts, ["nobody"]) == {}
    assert folder.stat().st_ino == inode
    assert erase_from_artifacts(connection, settings.artifacts / "nowhere", ["a"]) == {}


@pytest.mark.parametrize("broken", ["weights.bin", "user_ids.parquet", "checksums.json"])
def test_an_artifact_that_was_tampered_with_stays_refused(
    settings: Settings, connection: psycopg.Connection, folder: Path, broken: str
) -> None:
    if broken == "user_ids.parquet":
        pd.DataFrame({"user_id": ["b", "x", "c"]}).to_parquet(folder / broken, index=False)
    else:
        (folder / broken).write_text("{}")
    erase_from_artifacts(connection, settings.artifacts, ["b"])
    assert "b" not in pd.read_parquet(folder / "user_ids.parquet")["user_id"].tolist()
    with pytest.raises(ArtifactError):
        verified(connection)


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("moment", ["linked", "prepared", "registered", "moved away", "moved in"])
def test_a_killed_run_is_finished_by_the_next(
    settings: Settings, connection: psycopg.Connection, folder: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    rename = Path.rename

    def killed_at_second(self: Path, target: Path) -> Path:
        if self.name.startswith(".erased-"):
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        match moment:
            case "linked":
                patch.setattr(artifact_ids.pq, "write_table", killed)
            case "prepared":
                patch.setattr(artifact_ids, "checksum", lambda path: killed() if path.name[0] == "." else "unknown")
            case "registered":
                patch.setattr(artifact_ids, "_swap", killed)
            case "moved away":
                patch.setattr(Path, "rename", killed_at_second)
            case _:
                patch.setattr(artifact_ids.shutil, "rmtree", killed)
        with pytest.raises(Killed):
            erase_from_artifacts(connection, settings.artifacts, ["b"])
    erase_from_artifacts(connection, settings.artifacts, ["b"])
    assert all("b" not in ids for ids in verified(connection))
    assert sorted(path.name for path in settings.artifacts.iterdir()) == ["model-1", "model-1-full"]
