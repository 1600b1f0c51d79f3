"""Print, one a line, the options that make uv look for packages where this machine's pip looks.

uv doesn't read pip's configuration. A local folder that no longer exists is left out, as pip does, with a warning.
"""

import ast
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

OPTIONS = {"index-url": "--default-index", "extra-index-url": "--index", "find-links": "--find-links"}


def main() -> None:
    for option, places in pip_configuration().items():
        for place in places.split():
            path = local_path(place)
            if path is not None and not path.exists():
                sys.stderr.write(f"setup: pip's {option} {place} does not exist, left out\n")
            else:
                sys.stdout.write(f"{OPTIONS[option]}\n{place}\n")


def pip_configuration() -> dict[str, str]:
    """What pip itself says; `[install]` overrides `[global]`, and PIP_… variables override both."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603
    found: dict[str, str] = {}
    for scope in ("global.", "install.", ":env:."):
        for line in lines:
            key, _, value = line.partition("=")
            name = key.removeprefix(scope)
            if key.startswith(scope) and name in OPTIONS:
                found[name] = str(ast.literal_eval(value))
    return found


def local_path(place: str) -> Path | None:
    """The folder or file a place names on this machine; None for a remote one."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(place).expanduser()


if __name__ == "__main__":
    main()
