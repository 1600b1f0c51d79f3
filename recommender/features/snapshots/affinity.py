"""How much a segment of users likes a category: more or less often chosen than by everybody."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from recommender.columns import CATEGORY
from recommender.features.definitions import Feature
from recommender.features.snapshots.timeline import Timeline
from recommender.features.snapshots.world import World

PRIOR_EVENTS = 20
"""Events of everybody's habits that are added to a segment's own: a small segment is near 0 until it shows more."""


def category_affinity(world: World, timeline: Timeline, segment: str, features: Sequence[Feature]) -> ir.Table:
    """The segment's column, `category`, `night` and the features: log of a smoothed ratio of shares.

    With n(s, c) events of segment s with category c in the window and p(c) the category's share of all events,
    log((n(s, c) + k p(c)) / ((n(s) + k) p(c))), k being `PRIOR_EVENTS` (additive smoothing towards the overall
    distribution). Every segment with every category that has an event in the window; an item with several
    categories counts for each.
    """
    known = segment in world.users.columns  # the lake's users may be older than the profile
    users = world.users.select("user", segment=world.users[segment] if known else ibis.null("string"))
    events = world.events.inner_join(timeline.calendar(), "day").inner_join(
        users.filter(users["segment"].notnull()), "user"
    )
    events = events.inner_join(world.values(CATEGORY), "item")
    counted = events.group_by("segment", "value", "bucket").agg(events=events.count())
    expanded = counted.inner_join(timeline.spans({int(feature.window_days or 0) for feature in features}), "bucket")
    pairs = expanded.group_by("night", "window", "segment", "value").agg(n=expanded["events"].sum().cast("int64"))
    by = ["night", "window"]
    segments = pairs.group_by(*by, "segment").agg(n_segment=pairs["n"].sum().cast("int64"))
    categories = pairs.group_by(*by, "value").agg(n_category=pairs["n"].sum().cast("int64"))
    totals = pairs.group_by(*by).agg(n_all=pairs["n"].sum().cast("int64"))
    table = segments.inner_join(categories, by).inner_join(totals, by)
    table = table.select(*by, "segment", "value", "n_segment", "n_category", "n_all")
    keys = [*by, "segment", "value"]
    joined = table.left_join(pairs, keys)
    joined = joined.select(*keys, "n_segment", "n_category", "n_all", n=joined["n"].fill_null(0))
    share = joined["n_category"].cast("float64") / joined["n_all"].cast("float64")
    ratio = (joined["n"] + PRIOR_EVENTS * share) / ((joined["n_segment"] + PRIOR_EVENTS) * share)
    scored = joined.mutate(affinity=ratio.ln())
    columns = {
        feature.name: scored["affinity"].max(where=scored["window"] == ibis.literal(feature.window_days))
        for feature in features
    }
    return scored.group_by("segment", "value", "night").agg(**columns).rename({segment: "segment", CATEGORY: "value"})
