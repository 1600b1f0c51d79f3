"""The report's plots, each a small SVG."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from recommender.evaluation.findings import Drift, Point
from recommender.evaluation.report.svg import Scale, drawing, element, line, number, percent, stretched, text
from recommender.evaluation.report.wording import share

MAP_GROUPS = 8
"""Groups with a colour of their own on the map, the largest; the rest are one."""
OTHER = "other"
_MARKS = ("dot", "square", "diamond", "triangle")
"""Shapes on the map, in turn: colour is never all that tells groups apart."""
_MOST_X_TICKS = 6
_MARK_PIXELS = 4.5


def interval_track(scale: Scale, low: float, value: float, high: float, reference: float | None, told: str) -> Markup:
    """One row of a dot-and-interval plot: a line from low to high with a dot at the value."""
    sure = reference is not None and (low > reference or high < reference)
    parts = [line(scale.at(tick), 0, scale.at(tick), 100, "grid") for tick in scale.ticks()]
    if reference is not None:
        parts.append(line(scale.at(reference), 0, scale.at(reference), 100, "reference"))
    if math.isfinite(low) and math.isfinite(high):
        parts.append(line(scale.at(low), 50, scale.at(high), 50, "interval"))
        parts += [
            element("line", x1=percent(scale.at(end)), x2=percent(scale.at(end)), y1="50%", y2="50%", class_="whisker")
            for end in (low, high)
        ]
    parts.append(_circle(scale.at(value), 50, 6, "value sure" if sure else "value", told))
    return drawing(told, "track", parts)


def track_axis(scale: Scale, told: Callable[[float], str]) -> Markup:
    """The ticks below a dot-and-interval plot; it says nothing that the rows do not."""
    ticks = [text(scale.at(tick), 0, told(tick), "tick middle", dy=14) for tick in scale.ticks()]
    return element("svg", ticks, class_="plot axis", aria_hidden="true")


def bar(part: float, class_: str, told: str) -> Markup:
    """One bar of a row, 0 to 1 of the width; below 0 it is drawn as nothing."""
    width = min(1.0, max(0.0, part)) * 100
    return drawing(
        told, "bar", [element("rect", x="0", y="15%", width=percent(width), height="70%", rx=2, class_=class_)]
    )


def diverging_bar(part: float, told: str) -> Markup:
    """One bar of a row from the middle, -1 to 1 of half the width."""
    reach = min(1.0, max(-1.0, part)) * 50
    start = 50 + min(0.0, reach)
    shape = element(
        "rect",
        x=percent(start),
        y="15%",
        width=percent(abs(reach)),
        height="70%",
        rx=2,
        class_="up" if reach > 0 else "down",
    )
    return drawing(told, "bar", [shape, line(50, 0, 50, 100, "reference")])


@dataclass(frozen=True)
class Series:
    """One line; a point without a finite value breaks it."""

    name: str
    class_: str
    points: Sequence[tuple[float, float | None]]
    notes: Sequence[str] = ()
    """What is said of each point; shorter than `points` where nothing is."""
    marks: Sequence[str] = ()
    """A class of each point, such as `reject`."""


def lines(
    title: str,
    series: Sequence[Series],
    x_told: Callable[[float], str],
    y_told: Callable[[float], str],
    y_tick: Callable[[float], str],
    *,
    from_zero: bool = False,
    x_ticks: Sequence[float] | None = None,
) -> Markup:
    """Lines over common axes, with a mark and its value at each point."""
    known = [(x, y) for one in series for x, y in one.points if y is not None and math.isfinite(y)]
    across = Scale.over((x for x, _ in known), margin=0.03)
    up = Scale.over((y for _, y in known), including=(0.0,) if from_zero else ())
    parts = [piece for tick in up.ticks() for piece in _level(100 - up.at(tick), y_tick(tick))]
    chosen = across.ticks(_MOST_X_TICKS) if x_ticks is None else _thinned(x_ticks)
    parts += [text(across.at(tick), 100, x_told(tick), "tick middle", dy=18) for tick in chosen]
    parts.append(stretched([element("path", d=_path(one, across, up), class_=f"line {one.class_}") for one in series]))
    for one in series:
        parts += _marked(one, across, up, x_told, y_told)
    return drawing(title, "lines", parts)


def _level(y: float, told: str) -> tuple[Markup, Markup]:
    return line(0, y, 100, y, "grid"), text(0, y, told, "tick end", dx=-8, dy=4)


def _thinned(ticks: Sequence[float]) -> list[float]:
    return [*ticks[:: math.ceil(len(ticks) / _MOST_X_TICKS)]]


def _path(series: Series, across: Scale, up: Scale) -> str:
    steps, pen_down = [], False
    for x, y in series.points:
        if y is None or not math.isfinite(y):
            pen_down = False
            continue
        steps.append(f"{'L' if pen_down else 'M'}{number(across.at(x))} {number(100 - up.at(y))}")
        pen_down = True
    return "".join(steps)


def _marked(
    series: Series, across: Scale, up: Scale, x_told: Callable[[float], str], y_told: Callable[[float], str]
) -> Iterator[Markup]:
    for place, (x, y) in enumerate(series.points):
        if y is None or not math.isfinite(y):
            continue
        mark = series.marks[place] if place < len(series.marks) else ""
        note = f", {series.notes[place]}" if place < len(series.notes) else ""
        told = f"{series.name}, {x_told(x)}: {y_told(y)}{note}"
        yield _circle(across.at(x), 100 - up.at(y), 4, f"point {series.class_} {mark}".strip(), told)


def _circle(x: float, y: float, radius: float, class_: str, told: str) -> Markup:
    return element("circle", [element("title", [told])], cx=percent(x), cy=percent(y), r=radius, class_=class_)


def paired_histogram(drift: Drift) -> Markup:
    """The current shares as bars, the reference's as an outline over them; each bin says both when pointed at."""
    bins = list(zip(drift.bins, drift.reference, drift.current, strict=False))
    tallest = max((share for _, *shares in bins for share in shares if math.isfinite(share)), default=0.0) or 1.0
    width = 100 / max(1, len(bins))

    def height(part: float) -> float:
        return part / tallest * 96 if math.isfinite(part) else 0.0

    bars = "".join(
        f"M{number((at + 0.08) * width)} 100V{number(100 - height(now))}H{number((at + 0.92) * width)}V100Z"
        for at, (_, _, now) in enumerate(bins)
    )
    outline = "M0 100" + "".join(
        f"V{number(100 - height(before))}H{number((at + 1) * width)}" for at, (_, before, _) in enumerate(bins)
    )
    pointed = [
        element(
            "rect",
            [element("title", [f"{label}: {share(before)} before, {share(now)} now"])],
            x=number(at * width),
            y=0,
            width=number(width),
            height=100,
            class_="pointed",
        )
        for at, (label, before, now) in enumerate(bins)
    ]
    shapes = [element("path", d=bars, class_="now"), element("path", d=f"{outline}V100", class_="before"), *pointed]
    title = f"{drift.name}: shares before (outline) and now (bars) over {len(bins)} bins"
    return drawing(title, "histogram", [stretched(shapes)])


