"""How the values of features are spread over the rows of a table.

The work is DuckDB's, a few queries a table. Of categories only shares leave it, no values.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from recommender.features.definitions import Feature
from recommender.storage.duckdb_sql import quoted

BINS = 12
TRIMMED = 0.01
"""Share of the values at either end that the first and the last bin stand for."""


@dataclass(frozen=True)
class Distribution:
    """How a feature's values are spread over the rows of a snapshot."""

    missing_share: float
    shares: tuple[float, ...]
    """Of the values: in equal steps from `low` to `high`, on a log scale for a skewed feature; of categories those of
    the most frequent ones, descending. Empty where all is missing."""
    low: float | None = None
    high: float | None = None
    """The quantiles `TRIMMED` and 1 - `TRIMMED`; None for categories and for personal columns."""


def distributions_of(
    connection: duckdb.DuckDBPyConnection, relation: str, features: Sequence[Feature]
) -> tuple[int, dict[str, Distribution]]:
    """Rows of a relation, and the distribution of each of these columns of it."""
    selected = ["count(*)"]
    for feature in features:
        present = f"len({quoted(feature.name)}) > 0" if feature.kind == "categories" else _known(feature)
        selected.append(f"count(*) filter ({present})")
        if feature.kind == "numeric":
            value = _finite(feature)
            selected += [f"quantile_cont({value}, {TRIMMED})", f"quantile_cont({value}, {1 - TRIMMED})"]
    found = iter(_row(connection, f"select {', '.join(selected)} from {relation}"))
    rows = int(next(found))
    missing, ends = {}, {}
    for feature in features:
        missing[feature.name] = 1 - int(next(found)) / max(rows, 1)
        if feature.kind == "numeric":
            low, high = next(found), next(found)
            if low is not None:
                ends[feature.name] = (float(low), float(high))
    shares = _histograms(connection, relation, [feature for feature in features if feature.name in ends], ends)
    for feature in features:
        if feature.kind == "vector":
            shares[feature.name] = _histogram_of_vectors(connection, relation, feature)
        elif feature.kind != "numeric":
            shares[feature.name] = _most_frequent(connection, relation, feature)
    return rows, {
        name: Distribution(share, shares.get(name, ()), *ends.get(name, (None, None)))
        for name, share in missing.items()
    }


def _known(feature: Feature) -> str:
    return f"{_finite(feature)} is not null" if feature.kind == "numeric" else f"{quoted(feature.name)} is not null"


def _finite(feature: Feature) -> str:
    """A number, null where it isn't one: NaN and the infinities are missing to a model too."""
    name = quoted(feature.name)
    return f"(case when isfinite({name}) then {name}::double end)"


def _histograms(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    features: Sequence[Feature],
    ends: Mapping[str, tuple[float, float]],
) -> dict[str, tuple[float, ...]]:
    """Of numbers, all in one query."""
    if not features:
        return {}
    selected: list[str] = []
    parameters: list[float] = []
    for feature in features:
        value, (low, high) = _finite(feature), ends[feature.name]
        if feature.skewed:  # as models read it
            value, low, high = f"sign({value}) * ln(1 + abs({value}))", _log(low), _log(high)
        if high > low:
            selected.append(f"histogram({_bin(value)})")
            parameters += [low, high - low]
        else:
            selected.append("any_value(null)")
    counts = _row(connection, f"select {', '.join(selected)} from {relation}", parameters)
    return {feature.name: _as_shares(count or {0: 1}) for feature, count in zip(features, counts, strict=True)}


def _bin(value: str) -> str:
    """Number of the bin a value lies in; parameters: the least value and the width of all bins together."""
    place = f"least(greatest(floor(({value} - ?) / ? * {BINS}), 0), {BINS - 1})::int"
    return f"case when {value} is not null then {place} end"  # for least and greatest null is no value


def _log(value: float) -> float:
    return math.copysign(math.log1p(abs(value)), value)


def _histogram_of_vectors(connection: duckdb.DuckDBPyConnection, relation: str, feature: Feature) -> tuple[float, ...]:
    """Of all numbers of all vectors, between the bounds that hold by construction."""
    low, high = feature.low or 0.0, feature.high or 1.0
    values = f"(select unnest({quoted(feature.name)})::double as value from {relation})"
    [counts] = _row(connection, f"select histogram({_bin('value')}) from {values}", [low, high - low])
    return _as_shares(counts or {})


def _most_frequent(connection: duckdb.DuckDBPyConnection, relation: str, feature: Feature) -> tuple[float, ...]:
    """Shares of the rows with a value that have each of the most frequent ones."""
    name = quoted(feature.name)
    value = f"unnest(list_distinct({name}))" if feature.kind == "categories" else name
    present = f"len({name}) > 0" if feature.kind == "categories" else f"{name} is not null"
    counts = connection.execute(
        f"""with present as (select {value} as value from {relation} where {present})
            select count(*) / (select count(*) from {relation} where {present}) as share
            from present group by value order by share desc limit {BINS}"""
    ).fetchall()
    return tuple(float(share) for (share,) in counts)


def _as_shares(counts: Mapping[int, int]) -> tuple[float, ...]:
    total = sum(counts.values())
    return tuple(counts.get(place, 0) / total for place in range(BINS)) if total else ()


def _row(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...]:
    [row] = connection.execute(query, parameters).fetchall()
    found: tuple[Any, ...] = row
    return found
