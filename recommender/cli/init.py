"""`recommender init`: a profile drafted from the files themselves."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from recommender.cli.console import app, expected_failures, out, print_table, progress
from recommender.errors import ConfigError


@app.command(rich_help_panel="Data")
@expected_failures
def init(
    data: Annotated[Path, typer.Argument(help="The folder of your files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the profile.")] = Path("profile.yaml"),
    name: Annotated[str | None, typer.Option("--name", help="The profile's name; the folder's when absent.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Look at a folder's files and draft a profile that reads them; every guess says why."""
    if output.exists() and not force:
        raise ConfigError(f"{output} exists: give another --output, or --force to replace it")
    from recommender.data.draft import draft

    found = draft(data.absolute(), name, datetime.now(UTC).date(), progress)
    try:
        output.write_text(found.text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}") from None
    print_table("", ("file", "taken for", "why"), list(found.found))
    command = shlex.join(["recommender", "check", "--profile", str(output), "--data", str(data)])
    out.print(Text(f"\nwrote {output}; look through it, then: {command}"), soft_wrap=True)
