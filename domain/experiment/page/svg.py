"""Draw a chart as SVG with the standard library: SciPy and Matplotlib together outgrow what Lambda takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

INK, MUTED, GRID = "#1d2b36", "#6b7c88", "#e3e9ed"
BLUE, TEAL, AMBER, RED, LILAC = "#2a6fbb", "#1b998b", "#e6a23c", "#d1495b", "#8e7cc3"
COLOURS = (BLUE, TEAL, AMBER, RED, LILAC)

TOP, BOTTOM, RIGHT = 46.0, 40.0, 20.0
FONT = 'font-family="system-ui, DejaVu Sans, sans-serif" font-size="12"'

Points = Iterable[tuple[float, float]]


def percent(value: float) -> str:
    """Write a share.

    >>> percent(0.125), percent(-0.2)
    ('12.5%', '-20%')
    """
    return f"{100 * value:.4g}%"


def plain(value: float) -> str:
    """Write a number."""
    return f"{value:.6g}"


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Choose round numbers between two others, about as many as wanted.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def reach(values: Iterable[float], spare: float = 0.06) -> tuple[float, float]:
    """Span the finite ones of some values, with some room to spare; something around nought where there are none."""
    known = [value for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (-1.0, 1.0)
    room = (high - low) * spare or abs(high) * spare or 1.0
    return low - room, high + room


@dataclass(slots=True)
class Chart:
    """A drawing with two axes: `x` and `y` are what they span, everything else is in pixels."""

    title: str
    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 560.0
    height: float = 250.0
    left: float = 64.0
    parts: list[str] = field(default_factory=list)

    def across(self, value: float) -> float:
        """Place a value of x."""
        return self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - RIGHT - self.left)

    def up(self, value: float) -> float:
        """Place a value of y."""
        foot = self.height - BOTTOM
        return foot - (value - self.y[0]) / (self.y[1] - self.y[0]) * (foot - TOP)

    def line(self, points: Points, colour: str, *, thick: float = 1.6, dash: str = "", faint: bool = False) -> None:
        """Join points; those that are not finite break the line."""
        look = f'fill="none" stroke="{colour}" stroke-width="{thick:g}"'
        look += f' stroke-dasharray="{dash}"' if dash else ""
        look += ' stroke-opacity="0.35"' if faint else ""
        self.parts += [f'<polyline points="{self._places(run)}" {look}/>' for run in _unbroken(points)]

    def area(self, low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]], colour: str) -> None:
        """Fill what lies between two lines of as many points."""
        both = [(one, other) for one, other in zip(low, high, strict=True) if _finite(one) and _finite(other)]
        around = [one for one, _ in both] + [other for _, other in reversed(both)]
        self.parts.append(f'<polygon points="{self._places(around)}" fill="{colour}" fill-opacity="0.22"/>')

    def bar(self, x: tuple[float, float], y: tuple[float, float], colour: str) -> None:
        """Fill a rectangle."""
        left, top = self.across(x[0]), self.up(y[1])
        size = f'width="{self.across(x[1]) - left:.1f}" height="{self.up(y[0]) - top:.1f}"'
        self.parts.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{colour}"/>')

    def dot(self, x: float, y: float, colour: str) -> None:
        """Mark a point."""
        self.parts.append(f'<circle cx="{self.across(x):.1f}" cy="{self.up(y):.1f}" r="4" fill="{colour}"/>')

    def diamond(self, x: float, y: float, colour: str) -> None:
        """Mark a point that was not measured but is known."""
        right, down = self.across(x), self.up(y)
        turned = f'transform="rotate(45 {right:.1f} {down:.1f})" fill="none" stroke="{colour}" stroke-width="2"'
        self.parts.append(f'<rect x="{right - 4.5:.1f}" y="{down - 4.5:.1f}" width="9" height="9" {turned}/>')

    def words(self, x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK) -> None:
        """Write a text at a place in pixels."""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>')

    def across_axis(self, spell: Callable[[float], str] = plain, label: str = "", at: Iterable[float] = ()) -> None:
        """Draw the axis of x, with lines that rise from its ticks."""
        foot = self.height - BOTTOM
        for value in tuple(at) or ticks(*self.x):
            self.line([(value, self.y[0]), (value, self.y[1])], GRID, thick=1)
            self.words(self.across(value), foot + 16, spell(value), anchor="middle", colour=MUTED)
        self.words((self.left + self.width - RIGHT) / 2, foot + 33, label, anchor="middle", colour=MUTED)

    def up_axis(self, spell: Callable[[float], str] = plain) -> None:
        """Draw the axis of y, with lines across from its ticks."""
        for value in ticks(*self.y, wanted=5):
            self.line([(self.x[0], value), (self.x[1], value)], GRID, thick=1)
            self.words(self.left - 8, self.up(value) + 4, spell(value), anchor="end", colour=MUTED)

    def legend(self, names: Iterable[tuple[str, str]]) -> None:
        """Name the colours, in a row under the title."""
        place = self.left
        for name, colour in names:
            self.parts.append(f'<rect x="{place:.1f}" y="27" width="12" height="10" fill="{colour}"/>')
            self.words(place + 17, 36, name)
            place += 34 + 7.2 * len(name)

    def svg(self) -> str:
        """Write the drawing down."""
        frame = f'viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(self.title)}" {FONT}'
        title = f'<text x="8" y="17" font-weight="bold" font-size="14" fill="{INK}">{escape(self.title)}</text>'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>{title}{"".join(self.parts)}</svg>'

    def _places(self, points: Points) -> str:
        return " ".join(f"{self.across(x):.1f},{self.up(y):.1f}" for x, y in points)


def _finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _unbroken(points: Points) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if _finite(point):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
