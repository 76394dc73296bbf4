"""Printing, in one way for all verbs: results on stdout, as text or as JSON; remarks on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def result(facts: Any, text: str, as_json: bool) -> None:
    """The outcome of a verb: `facts` as JSON, else `text`."""
    print(json.dumps(facts, indent=1, ensure_ascii=False, default=str) if as_json else text)


def remark(text: str) -> None:
    """Progress and warnings, which must not get between a program and the JSON it reads."""
    print(text, file=sys.stderr)


def columns(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as aligned columns, numbers with four digits.

    Example:
        >>> print(columns(["a", "b"], [["x", 0.5], ["long", 2]]))
        a     b
        x     0.5
        long  2
    """
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
