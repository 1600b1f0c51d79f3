"""A working database for the tests of sources."""

from pathlib import Path

import pytest

from recommender.config.profile import Engine
from recommender.data.session import working_database


@pytest.fixture
def connection(tmp_path: Path):
    with working_database(Engine(threads=2), tmp_path / "scratch") as opened:
        yield opened
