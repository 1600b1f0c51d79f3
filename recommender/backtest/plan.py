"""Which nights a backtest runs, and whether the data can answer for them."""

from dataclasses import dataclass
from datetime import date, timedelta

from recommender.columns import TS
from recommender.config.profile import Profile
from recommender.config.settings import Settings, nights
from recommender.data.judgement import LATEST_EVENT, OLDEST_EVENT
from recommender.data.session import working_database
from recommender.data.sources import open_source
from recommender.data.split import Split
from recommender.data.synthetic import ensure_world, is_somebodys
from recommender.errors import ConfigError, NotReadyError, SourceError
from recommender.progress import Progress


@dataclass(frozen=True)
class Plan:
    """Every `every`-th night from `first` on, up to `last`."""

    first: date
    last: date
    every: int
    """Days from one night to the next; what happened in between is taken in by the next one."""
    days: int
    """Each decision is judged on what people chose in so many days after its night."""

    @property
    def nights(self) -> list[date]:
        return nights(self.first, self.last)[:: self.every]

    def judged_to(self, ds: date, span: "Span") -> date:
        """The last day a night's decision is judged on: fewer than `days` after it where the data end."""
        return min(ds + timedelta(days=self.days), span.last)


@dataclass(frozen=True)
class Span:
    """The days of the source's first and last event."""

    first: date
    last: date


def data_span(settings: Settings, progress: Progress) -> Span:
    """Look at the times of all events in the source; a generated world is made first where it is missing.

    Raises
    ------
    SourceError
        There is no event with a plausible time.
    """
    if settings.profile.synthetic is not None and not is_somebodys(settings.data):
        ensure_world(settings.profile.synthetic, settings.data, progress)
    with working_database(settings.profile.engine) as reader:
        reader.execute("set enable_progress_bar = false")
        open_source(reader, settings.profile, "events", settings.data)
        row = reader.execute(
            f"select min({TS})::date, max({TS})::date from events where {TS} >= '{OLDEST_EVENT}' and {TS} < ?",
            [LATEST_EVENT],
        ).fetchone()
    if row is None or row[0] is None:
        raise SourceError(f"{settings.profile.events.place} in {settings.data} has no event with a time")
    return Span(*row)


def require_answerable(plan: Plan, profile: Profile, span: Span) -> None:
    """Refuse nights on which nothing could be trained, or after which nothing is known.

    Raises
    ------
    ConfigError
        The nights end before they begin, or begin before there is anything to learn from.
    NotReadyError
        The source has nothing later than the last night.
    """
    if plan.last < plan.first:
        raise ConfigError(f"--to {plan.last} lies before --from {plan.first}")
    if plan.first < span.first:
        raise ConfigError(f"--from {plan.first} lies before the data begin: the first event is of {span.first}")
    kept_back = plan.first - Split.of(profile, plan.first).trained_to
    if plan.first - kept_back < span.first:
        raise ConfigError(
            f"--from {plan.first} leaves nothing to learn from: the first event is of {span.first}, and a night's "
            f"training stops {kept_back.days} days before it; the earliest is {span.first + kept_back}"
        )
    if plan.nights[-1] >= span.last:
        raise NotReadyError(
            f"nothing later is known to judge the night {plan.nights[-1]} on: the last event is of {span.last}"
        )
