"""What an entity's own row says of it, whatever happened: its columns, and what is read off its year and title."""

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from recommender.columns import TITLE, YEAR
from recommender.data.dataset import SECONDS_A_DAY
from recommender.features.definitions import Feature
from recommender.features.measures import ATTRIBUTE, ATTRIBUTE_AGE
from recommender.features.snapshots.titles import title_digits, title_length, title_words
from recommender.features.snapshots.world import first_of

_TITLES: dict[str, Callable[[ir.StringValue], ir.Value]] = {
    "title_length": title_length,
    "title_words": title_words,
    "title_digits": title_digits,
}


def is_own(feature: Feature) -> bool:
    """True where the entity's row says the value."""
    return feature.measure in (ATTRIBUTE, ATTRIBUTE_AGE) or feature.family == "decade" or feature.family in _TITLES


def own_value(rows: ir.Table, feature: Feature) -> ir.Value:
    """The value, from the entity's columns and `night`, a day number."""
    if feature.measure == ATTRIBUTE_AGE:
        end = (rows["night"].cast("int64") + 1) * SECONDS_A_DAY
        age = (end - rows[feature.of].epoch_seconds()).cast("float64") / SECONDS_A_DAY
        return (age >= 0).ifelse(age, ibis.null("float64"))
    if feature.measure == ATTRIBUTE:
        return rows[feature.of] if feature.kind == "categories" else first_of(rows[feature.of])
    if feature.family == "decade":
        return (rows[YEAR] // 10 * 10).cast("int32").cast("string") + "s"
    return _TITLES[feature.family](rows[TITLE])
