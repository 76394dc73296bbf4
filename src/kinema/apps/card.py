"""card.md of exported weights: which command made them, from what, and how good they are."""

from pathlib import Path
from typing import Any

from kinema.apps.report import SCORES, command_of, read_json, read_lines
from kinema.core.files import write_text

ORIGIN = ("command", "init_from", "commit", "machine", "steps", "minutes", "scores")
"""keys of config.json that say how the weights came to be"""
CARD = """# {name}

Weights of {system} for kinema {version}. What they make is synthetic, and every file made with them says so.

| | |
| --- | --- |
| command | `{command}` |
| begun with | {begun_with} |
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


def write_card(out: Path, name: str, run: Path, about: dict[str, Any]) -> None:
    """Write the card, and add to `about` (which becomes config.json) how the weights came to be.

    Args:
        out: folder to write to.
        name: of the weights.
        run: the run folder, or the exported folder, that they are taken from.
        about: what config.json of `out` will say.
    """
    rows = read_json(run / SCORES).get("rows", [])
    source = read_json(run / "config.json")
    if (run / "environment.json").exists():
        about |= origin(run, source, rows)
    else:  # exported before: its config.json says what the run's files said
        about |= {key: source.get(key) for key in ORIGIN}
        scores = (source.get("scores") or {}).values()
        rows = [{"name": about["system"], "metrics": numbers} for numbers in scores]
    data = about.get("data") or {}
    facts = {
        **{key: about[key] for key in ORIGIN},
        "begun_with": begun_with(about["init_from"] or {"weights": about["settings"].get("init_from")}),
        "data": data.get("describe"),
        "data_hash": data.get("hash"),
        "seed": about["settings"].get("seed"),
    }
    stated = {key: "not recorded" if value is None else value for key, value in facts.items()}
    stated |= {key: about[key] for key in ("system", "version", "licence")}
    stated |= {"name": name, "scores": score_lines(rows)}
    write_text(out / "card.md", CARD.format(**stated))


def origin(run: Path, source: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the files of a run folder say of how its weights were made; `scores` are the system's own."""
    machine, trained = read_json(run / "environment.json"), last_line(run)
    return {
        "command": command_of(run),
        "init_from": source.get("init_from"),
        "commit": source.get("commit"),
        "machine": ", ".join(f"{key} {machine.get(key, '?')}" for key in ("machine", "cores", "torch")),
        "steps": trained.get("step"),
        "minutes": round(trained["seconds"] / 60, 1) if "seconds" in trained else None,
        "scores": {
            row["protocol"]["metric"]: row["metrics"] for row in rows if row["name"] == source["system"]
        },
    }


def begun_with(init_from: dict[str, Any]) -> str:
    """The weights that the training began with, and the command that had made them."""
    if init_from["weights"] is None:
        return "nothing"
    return f"`{init_from['weights']}`, made by `{init_from.get('command') or 'a command not recorded'}`"


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
        samples = f" ({row['samples']} samples)" if "samples" in row else ""
        lines.append(f"- {row['name']}: {numbers}{samples}")
    return "\n".join(lines) or "Not evaluated."
