"""card.md of exported weights: which command made them, from what, and how good they are."""

import shlex
from pathlib import Path
from typing import Any

from kinema.apps.report import SCORES, read_json, read_lines
from kinema.core.files import write_text

CARD = """# {name}

Weights of {system} for kinema {version}. They make synthetic clips, and every file made with them says so.

| | |
| --- | --- |
| command | `{command}` |
| data | {data} |
| data hash | `{data_hash}` |
| seed | {seed} |
| commit | {commit} |
| machine | {machine} |
| steps | {steps} |
| minutes | {minutes} |
| licence | {licence} |

## Scores

{scores}

## Intended use

Research, teaching and demonstration of the method on data like that above. They know nothing else.
"""


def write_card(out: Path, name: str, run: Path, about: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Write the card from what the run folder recorded; returns the system's own scores, family by family."""
    machine, source, found = (read_json(run / name) for name in ("environment.json", "config.json", SCORES))
    data = about.get("data") or {}
    trained = last_line(run)
    rows = found.get("rows", [])
    command = shlex.join(["kinema", *machine.get("command", [""])[1:]])
    text = CARD.format(
        name=name,
        system=about["system"],
        version=about["version"],
        command=command,
        data=data.get("describe", "not recorded"),
        data_hash=data.get("hash", "not recorded"),
        seed=about["settings"].get("seed", "not recorded"),
        commit=source.get("commit") or "not recorded",
        machine=", ".join(f"{key} {machine.get(key, '?')}" for key in ("machine", "cores", "torch")),
        steps=trained.get("step", "not recorded"),
        minutes=f"{trained['seconds'] / 60:.1f}" if "seconds" in trained else "not recorded",
        licence=about["licence"],
        scores=score_lines(rows),
    )
    about["command"] = command
    write_text(out / "card.md", text)
    return {row["protocol"]["metric"]: row["metrics"] for row in rows if row["name"] == about["system"]}


def last_line(run: Path) -> dict[str, Any]:
    """The last numbers that the run logged."""
    numbers = [line for line in read_lines(run) if "seconds" in line]
    return numbers[-1] if numbers else {}


def score_lines(rows: list[dict[str, Any]]) -> str:
    """The rows of the evaluation as a list."""
    lines = []
    for row in rows:
        numbers = ", ".join(
            f"{name} {value:.4g}" for name, value in row["metrics"].items() if value is not None
        )
        lines.append(f"- {row['name']}: {numbers} ({row['samples']} samples)")
    return "\n".join(lines) or "Not evaluated."
