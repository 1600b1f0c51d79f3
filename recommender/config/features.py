"""Which features exist: the one place where they are declared."""

from typing import Annotated

from pydantic import Field

from recommender.config.section import Section


class Features(Section):
    """Which features exist, in the order they have everywhere; `recommender features --catalogue` lists what may."""

    windows_days: tuple[Annotated[int, Field(gt=0)], ...] = (7, 30, 90)
    """Windows that error messages suggest; a feature may name any other."""
    snapshot_every_days: Annotated[int, Field(gt=0)] = 7
    """Distance of the past snapshots that training rows are joined to."""
    max_categories: Annotated[int, Field(ge=1, le=64)] = 8
    """Of an item with more categories a model reads the first ones."""
    user: tuple[str, ...] = (
        "events_7d",
        "events_30d",
        "events_90d",
        "events_total",
        "active_days_90d",
        "creators_total",
        "categories_total",
        "days_since_last_event",
        "tenure_days",
    )
    """Measures of a user, such as `events_30d` or `taste_energy`, and columns of the users table."""
    item: tuple[str, ...] = (
        "events_7d",
        "events_30d",
        "events_90d",
        "events_total",
        "users_total",
        "days_since_last_event",
        "days_since_first_event",
        "creator_events_90d",
        "creator",
        "category",
    )
    """Measures of an item, such as `events_30d` or `is_new_release_30d`, and columns of the items table."""
    pair: tuple[str, ...] = ()
    """Measures of a user and an item together, such as `taste_gap_energy` or `country_category_affinity_365d`. What
    they are computed from need not be listed."""
