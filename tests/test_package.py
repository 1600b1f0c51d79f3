"""An installed package has what the checkout has."""

import tomllib
from pathlib import Path

import recommender

ROOT = Path(recommender.__file__).parent


def test_every_file_that_is_no_module_is_packaged() -> None:
    described = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    patterns = described["tool"]["setuptools"]["package-data"]["*"]
    others = [path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert others
    assert [path for path in others if not any(path.match(pattern) for pattern in patterns)] == []
