"""A world in a temporary folder with an embedded server of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recommender.config.settings import Settings, load_settings
from recommender.storage import embedded


@contextmanager
def scratch_world() -> Iterator[Settings]:
    """Settings of an empty world; its server is stopped and its folder removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        base = load_settings("synthetic")
        settings = Settings(base.profile, base.profile_path, base.data, Path(folder) / "home", None)
        try:
            yield settings
        finally:
            embedded.stop(settings.postgres)
