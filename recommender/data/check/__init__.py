"""Look at a profile's data without taking it in: every row is read and judged, nothing is written."""

from datetime import date

from recommender.columns import ENTITY_KEYS
from recommender.config.settings import Settings
from recommender.data.check.advice import advise, problems
from recommender.data.check.events import measure_events
from recommender.data.check.report import Report
from recommender.data.check.tables import odd_ages, read_table, time_probes
from recommender.data.session import working_database
from recommender.errors import NotReadyError, SourceError
from recommender.progress import Progress, quiet

__all__ = ["Report", "check"]


def check(settings: Settings, ds: date | None = None, progress: Progress = quiet) -> Report:
    """Measure the sources as ingest would read them, and say what to change in the profile.

    Rows stream through a working database in the system's temporary folder, which is removed afterwards. A source that
    can't be read is a problem of the report, and the other tables are still measured.

    Parameters
    ----------
    ds : the night the verdict is about; when absent, the profile's start date where the events span it, else their
        last day.
    """
    profile = settings.profile
    if profile.synthetic is not None and not settings.data.is_dir():
        raise NotReadyError(
            f"profile {profile.name} makes its files on its first night: run `recommender nightly` first"
        )
    report = Report(profile=profile.name, data=str(settings.data), ds=ds)
    with working_database(profile.engine) as connection:
        known: set[str] = set()
        for table in (*ENTITY_KEYS, "events"):
            if getattr(profile, table) is None:
                continue
            progress(f"reading {table}")
            try:
                figures = read_table(connection, profile, table, settings.data, known)
            except SourceError as error:
                report.problems.append(str(error))
                continue
            known.add(table)
            report.tables.append(figures)
        report.time_probes = list(time_probes(connection, profile, report.tables))
        report.odd_ages = odd_ages(connection, profile) if "users" in known else 0
        events = report.table("events")
        if events is not None:
            progress("measuring the events")
            report.events = measure_events(connection, profile, events, ds)
    if report.events is not None:
        report.ds = report.events.split.ds
    report.problems += problems(report, profile)
    report.advice += advise(report, profile)
    return report
