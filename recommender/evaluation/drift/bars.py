"""One column, then and now, cut into the same few bars.

Numbers are cut at quantiles of both tables together, so that without drift all bars are alike and no transform of the
scale matters; numbers of few different values and categories have a bar for each common value and one for the rest.
What is missing is a bar of its own. A bar needs enough rows of both tables together; what has fewer is left out.

The population stability index (PSI) sums (p - q) ln(p / q) over the bars' shares: 0 for equal distributions, above 0.1
for a moderate shift, above 0.25 for a large one (Siddiqi, Credit Risk Scorecards, 2006). Two samples of one table
differ by chance too: their PSI has (1/n + 1/m) times a chi-square distribution with one degree of freedom less than
there are bars (Yurdakul, Statistical Properties of the Population Stability Index, 2018).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2

LEAST_ROWS = 30
"""Fewer known values than this say nothing about a distribution."""
BAR_ROWS = 30
"""Rows of both tables that a bar needs: that one side has none is then no chance, and a named value no secret."""
MOST_BARS = 10
"""Beside those for the rest and for what is missing."""
CHANCE = 0.01
"""How often two samples of one table may have a larger PSI than chance is said to explain."""
LEAST_DIGITS, MOST_DIGITS = 3, 18
"""Of a number in a label."""
MISSING, OTHER, KNOWN = "(missing)", "(other)", "(known)"

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Column:
    """What is compared: the values of one column in both tables."""

    name: str
    reference: pd.Series
    current: pd.Series
    rows: tuple[int, int]
    """Independent rows of both: entities, or users of whom each may have several values."""
    numeric: bool
    personal: bool = False
    """True numbers the bars: nobody learns a value."""


@dataclass(frozen=True, eq=False)
class Bars:
    """A column cut into bars."""

    name: str
    labels: list[str]
    reference: Codes
    """(values,) which bar each value of the reference falls into; -1: none."""
    current: Codes
    chance: float
    """PSI that two samples of one table exceed one time in a hundred."""

    @property
    def shares(self) -> tuple[list[float], list[float]]:
        """Of the values that fall into any bar, the share of each bar: in the reference, and now."""
        counts = [
            np.bincount(codes[codes >= 0], minlength=len(self.labels)) for codes in (self.reference, self.current)
        ]
        before, now = ((count / max(1, count.sum())).tolist() for count in counts)
        return before, now


def cut(column: Column) -> Bars:
    """The bars of a column; none where a table has too few rows to say anything."""
    values = pd.concat([column.reference, column.current], ignore_index=True)
    known, first = values.notna().to_numpy(), len(column.reference)
    if min(column.rows) < LEAST_ROWS:
        return _uncut(column)
    codes, labels = _known_bars(values, known, first, column.numeric)
    if column.personal:
        labels = [label if label in (OTHER, KNOWN) else f"value {number}" for number, label in enumerate(labels, 1)]
    codes, labels = _wide_enough(np.where(known, codes, len(labels)), [*labels, MISSING])
    if not ((codes[:first] >= 0).any() and (codes[first:] >= 0).any()):
        return _uncut(column)
    chance = chi2.ppf(1 - CHANCE, max(1, len(labels) - 1)) * sum(1 / rows for rows in column.rows)
    return Bars(column.name, labels, codes[:first], codes[first:], float(chance))


def _uncut(column: Column) -> Bars:
    return Bars(column.name, [], np.full(len(column.reference), -1), np.full(len(column.current), -1), 0.0)


def _known_bars(values: pd.Series, known: npt.NDArray[np.bool_], first: int, numeric: bool) -> tuple[Codes, list[str]]:
    """The bar of each value and the bars' labels; of missing values any."""
    fewest = int(min(known[:first].sum(), known[first:].sum()))
    if fewest < LEAST_ROWS:
        return np.zeros(len(values), np.int64), [KNOWN]
    if numeric and values.nunique() > MOST_BARS:
        return _ranges(values.to_numpy(np.float64), known, min(MOST_BARS, 2 * fewest // BAR_ROWS))
    return _common_values(values, numeric)


def _ranges(numbers: npt.NDArray[np.float64], known: npt.NDArray[np.bool_], bars: int) -> tuple[Codes, list[str]]:
    """Equally full bars, as far as equal numbers allow."""
    ordered = np.sort(numbers[known])
    edges: list[float] = []
    below = 0
    for edge in np.unique(np.quantile(ordered, np.arange(1, bars) / bars, method="inverted_cdf")):
        upto = int(np.searchsorted(ordered, edge, side="right"))
        if min(upto - below, len(ordered) - upto) >= BAR_ROWS:
            edges.append(float(edge) + 0.0)  # -0 is 0
            below = upto
    if not edges:
        return np.zeros(len(numbers), np.int64), [KNOWN]
    texts = _texts(edges)
    labels = [f"up to {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts)), f"above {texts[-1]}"]
    return np.searchsorted(edges, numbers, side="left"), labels


def _texts(edges: list[float]) -> list[str]:
    """Numbers in as few digits as keep them apart."""
    for digits in range(LEAST_DIGITS, MOST_DIGITS):
        texts = [np.format_float_positional(e, digits, unique=False, fractional=False, trim="-") for e in edges]
        if len(set(texts)) == len(edges):
            return texts
    return [str(edge) for edge in edges]


def _common_values(values: pd.Series, numeric: bool) -> tuple[Codes, list[str]]:
    """A bar for each of the most common values, and one for the others."""
    named = values if numeric else values.map(str, na_action="ignore")
    counts = named.value_counts()
    # by count, then by value: the same rows in any order give the same bars
    common = sorted(counts[counts >= BAR_ROWS].index, key=lambda value: (-counts[value], value))[:MOST_BARS]
    if numeric:
        common.sort()
    codes = pd.Index(common, dtype=named.dtype).get_indexer(pd.Index(named))
    labels = [f"{value + 0.0:g}" if numeric else value for value in common]  # -0 is 0
    return np.where(codes < 0, len(common), codes), [*labels, OTHER]


def _wide_enough(codes: Codes, labels: list[str]) -> tuple[Codes, list[str]]:
    """Without the bars of too few rows."""
    wide = np.bincount(codes, minlength=len(labels)) >= BAR_ROWS
    places = np.where(wide, np.cumsum(wide) - 1, -1)
    return places[codes], [label for label, kept in zip(labels, wide, strict=True) if kept]
