"""Later recall over the nights of a backtest, as an inline SVG drawn with the page's colours."""

import math
from collections.abc import Callable, Sequence
from datetime import date

from recommender.backtest.records import Night, Role
from recommender.evaluation.confidence import Interval

_WIDTH, _HEIGHT = 960, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 12, 66
_TICKS = 6
"""Lines above zero, at most."""
_LABELS = 9
"""Dates below the axis, at most."""
_APART = 5
"""Pixels by which the challenger's whisker stands beside the champion's."""
_MARKS_AT = _HEIGHT - _BOTTOM + 20
COLOURS = {"live": "went live", "challenger": "rejected challenger", "first": "replaced champion; dotted: first model"}
Scale = Callable[[float], float]


def chart(nights: Sequence[Night]) -> str:
    """What went live as a line, challengers and the first model beside it, and a mark for every decision.

    Nights without later figures have their mark alone.
    """
    if not any(_recall(night, "challenger") for night in nights):
        return "<p>No night could be judged.</p>"
    step, lines = _step(nights)
    across, up = _across(nights), _up(step * lines)
    parts = [_grid(up, step, lines), _dates(nights, across)]
    parts.append(_line([(night, _recall(night, "first")) for night in nights], across, up, "first", "2 5"))
    parts.append(_line([(night, _recall(night, night.chosen)) for night in nights], across, up, "live", ""))
    for night in nights:
        x = across(night.ds.toordinal())
        other: Role = "champion" if night.promoted else "challenger"
        if (rival := _recall(night, other)) is not None:
            parts.append(_whisker(x + _APART, rival, up, "challenger" if not night.promoted else "first"))
        if (live := _recall(night, night.chosen)) is not None:
            parts.append(_whisker(x - _APART, live, up, "live"))
        parts.append(_mark(night, x))
    label = "Recall@20 of what went live and of its rival in the days after each night"
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _recall(night: Night, role: Role) -> Interval | None:
    return None if night.later is None else night.later.recall.get(role)


def _step(nights: Sequence[Night]) -> tuple[float, int]:
    """The axis: 1, 2 or 5 times a power of ten between its lines, and how many lines hold every whisker."""
    roles: tuple[Role, ...] = ("challenger", "champion", "first")
    found = [_recall(night, role) for night in nights for role in roles]
    highest = max((interval.high for interval in found if interval is not None), default=0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(highest / _TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if highest <= power * factor * _TICKS)
    return step, math.ceil(highest / step)


def _across(nights: Sequence[Night]) -> Scale:
    first, last = nights[0].ds.toordinal(), nights[-1].ds.toordinal()
    inner = _WIDTH - _LEFT - _RIGHT - 40
    return lambda day: _LEFT + 20 + inner * ((day - first) / (last - first) if last > first else 0.5)


def _up(highest: float) -> Scale:
    inner = _HEIGHT - _TOP - _BOTTOM
    return lambda value: _HEIGHT - _BOTTOM - inner * value / highest


def _grid(up: Scale, step: float, lines: int) -> str:
    parts = []
    for value in (step * n for n in range(lines + 1)):
        y = up(value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="var(--soft)">{value:.3g}</text>')
    return "".join(parts)


def _dates(nights: Sequence[Night], across: Scale) -> str:
    step = -(-len(nights) // _LABELS)
    return "".join(
        f'<text x="{across(night.ds.toordinal()):.1f}" y="{_HEIGHT - 14}" text-anchor="middle" '
        f'fill="var(--soft)">{_short(night.ds)}</text>'
        for night in nights[::step]
    )


def _short(ds: date) -> str:
    return f"{ds:%d} {ds:%b} {ds:%y}"


def _line(points: Sequence[tuple[Night, Interval | None]], across: Scale, up: Scale, colour: str, dash: str) -> str:
    drawn = " ".join(
        f"{across(night.ds.toordinal()):.1f},{up(interval.value):.1f}" for night, interval in points if interval
    )
    return (
        f'<polyline points="{drawn}" fill="none" stroke="var(--{colour})" stroke-width="2" stroke-dasharray="{dash}"/>'
    )


def _whisker(x: float, interval: Interval, up: Scale, colour: str) -> str:
    low, value, high = up(interval.low), up(interval.value), up(interval.high)
    told = f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"
    return (
        f'<g stroke="var(--{colour})" fill="var(--{colour})"><title>{told}</title>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke-width="1.5"/>'
        f'<circle cx="{x:.1f}" cy="{value:.1f}" r="3.5" stroke="none"/></g>'
    )


def _mark(night: Night, x: float) -> str:
    """A triangle upwards for what went live, a bar for what did not, a cross for a failed night."""
    y, colour = _MARKS_AT, f"var(--{night.outcome or 'undecided'})"
    if night.decision is None:
        shape = f'<path d="M{x - 5:.1f} {y - 5}l10 10m0 -10l-10 10" stroke="{colour}" stroke-width="2"/>'
    elif night.promoted:
        shape = f'<path d="M{x - 7:.1f} {y + 6}h14l-7 -12z" fill="{colour}"/>'
    else:
        shape = f'<rect x="{x - 7:.1f}" y="{y - 2}" width="14" height="5" fill="{colour}"/>'
    return f"<g>{shape}</g>"
