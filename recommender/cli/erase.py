"""The command that erases a user."""

from typing import Annotated

import typer

from recommender.cli.console import ProfileOption, app, expected_failures, out, progress, world_of


@app.command(rich_help_panel="Data")
@expected_failures
def erase(
    user: Annotated[
        str | None, typer.Argument(help="The user's id. Without it: everybody who waits in reco.erasure_requests.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Remove a user everywhere, for good, and keep them out of every later night."""
    settings = world_of(profile)
    if user is not None and not yes:
        typer.confirm(f"Erase this user from {settings.world} for good?", abort=True)
    from recommender import pipeline

    erasure = pipeline.erase(settings, [] if user is None else [user], progress)
    out.print(f"[green]✓[/] {erasure.summary}", highlight=False, soft_wrap=True)
    if erasure.users:
        out.print(
            "  The source files are yours and stay as they are: nights leave those rows out. "
            "Backups are not reached either.",
            highlight=False,
            soft_wrap=True,
        )
