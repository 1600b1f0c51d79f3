"""YAML as people mean it: only `true` and `false` are booleans (YAML 1.2), so that `on`, `no` and `NO` are text."""

import re
from pathlib import Path
from typing import Any

import yaml

from recommender.errors import ConfigError

_BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the booleans of YAML 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (a registry of the base class, replaced and not changed)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load_yaml(text: str) -> Any:
    """Parse one YAML document; raises `yaml.YAMLError`."""
    return yaml.load(text, _Loader)  # noqa: S506  (a safe loader)


def read_yaml(file: Path) -> Any:
    """Parse a file of one document.

    Raises
    ------
    ConfigError
        It is not YAML.
    """
    try:
        return load_yaml(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