@dataclass(frozen=True)
class Legend:
    """One group of the map: how many points it has, and how they look."""

    name: str
    points: int
    mark: Markup


def embedding_map(points: Sequence[Point], title: str) -> tuple[Markup, list[Legend]]:
    """A mark an item, coloured and shaped by group, with its title when pointed at; and the legend."""
    sizes = Counter(point.group for point in points if point.group != OTHER)
    largest = [name for name, _ in sorted(sizes.items(), key=lambda one: (-one[1], one[0]))[:MAP_GROUPS]]
    grouped: dict[str, list[Point]] = {name: [] for name in (OTHER, *largest)}
    for point in points:
        grouped[point.group if point.group in largest else OTHER].append(point)
    drawn, legend = [], []
    for name, members in grouped.items():
        if not members:
            continue
        place = largest.index(name) if name in largest else None
        class_, shape = ("group-other", _MARKS[0]) if place is None else (f"group-{place}", _shape_of(place))
        drawn.append(element("g", [_mark(shape, point) for point in members], class_=class_))
        sample = element("svg", [element("g", [_shape(shape, "50%", "50%", ())], class_=class_)], class_="key")
        legend.append(Legend(name, len(members), sample))
    order = sorted(legend, key=lambda one: largest.index(one.name) if one.name in largest else MAP_GROUPS)
    return drawing(title, "map", [_symbols(), *drawn]), order


def _shape_of(place: int) -> str:
    """Moved on by one in every round, so that the like colours of two rounds differ in shape."""
    return _MARKS[(place + place // len(_MARKS)) % len(_MARKS)]


def _symbols() -> Markup:
    """Marks that are no circle, drawn once."""
    r = _MARK_PIXELS
    outlines = {
        "square": f"M{-r * 0.8:.1f} {-r * 0.8:.1f}h{r * 1.6:.1f}v{r * 1.6:.1f}h{-r * 1.6:.1f}z",
        "diamond": f"M0 {-r * 1.2:.1f}L{r * 1.2:.1f} 0L0 {r * 1.2:.1f}L{-r * 1.2:.1f} 0z",
        "triangle": f"M0 {-r * 1.1:.1f}L{r * 1.1:.1f} {r * 0.9:.1f}H{-r * 1.1:.1f}z",
    }
    return element("defs", [element("path", id=f"mark-{name}", d=outline) for name, outline in outlines.items()])


def _mark(shape: str, point: Point) -> Markup:
    told = [element("title", [f"{point.title} ({point.group})" if point.title else point.group])]
    return _shape(shape, percent(Scale(0, 1).at(point.x)), percent(100 - Scale(0, 1).at(point.y)), told)


def _shape(shape: str, x: str, y: str, content: Iterable[Markup]) -> Markup:
    if shape == "dot":
        return element("circle", content, cx=x, cy=y, r=_MARK_PIXELS * 0.8)
    return element("use", content, href=f"#mark-{shape}", x=x, y=y)
