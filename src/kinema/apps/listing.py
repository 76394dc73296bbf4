"""`kinema list`: systems, presets, settings and bundled weights."""

import dataclasses
import inspect
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from kinema.apps import options, weights
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
        rows: Any = [weights_row(name, folder) for name, folder in weights.bundled().items()]
        show = show_weights
    elif flags.name:
        rows, show = system_row(flags.name), show_system
    else:
        rows, show = [system_row(name) for name in SYSTEMS], show_systems
    if flags.json:
        json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        show(rows)
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
        "data": about.get("data", {}).get("describe", ""),
        "command": about.get("command", ""),
    }


def show_systems(rows: list[dict[str, Any]]) -> None:
    """One system a paragraph."""
    for row in rows:
        print(f"{row['name']}  {row['does']}")
        print(f"  presets: {', '.join(preset['name'] for preset in row['presets'])}")
        print(f"  weights: {', '.join(row['weights']) or 'none bundled yet'}")
    print("\n`kinema list NAME` shows presets and settings, `kinema list --weights` the bundled weights.")


def show_system(row: dict[str, Any]) -> None:
    """Presets with what they promise, then every setting."""
    print(f"{row['name']}  {row['does']}\n\npresets")
    for preset in row["presets"]:
        print(f"  {preset['name']:<10} {preset['does']} [data: {preset['data']}]")
    print("\nsettings, for `kinema train --set name=value` (the default in brackets)")
    for setting in row["settings"]:
        print(f"  {setting['name']:<22} {setting['means']} [{setting['default']}]")


def show_weights(rows: list[dict[str, Any]]) -> None:
    """A table of bundled weights."""
    if not rows:
        print("no weights are bundled; train some: `kinema train NAME --out DIR`.")
    for row in rows:
        scores = ", ".join(f"{key} {value:g}" for key, value in row["scores"].items()) or "no score stated"
        print(f"{row['name']:<20} {row['megabytes']:>6.2f} MB  {row['licence']}  {scores}")
