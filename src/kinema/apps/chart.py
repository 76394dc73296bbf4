"""Line charts as SVG text."""

import math
from collections.abc import Mapping, Sequence

from kinema.apps.page import figure, text

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, FOOT = 440, 200, 46, 20
COLOURS = 6
"""that page.css has for lines"""


def chart(title: str, series: Mapping[str, Points], unit: str = "step") -> str:
    """Named series over steps or another unit, each with its last value; what is not finite is left out."""
    clean = finite(series)
    if not clean:
        return ""
    keys = [
        f'<span class="key k{i % COLOURS}">{text(name)} <b>{points[-1][1]:.3g}</b></span>'
        for i, (name, points) in enumerate(clean.items())
    ]
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(title)}"'
    return figure(f"<svg {box}>{lines(clean, unit)}</svg>", f"<b>{text(title)}</b><br>{''.join(keys)}")


def finite(series: Mapping[str, Points]) -> dict[str, Points]:
    """The series without points that are not finite, and without series that are nothing else."""
    clean = {name: [p for p in points if math.isfinite(p[1])] for name, points in series.items()}
    return {name: points for name, points in clean.items() if points}


def lines(series: Mapping[str, Points], unit: str) -> str:
    """The inner SVG of a chart, WIDTH × HEIGHT; at least one series, all finite."""
    last = max(1.0, *(x for points in series.values() for x, _ in points))
    low, high = span([y for points in series.values() for _, y in points])

    def place(x: float, y: float) -> str:
        across = LEFT + x / last * (WIDTH - LEFT - 8)
        up = (min(max(y, low), high) - low) / (high - low) * (HEIGHT - FOOT - 10)
        return f"{across:.1f},{HEIGHT - FOOT - up:.1f}"

    parts = [_grid(place(0, y), place(last, y), y) for y in (low, (low + high) / 2, high)]
    for i, points in enumerate(series.values()):
        parts.append(f'<path class="s{i % COLOURS}" d="M{" ".join(place(x, y) for x, y in thin(points))}"/>')
    parts.append(f'<text x="{WIDTH - 8}" y="{HEIGHT - 4}" text-anchor="end">{unit} {last:g}</text>')
    return "".join(parts)


def _grid(start: str, end: str, value: float) -> str:
    label = f'<text x="{LEFT - 6}" y="{start.split(",")[1]}" dy="4" text-anchor="end">{value:.3g}</text>'
    return f'<path class="frame" d="M{start} {end}"/>{label}'


def span(values: list[float]) -> tuple[float, float]:
    """Ends of the axis: all but the most extreme hundredth at each side, so that one spike hides nothing.

    Example:
        >>> span([0.0, 1.0])
        (0.0, 1.0)
    """
    ordered = sorted(values)
    cut = len(ordered) // 100
    low, high = ordered[cut], ordered[-1 - cut]
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def thin(points: Points, most: int = 300) -> Points:
    """At most `most` points, each the mean of its neighbours."""
    size = -(-len(points) // most)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]
