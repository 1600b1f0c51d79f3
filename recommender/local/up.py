"""`make up`: Airflow and its UI in the background. `make down` stops it."""

import sys

from rich.console import Console
from rich.text import Text

from recommender.config.settings import load_settings
from recommender.errors import RecommenderError
from recommender.local.airflow import LocalAirflow
from recommender.local.environment import ADMIN, password_file


def main() -> int:
    """Start Airflow unless it runs; returns the exit code."""
    console = Console(highlight=False)
    try:
        settings = load_settings()
        airflow = LocalAirflow(settings)
        if not airflow.attach():
            console.print(f"starting Airflow for profile {settings.profile.name} …")
            airflow.start()
            airflow.leave_running()
    except RecommenderError as error:
        Console(stderr=True, highlight=False).print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 2
    console.print(f"Airflow   {airflow.url}")
    console.print(f"log in    {ADMIN}, with the password in {password_file(airflow.home)}", soft_wrap=True)
    console.print('SQL       psql "$(.venv/bin/recommender db-url)"')
    console.print("stop      make down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
