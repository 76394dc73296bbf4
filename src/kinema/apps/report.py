"""report.html and README.md of a run folder: losses, previews, warnings and scores on one page."""

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinema.apps.chart import chart
from kinema.apps.page import page, picture, section, table, text
from kinema.core.errors import WeightsError
from kinema.core.files import write_text

Lines = dict[str, list[tuple[float, float]]]
"""name -> points"""
SCORES = "scores.json"
GENERAL = ("step", "images", "seconds", "images_per_second", "note")
SHOWN_PREVIEWS = 6

README = """# A training run of {system}

{describe} Preset `{preset}`; {step} steps so far.

    {command}   # goes on
    kinema run {folder} --help   # uses the weights
    kinema evaluate {folder}   # scores them

`weights.safetensors` is for use (averaged where an average is kept), `state.safetensors` for going on.
`metrics.jsonl` has every logged number, `report.html` shows them. What the weights make says it is synthetic.
"""


def write_report(folder: Path) -> None:
    """Write both files from what the run folder holds; called after saved states and evaluations."""
    about, lines = read_json(folder / "config.json"), read_lines(folder)
    write_text(folder / "report.html", page(f"{about['system']} — {folder.name}", body(folder, about, lines)))
    facts = {
        "system": about["system"],
        "preset": about.get("preset", "—"),
        "step": last_step(lines),
        "folder": folder,
        "describe": (about.get("data") or {}).get("describe", ""),
        "command": command_of(folder) or "not recorded",
    }
    write_text(folder / "README.md", README.format(**facts))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the run folder; an empty dict where there is none."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}") from None


def command_of(folder: Path) -> str | None:
    """The command that trained the weights of a run folder or an exported one; None where it is not known."""
    words = read_json(folder / "environment.json").get("command")
    told: str | None = read_json(folder / "config.json").get("command")
    return shlex.join(["kinema", *words[1:]]) if words else told


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """The entries of metrics.jsonl; a line cut short is left out."""
    entries = []
    path = folder / "metrics.jsonl"
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def last_step(lines: list[dict[str, Any]]) -> int:
    """How far the log goes."""
    return int(max((line.get("step", 0) for line in lines), default=0))


def body(folder: Path, about: dict[str, Any], lines: list[dict[str, Any]]) -> list[str]:
    """All sections of the page, those with nothing to show left out."""
    notes = [f'<p class="warn">{text(n["note"])} (step {n["step"]})</p>' for n in lines if "note" in n]
    return [
        *head(folder, about, lines),
        *section("Warnings", notes),
        *section("Scores", scores(folder)),
        *section("Previews", previews(folder)),
        *section("Losses", [f'<div class="grid">{"".join(charts(lines))}</div>'] if lines else []),
        *section("Settings", settings(folder, about)),
    ]


def head(folder: Path, about: dict[str, Any], lines: list[dict[str, Any]]) -> list[str]:
    """What was trained, on what, how far and how fast."""
    numbers = [line for line in lines if "images_per_second" in line]
    latest = numbers[-1] if numbers else {}
    facts = [
        folder.name,
        f"preset {about.get('preset', '—')}",
        f"step {last_step(lines)} of {about.get('settings', {}).get('steps', '—')}",
        f"{latest.get('images_per_second', 0):g} clips/s",
        f"{latest.get('seconds', 0) / 60:.1f} minutes of training",
        f"kinema {about.get('version', '?')}",
        time.strftime("%Y-%m-%d %H:%M"),
    ]
    return [
        f"<h1>{text(about['system'])}</h1>",
        f"<p>{text((about.get('data') or {}).get('describe', ''))}</p>",
        f'<p class="soft">{text(" · ".join(facts))}</p>',
    ]


def charts(lines: list[dict[str, Any]]) -> list[str]:
    """One chart of loss terms for each player, one of all gradient norms, one of the speed."""
    players: dict[str, Lines] = {}
    for line in lines:
        for name, value in line.items():
            if name in GENERAL[:3] or name == "note" or not isinstance(value, int | float):
                continue
            player, _, term = name.rpartition("/")
            if term == "gradient_norm":
                player, term = "gradient norm", player
            players.setdefault(player or "speed", {}).setdefault(term, []).append((line["step"], value))
    order = sorted(players, key=lambda player: (player in ("gradient norm", "speed"), player))
    return [chart(player, players[player]) for player in order]


def previews(folder: Path) -> list[str]:
    """The latest preview large, earlier ones below, evenly chosen."""
    files = sorted(p for p in (folder / "previews").glob("*") if p.suffix in (".gif", ".png"))
    if not files:
        return []
    *earlier, latest = files
    every = max(1, -(-len(earlier) // SHOWN_PREVIEWS))
    small = "".join(picture(path, f"step {int(path.stem)}") for path in earlier[::every])
    big = picture(latest, f"step {int(latest.stem)}; the same items and noise each time")
    row = f'<div class="grid small">{small}</div>' if small else ""
    return [f'<div class="grid large">{big}</div>', row]


def scores(folder: Path) -> list[str]:
    """The rows of the last `kinema evaluate`, a table for each metric."""
    found = read_json(folder / SCORES)
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in found.get("rows", []):
        tables.setdefault(str(row.get("protocol", {}).get("metric", "")), []).append(row)
    parts = []
    for rows in tables.values():
        names = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
        numbers = [[_number(row["metrics"].get(name)) for name in names] for row in rows]
        cells = [[row["name"], *line, row["samples"]] for row, line in zip(rows, numbers, strict=True)]
        parts += [table(["", *names, "samples"], cells), *curves(rows)]
    foot = f'<p class="soft">measured at step {found.get("step", "?")}; {SCORES} has the protocols</p>'
    return [*parts, foot] if parts else []


def curves(rows: list[dict[str, Any]]) -> list[str]:
    """A chart of every number that the rows of one metric give by frame, by samples or by truncation."""
    first = [rows[0]["name"]]
    charts = [chart(title, near(lines, first), unit) for title, unit, lines in curves_of(rows)]
    return [f'<div class="grid">{"".join(charts)}</div>'] if charts else []


def curves_of(rows: list[dict[str, Any]]) -> list[tuple[str, str, Lines]]:
    """Title, unit of the axis, and the points of each row, of every curve in the rows of one metric."""
    found: dict[tuple[str, str], Lines] = {}
    for row in rows:
        protocol = row.get("protocol", {})
        for name, values in protocol.get("by frame", {}).items():
            found.setdefault((f"{name} by frame", "frame"), {})[row["name"]] = list(enumerate(values, 2))
        for unit in ("samples", "truncation"):
            for name, points in protocol.get(f"by {unit}", {}).items():
                found.setdefault((f"{name} by {unit}", unit), {})[row["name"]] = [(x, y) for x, y in points]
    return [(title, unit, lines) for (title, unit), lines in found.items()]


def near(series: Lines, chief: Sequence[str]) -> Lines:
    """The curves of the rows `chief`, and those others that come down to twice their highest point."""
    top = max((y for name in chief for _, y in series.get(name, ())), default=float("inf"))
    return {k: v for k, v in series.items() if k in chief or min(y for _, y in v) <= 2 * top}


def settings(folder: Path, about: dict[str, Any]) -> list[str]:
    """Every setting and the machine, folded away."""
    machine = read_json(folder / "environment.json")
    values = {**about.get("settings", {}), **about["config"], **machine}
    shown = [(key, ", ".join(map(str, v)) if isinstance(v, list) else v) for key, v in values.items()]
    return [f"<details><summary>all {len(shown)}</summary>{table(['', ''], shown)}</details>"]


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"
