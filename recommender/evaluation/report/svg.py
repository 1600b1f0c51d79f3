"""Drawing with SVG that grows with its box: positions are percentages, so that text keeps its size on any screen.

Colours come from the page's style sheet by class. All text is escaped.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_TICK_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Scale:
    """Maps values to positions between 0 and 100."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float], *, including: Sequence[float] = (), margin: float = 0.06) -> "Scale":
        """One that holds all finite values, with some air at both ends."""
        finite = [value for value in (*values, *including) if math.isfinite(value)]
        low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
        air = (high - low) * margin or abs(high) * margin or 1.0
        return cls(low - air, high + air)

    def at(self, value: float) -> float:
        """Where the value lies, 0 to 100; past the ends it stays at the end."""
        return min(100.0, max(0.0, (value - self.low) / (self.high - self.low) * 100))

    def ticks(self, about: int = 4) -> list[float]:
        """Round values between the ends."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(one * power for one in _TICK_STEPS if one * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def percent(position: float) -> str:
    """`12.34%`."""
    return f"{number(position)}%"


def number(value: float) -> str:
    """At most two decimals, none where none is needed."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def element(name: str, content: Iterable[Markup | str] = (), /, **attributes: object) -> Markup:
    """An element; `class_` and `stroke_width` become `class` and `stroke-width`, None leaves an attribute out."""
    told = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(part) for part in content)
    return Markup("<{0}{1}>{2}</{0}>").format(name, told, inside) if inside else Markup("<{}{}/>").format(name, told)


def drawing(title: str, kind: str, content: Iterable[Markup], **attributes: object) -> Markup:
    """A whole drawing, with the title that a screen reader says."""
    named = element("title", [title])
    return element("svg", [named, *content], class_=f"plot {kind}", role="img", aria_label=title, **attributes)


def stretched(content: Iterable[Markup]) -> Markup:
    """Shapes in a square of 100 by 100 that is stretched over the whole drawing; lines keep their width."""
    return element(
        "svg", content, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height="100%", class_="stretch"
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Between two positions."""
    return element("line", x1=percent(x1), y1=percent(y1), x2=percent(x2), y2=percent(y2), class_=class_)


def text(x: float, y: float, content: str, class_: str, dx: float | None = None, dy: float | None = None) -> Markup:
    """At a position, moved by `dx` and `dy` pixels."""
    return element("text", [content], x=percent(x), y=percent(y), dx=dx, dy=dy, class_=class_)
