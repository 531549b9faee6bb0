"""Line charts as SVG, readable in light and dark pages, from plain lists of points."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 44
COLOURS = ("#2f81f7", "#d29922", "#3fb950", "#db61a2")
GREY = "#8b949e"
MARKED = 20
"""A line of so many points shows each of them."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    name: str
    points: Sequence[Point]


def chart(title: str, x_axis: str, y_axis: str, lines: Sequence[Line]) -> str:
    """Return the drawing; both axes begin at 0 and end at a round number."""
    x_ticks = ticks(max(x for line in lines for x, _ in line.points))
    y_ticks = ticks(max(y for line in lines for _, y in line.points))

    def at(x: float, y: float) -> Point:
        return (
            round(LEFT + (WIDTH - LEFT - RIGHT) * x / x_ticks[-1], 1),
            round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / y_ticks[-1], 1),
        )

    parts = [_text(LEFT, 16, title, "start", 14)]
    for tick in y_ticks:
        (left, height), (right, _) = at(0, tick), at(x_ticks[-1], tick)
        parts.append(f'<path d="M{left} {height}H{right}" stroke="{GREY}" stroke-opacity=".3"/>')
        parts.append(_text(left - 6, height + 4, f"{tick:g}", "end"))
    parts += [_text(at(tick, 0)[0], HEIGHT - BOTTOM + 16, f"{tick:g}", "middle") for tick in x_ticks]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_axis, "middle"))
    parts.append(_text(LEFT - 48, TOP - 8, y_axis, "start"))
    for position, (line, colour) in enumerate(zip(lines, COLOURS, strict=False)):
        places = [at(*point) for point in line.points]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(places) <= MARKED:
            parts += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>' for x, y in places]
        parts.append(_text(WIDTH - RIGHT, 16 + 14 * position, line.name, "end", fill=colour))
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">', *parts, "</svg>\n"])


def ticks(highest: float) -> list[float]:
    """Four to eight round numbers from 0 to the first one that is not below the highest value."""
    rough = (highest or 1) / 6
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * i for i in range(math.ceil((highest or 1) / step) + 1)]


def _text(x: float, y: float, words: str, anchor: str, size: int = 11, fill: str = GREY) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{escape(words)}</text>'
