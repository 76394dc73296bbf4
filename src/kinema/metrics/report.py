"""A row of scores with its samples and protocol; rows as a table and as JSON."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """What was measured of one system, one real set or one baseline."""

    name: str
    metrics: dict[str, float]
    samples: int
    protocol: dict[str, Any] = field(default_factory=dict)
    """all that someone needs to measure the same again"""


def to_json(rows: Sequence[Row]) -> dict[str, Any]:
    """`{"rows": [{"name", "metrics", "samples", "protocol"}]}`; what is not a finite number becomes None."""
    return {
        "rows": [
            {
                "name": row.name,
                "metrics": {k: float(v) if math.isfinite(v) else None for k, v in row.metrics.items()},
                "samples": row.samples,
                "protocol": row.protocol,
            }
            for row in rows
        ]
    }


def table(rows: Sequence[Row]) -> str:
    """Plain text; rows with the same metrics stand together, and their common protocol stands below them.

    Distances a little below zero are round-off and shown as zero.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        family = str(row.protocol.get("metric", ""))
        groups.setdefault((family, *(row.metrics if not family else ())), []).append(row)
    return "\n\n".join(_group(group) for group in groups.values())


def _group(rows: list[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    cells = [["", *names, "samples"]]
    for row in rows:
        cells.append([row.name, *(_number(row.metrics.get(name)) for name in names), str(row.samples)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]
    facts = {k: v for k, v in rows[0].protocol.items() if not k.startswith("by ")}  # those are curves
    common = {k: v for k, v in facts.items() if all(row.protocol.get(k) == v for row in rows)}
    stated = textwrap.fill(", ".join(f"{k} {v}" for k, v in common.items()), 110)
    return "\n".join([*lines, *([stated] if stated else [])])


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    if -1e-3 < value < 0:
        value = 0.0
    if value.is_integer() and abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"
