"""Whose examples a report shows, without an id."""

import stat
from pathlib import Path

from recommender.evaluation.owners import Owners


def test_users_are_found_again_by_who_knows_their_ids(tmp_path: Path) -> None:
    assert Owners.read(tmp_path).among(["u1"]) == []
    Owners.of(["u1", "ü2", "u3"]).write(tmp_path)
    kept = Owners.read(tmp_path)
    assert kept.among(["ü2", "u9"]) == [None, "ü2", None]
    kept.only([True, False, True]).write(tmp_path)
    assert Owners.read(tmp_path).among(["u1", "ü2", "u3"]) == ["u1", "u3"]


def test_no_id_is_written_and_the_owner_alone_reads_the_file(tmp_path: Path) -> None:
    Owners.of(["user-anna"]).write(tmp_path)
    (path,) = tmp_path.iterdir()
    assert "anna" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_user_looks_different_in_every_report(tmp_path: Path) -> None:
    assert Owners.of(["u1"]).digests != Owners.of(["u1"]).digests


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    Owners.of(["u1"]).write(tmp_path)
    (tmp_path / ".examples_of.json").write_text("[")  # what one left behind
    assert Owners.read(tmp_path).among(["u1"]) == ["u1"]
    Owners.of(["u2"]).write(tmp_path)
    assert Owners.read(tmp_path).among(["u2"]) == ["u2"]
    assert len(list(tmp_path.iterdir())) == 1
