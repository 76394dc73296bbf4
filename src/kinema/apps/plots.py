"""Pictures of scores as SVG files that need nothing else: bars of every number, and curves.

What lies far beyond the compared runs, as noise does, would flatten them: its bar is cut and its curve left
out, and its number stands there all the same.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinema.apps.chart import COLOURS, HEIGHT, WIDTH, finite, lines
from kinema.apps.page import text
from kinema.apps.report import curves_of, near
from kinema.core.files import write_text

INK, SOFT, LINE = "#1d2530", "#5c6875", "#dde2e8"
PALETTE = ("#2563b8", "#c4531b", "#2b8a55", "#8d46a8", "#a8860f", "#c23a6b")
REST = "#aab3bd"
"""of rows that are no run: real clips, baselines"""
ROW, CELL, ACROSS, HEAD = 24, 170, 4, 30
"""height of a row, width of a column of bars, columns side by side, height of a line of text"""

STYLE = "".join(
    [
        f"text{{font:13px system-ui,sans-serif;fill:{INK}}}.soft,.lines text{{fill:{SOFT}}}",
        f".frame{{stroke:{LINE}}}.lines path{{fill:none;stroke-width:1.8}}",
        *(f".lines .s{i % COLOURS}{{stroke:{colour}}}" for i, colour in enumerate(PALETTE)),
    ]
)


def write_plots(rows: list[dict[str, Any]], runs: Sequence[str], beside: Path) -> list[Path]:
    """Write the pictures of all rows beside a file and named after it: `scores-fd-random.svg`, and so on.

    Args:
        rows: as in the JSON.
        runs: names of the rows that are compared; the others are drawn in grey.
        beside: the JSON file.
    """
    families: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(str(row["protocol"].get("metric", "scores")), []).append(row)
    pictures = {}
    for family, members in families.items():
        pictures[family] = bars(family, members, runs)
        for title, unit, found in curves_of(members):
            pictures[title] = curve(title, unit, found, runs)
    written = []
    for title, picture in pictures.items():
        if picture:
            path = beside.with_name(f"{beside.stem}-{re.sub(r'[^a-z0-9]+', '-', title.lower())}.svg")
            write_text(path, picture)
            written.append(path)
    return written


def bars(title: str, rows: list[dict[str, Any]], runs: Sequence[str]) -> str:
    """One row a line and one number a column, at most four columns side by side."""
    numbers = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    names = [_short(f"{row['name']} ({row['samples']})") for row in rows]
    left = 24 + 7 * max(map(len, names))
    parts, top = [_text(12, 22, title, weight=600)], HEAD + 8
    for start in range(0, len(numbers), ACROSS):
        parts += [_text(12, top + HEAD + ROW * i + 15, name) for i, name in enumerate(names)]
        for k, number in enumerate(numbers[start : start + ACROSS]):
            parts += _column(left + k * CELL, top, number, rows, runs)
        top += HEAD + ROW * len(rows) + 14
    return _picture(left + CELL * min(ACROSS, len(numbers)) + 8, top, parts)


def _column(x: int, y: int, number: str, rows: list[dict[str, Any]], runs: Sequence[str]) -> list[str]:
    """Bars of one number with their values; the longest is that of a run, or at most twice as long."""
    values = [row["metrics"].get(number) for row in rows]
    known = [abs(v) for v in values if v is not None]
    own = [abs(v) for row, v in zip(rows, values, strict=True) if v is not None and row["name"] in runs]
    longest = min(max(known, default=0), 2 * max(own, default=0)) or max(known, default=0) or 1.0
    below = -min([0.0, *(v for v in values if v is not None)])
    room = CELL - 84  # beside the value
    scale = room / (longest + min(below, longest))
    zero = x + min(below, longest) * scale
    parts = [_text(x, y + 18, number, "soft")]
    for i, (row, value) in enumerate(zip(rows, values, strict=True)):
        top = y + HEAD + ROW * i
        if value is None:
            parts.append(_text(zero + 6, top + 15, "–", "soft"))
            continue
        length = min(abs(value), longest) * scale
        colour = PALETTE[list(runs).index(row["name"]) % COLOURS] if row["name"] in runs else REST
        corner = zero - length * (value < 0)
        box = f'x="{corner:.1f}" y="{top + 3}" width="{max(length, 1):.1f}" height="{ROW - 7}" rx="2"'
        parts.append(f'<rect {box} fill="{colour}"/>')
        end = zero + length * (value > 0)
        if abs(value) > longest:
            parts.append(f'<path d="M{end - 9:.1f} {top + 22}l5 -21" stroke="#fff" stroke-width="3"/>')
        parts.append(_text(end + 5, top + 15, f"{value:.4g}", "soft"))
    line = f"M{zero:.1f} {y + HEAD}v{ROW * len(rows) - 1}"
    return [*parts, f'<path class="frame" d="{line}"/>']


def curve(title: str, unit: str, series: dict[str, Any], runs: Sequence[str]) -> str:
    """The lines over frames or samples, and below them their names and last values."""
    drawn, known = finite(near(series, runs)), finite(series)
    if not drawn:
        return ""
    parts = [_text(12, 22, title, weight=600), f'<g class="lines" transform="translate(0 {HEAD})">']
    parts += [lines(drawn, unit), "</g>"]
    y = HEAD + HEIGHT + 18
    for i, name in enumerate([*drawn, *(k for k in known if k not in drawn)]):
        last = known[name][-1][1]
        said = f"{_short(name)}   {last:.4g}" + ("" if name in drawn else "   (not drawn: far above)")
        if name in drawn:
            box = f'x="12" y="{y - 9}" width="18" height="8" rx="2"'
            parts.append(f'<rect {box} fill="{PALETTE[i % COLOURS]}"/>')
        parts.append(_text(38, y, said))
        y += 20
    return _picture(WIDTH + 8, y - 8, parts)


def _picture(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    back = '<rect width="100%" height="100%" fill="#fff"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{back}'
    return "\n".join([head, *parts, "</svg>", ""])


def _text(x: float, y: float, said: str, kind: str = "", weight: int = 400) -> str:
    look = (f' class="{kind}"' if kind else "") + (f' style="font-weight:{weight}"' if weight != 400 else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" xml:space="preserve"{look}>{text(said)}</text>'


def _short(name: str, most: int = 40) -> str:
    """A long name without its beginning, which paths have in common."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
