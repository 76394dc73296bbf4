"""`kinema list`: systems, presets, settings and bundled weights."""

import dataclasses
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from kinema.apps import options, say, weights
from kinema.core.config import RunSettings
from kinema.systems import SYSTEMS, load_presets


@dataclass(frozen=True)
class Options:
    """Show systems and presets; with NAME its settings; with --weights what is bundled."""

    name: tyro.conf.Positional[str | None] = None
    """one system, with all its presets and settings"""
    weights: bool = False
    """bundled weights with size, licence and score"""
    json: bool = False
    """print as JSON"""


def main(args: list[str]) -> int:
    """Parse, collect, print."""
    flags = options.parse(Options, args, "list")
    if flags.weights:
        found = [weights_row(name, folder) for name, folder in weights.bundled().items()]
        say.result(found, weights_text(found), flags.json)
    elif flags.name:
        row = system_row(flags.name)
        say.result(row, system_text(row), flags.json)
    else:
        rows = [system_row(name) for name in SYSTEMS]
        say.result(rows, systems_text(rows), flags.json)
    return 0


def system_row(name: str) -> dict[str, Any]:
    """A system with its presets; imports no torch."""
    presets = {key: make() for key, make in load_presets(name).items()}
    docs = {key: " ".join((inspect.getdoc(make) or "").split()) for key, make in load_presets(name).items()}
    config = type(next(iter(presets.values())).config)
    return {
        "name": name,
        "does": SYSTEMS[name].does,
        "presets": [{"name": key, "data": preset.data, "does": docs[key]} for key, preset in presets.items()],
        "settings": [*settings_rows(RunSettings), *settings_rows(config)],
        "weights": [
            key for key, folder in weights.bundled().items() if weights.read_about(folder)["system"] == name
        ],
    }


def settings_rows(kind: type[Any]) -> list[dict[str, str]]:
    """Every field of a configuration: name, default, what it means."""
    docs = options.field_docs(kind)
    return [
        {"name": field.name, "default": str(field.default), "means": docs.get(field.name, "")}
        for field in dataclasses.fields(kind)
    ]


def weights_row(name: str, folder: Path) -> dict[str, Any]:
    """Size, licence and score of bundled weights, as their config.json states them."""
    about = weights.read_about(folder)
    return {
        "name": name,
        "system": about["system"],
        "megabytes": round(sum(file.stat().st_size for file in weights.files_of(folder)) / 1e6, 2),
        "licence": about.get("licence", "not stated"),
        "scores": about.get("scores", {}),
        "headlines": weights.headlines(about),
        "data": about.get("data", {}).get("describe", ""),
        "command": about.get("command", ""),
    }


def systems_text(rows: list[dict[str, Any]]) -> str:
    """One system a paragraph."""
    lines = []
    for row in rows:
        lines.append(f"{row['name']}  {row['does']}")
        lines.append(f"  presets: {', '.join(preset['name'] for preset in row['presets'])}")
        lines.append(f"  weights: {', '.join(row['weights']) or 'none bundled'}")
    end = "`kinema list NAME` shows presets and settings, `kinema list --weights` the bundled weights."
    return "\n".join([*lines, "", end])


def system_text(row: dict[str, Any]) -> str:
    """Presets with what they promise, then every setting."""
    presets = [[f"  {p['name']}", f"{p['does']} [data: {p['data']}]"] for p in row["presets"]]
    settings = [[f"  {s['name']}", f"{s['means']} [{s['default']}]"] for s in row["settings"]]
    return "\n".join(
        [
            f"{row['name']}  {row['does']}",
            "",
            say.columns(["presets", ""], presets),
            "",
            say.columns(
                ["settings", "for `kinema train --set name=value`, the default in brackets"], settings
            ),
        ]
    )


def weights_text(rows: list[dict[str, Any]]) -> str:
    """A table of bundled weights."""
    if not rows:
        return "no weights are bundled; train some: `kinema train NAME --out DIR`."
    cells = [
        [
            row["name"],
            row["megabytes"],
            row["licence"],
            ", ".join(f"{k} {v:.3g}" for k, v in row["headlines"].items()),
        ]
        for row in rows
    ]
    return say.columns(["weights", "MB", "licence", "scores"], cells)
