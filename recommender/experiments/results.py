"""The result table of an experiment: champion against challenger over all its days so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import psycopg
from psycopg.rows import class_row

from recommender.data.dataset import night_end
from recommender.experiments.intervals import (
    MISMATCH_BELOW,
    Arm,
    Interval,
    anytime,
    information,
    newcombe,
    ratio_p_value,
    welch,
)
from recommender.experiments.life import Experiment

Metric = Literal["conversion", "hits", "events"]
Variant = Literal["champion", "challenger"]
VARIANTS: Final[tuple[Variant, ...]] = ("champion", "challenger")
METRICS: Final[tuple[Metric, ...]] = ("conversion", "hits", "events")


@dataclass(frozen=True)
class Result:
    """One row of `reco.experiment_results`: challenger less champion, from the first day to `ds`."""

    ds: date
    metric: Metric
    champion_users: int
    challenger_users: int
    champion_mean: float
    challenger_mean: float
    difference: float
    low: float | None
    """95 % interval for one look on a day that was fixed before; None where there is too little to tell."""
    high: float | None
    p_value: float | None
    anytime_low: float | None
    """95 % interval for any number of looks."""
    anytime_high: float | None
    anytime_p_value: float | None
    information: float
    ratio_p_value: float
    mismatch: bool
    detail: str | None


_COLUMNS = """ds, metric, champion_users, challenger_users, champion_mean, challenger_mean, difference, low, high,
              p_value, anytime_low, anytime_high, anytime_p_value, information, ratio_p_value, mismatch, detail"""


def results(connection: psycopg.Connection, experiment: Experiment, ds: date | None = None) -> list[Result]:
    """The figures of a night, or of the newest that was measured, in the order of `METRICS`; empty before the first."""
    with connection.cursor(row_factory=class_row(Result)) as cursor:
        return cursor.execute(
            f"""select {_COLUMNS} from reco.experiment_results
                where experiment_id = %(id)s and ds = coalesce(%(ds)s, (
                    select max(ds) from reco.experiment_results where experiment_id = %(id)s))
                order by array_position(%(metrics)s, metric)""",
            {"id": experiment.experiment_id, "ds": ds, "metrics": list(METRICS)},
        ).fetchall()


def conclude(connection: psycopg.Connection, experiment: Experiment, ds: date) -> None:
    """Compute the figures of `ds` anew, and those of later nights that have some, which rest on its day too."""
    later = connection.execute(
        "select distinct ds from reco.experiment_results where experiment_id = %s and ds > %s order by 1",
        [experiment.experiment_id, ds],
    ).fetchall()
    for night in (ds, *(night for (night,) in later)):
        _conclude(connection, experiment, night)


def _conclude(connection: psycopg.Connection, experiment: Experiment, ds: date) -> None:
    connection.execute(
        "delete from reco.experiment_results where experiment_id = %s and ds = %s", [experiment.experiment_id, ds]
    )
    arms = _arms(connection, experiment, ds)
    users = {variant: arm.users for (variant, _), arm in arms.items()}
    if not any(users.values()):
        return
    ratio = ratio_p_value(users["challenger"], users["champion"], experiment.share)
    mismatch = ratio < MISMATCH_BELOW
    remarks = [_mismatch(experiment, users)] if mismatch else []
    if gone := _days_without_lists(connection, experiment, ds):
        remarks.append(f"the lists of {gone} {'day' if gone == 1 else 'days'} were gone: hits of then are not counted")
    detail = "; ".join(remarks) or None
    for metric in METRICS:
        challenger, champion = arms["challenger", metric], arms["champion", metric]
        known = information(challenger, champion)
        result = Result(
            ds,
            metric,
            champion.users,
            challenger.users,
            champion.mean,
            challenger.mean,
            challenger.mean - champion.mean,
            *_values(_one_look(metric, challenger, champion)),
            *_values(anytime(challenger, champion, _first_information(connection, experiment, metric, ds) or known)),
            known,
            ratio,
            mismatch,
            detail,
        )
        _store(connection, experiment, result)


def _arms(connection: psycopg.Connection, experiment: Experiment, ds: date) -> dict[tuple[Variant, Metric], Arm]:
    """By arm and metric; users without an outcome have 0."""
    exposed = connection.execute(
        "select variant, count(*) from reco.exposures where experiment_id = %s and first_at < %s group by variant",
        [experiment.experiment_id, night_end(ds)],
    ).fetchall()
    sums = connection.execute(
        """select variant, count(*), sum(events)::bigint, sum(events * events)::bigint,
                  count(*) filter (where hits > 0), coalesce(sum(hits), 0)::bigint,
                  coalesce(sum(hits * hits), 0)::bigint
           from (select variant, user_id, sum(hits)::bigint as hits, sum(events)::bigint as events
                 from reco.outcomes where experiment_id = %s and ds <= %s group by variant, user_id) person
           group by variant""",
        [experiment.experiment_id, ds],
    ).fetchall()
    users: dict[str, int] = dict(exposed)
    found = {variant: figures for variant, *figures in sums}
    arms: dict[tuple[Variant, Metric], Arm] = {}
    for variant in VARIANTS:
        active, events, event_squares, converted, hits, hit_squares = found.get(variant, (0,) * 6)
        exposed_users = users.get(variant, 0)
        arms[variant, "conversion"] = Arm.of_sums(exposed_users, converted, converted, converted)
        arms[variant, "hits"] = Arm.of_sums(exposed_users, converted, hits, hit_squares)
        arms[variant, "events"] = Arm.of_sums(exposed_users, active, events, event_squares)
    return arms


def _days_without_lists(connection: psycopg.Connection, experiment: Experiment, ds: date) -> int:
    row = connection.execute(
        "select count(distinct ds) from reco.outcomes where experiment_id = %s and ds <= %s and hits is null",
        [experiment.experiment_id, ds],
    ).fetchone()
    return 0 if row is None else int(row[0])


def _one_look(metric: Metric, challenger: Arm, champion: Arm) -> Interval | None:
    return newcombe(challenger, champion) if metric == "conversion" else welch(challenger, champion)


def _first_information(
    connection: psycopg.Connection, experiment: Experiment, metric: Metric, ds: date
) -> float | None:
    """Of the first look before `ds` that had any."""
    row = connection.execute(
        """select information from reco.experiment_results
           where experiment_id = %s and metric = %s and ds < %s and information > 0 order by ds limit 1""",
        [experiment.experiment_id, metric, ds],
    ).fetchone()
    return None if row is None else float(row[0])


def _mismatch(experiment: Experiment, users: Mapping[Variant, int]) -> str:
    challenger, total = users["challenger"], sum(users.values())
    return (
        f"{challenger:,} of {total:,} exposed users are in the challenger's arm, "
        f"{challenger / total:.1%} instead of {experiment.share:.1%}"
    )


def _values(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if interval is None else (interval.low, interval.high, interval.p_value)


def _store(connection: psycopg.Connection, experiment: Experiment, result: Result) -> None:
    values = [getattr(result, name.strip()) for name in _COLUMNS.split(",")]
    connection.execute(
        f"insert into reco.experiment_results (experiment_id, {_COLUMNS}) values (%s{', %s' * len(values)})",
        [experiment.experiment_id, *values],
    )
