"""The `recommender` command: thin over the pipeline's stages and the SQL look-ups."""

from recommender.cli import answers, nights
from recommender.cli.console import app

__all__ = ["answers", "app", "nights"]
