"""`kinema convert NAME FILE … --out DIR`: a published checkpoint becomes a weights folder."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from kinema import __version__
from kinema.apps import options, say, weights
from kinema.apps.run import check_writable
from kinema.core.config import to_dict
from kinema.core.errors import DataError, UsageError, WeightsError, nearest
from kinema.core.files import write_text
from kinema.systems import load_class, load_layouts

Layout = Callable[[dict[str, Any]], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Options:
    """Import a published checkpoint; nothing in it is run."""

    name: tyro.conf.Positional[str]
    """the system that it is of"""
    file: tyro.conf.Positional[tuple[Path, ...]]
    """the checkpoint (.pth, .pt, .pkl, .npz, .safetensors), or the several files that it comes in"""
    out: Path
    """folder to write"""
    layout: str | None = None
    """whose naming the checkpoint follows; default: the first that fits"""
    json: bool = False
    """print what was imported as JSON"""


def main(args: list[str]) -> int:
    """Read, rename, check against the system, write."""
    flags = options.parse(Options, args, "convert")
    layouts = load_layouts(flags.name)
    if flags.layout is not None and flags.layout not in layouts:
        raise UsageError(f"{flags.name} has no layout '{flags.layout}'; {nearest(flags.layout, layouts)}.")
    check_writable(flags.out, folder=True)
    if flags.out.exists() and any(flags.out.iterdir()):
        raise DataError(f"{flags.out} is not empty; name a new folder for the imported weights.")
    checkpoint = read_files(flags.file)
    names = [flags.layout] if flags.layout else list(layouts)
    layout, config, state = first_fitting(
        shown(flags.file), checkpoint, {name: layouts[name] for name in names}
    )
    facts = write(flags, layout, config, state)
    lacking = f"; not in the checkpoint: {', '.join(facts['lacking'])}" if facts["lacking"] else ""
    say.result(facts, f"{flags.out}: {facts['tensors']} tensors, layout {layout}{lacking}", flags.json)
    return 0


def read_files(files: tuple[Path, ...]) -> dict[str, Any]:
    """One file as it is; of several, a dict from their names without endings to what they hold."""
    from kinema.apps.checkpoints import read_checkpoint

    if not files:
        raise UsageError("no checkpoint was named.")
    if len(files) == 1:
        return read_checkpoint(files[0])
    return {file.stem: read_checkpoint(file) for file in files}


def shown(files: tuple[Path, ...]) -> str:
    """The files in a sentence."""
    return " + ".join(map(str, files))


def first_fitting(
    file: str, checkpoint: dict[str, Any], layouts: dict[str, Layout]
) -> tuple[str, Any, dict[str, Any]]:
    """The first layout that understands the checkpoint, with the config and the renamed tensors."""
    reasons = []
    for name, read in layouts.items():
        try:
            config, state = read(checkpoint)
        except WeightsError as error:
            reasons.append(f"{name}: {error}")
            continue
        return name, config, state
    raise WeightsError(f"{file} follows no known layout ({'; '.join(reasons)})")


def write(flags: Options, layout: str, config: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Check the tensors against the system and write the folder; returns what config.json says besides."""
    system = load_class(flags.name)(config)
    wanted = system.state_dict()
    parts = complete_parts(set(state), list(wanted))
    wrong = weights.differences(state, wanted, parts)
    if wrong:
        raise WeightsError(
            f"{shown(flags.file)} {wrong[0]} ({len(wrong)} differences): no {flags.name} of layout {layout}."
        )
    about = {
        "system": flags.name,
        "version": __version__,
        "config": to_dict(config),
        "modules": parts,
        "source": {
            "file": " + ".join(file.name for file in flags.file),
            "layout": layout,
            "sha256": " + ".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in flags.file),
        },
    }
    flags.out.mkdir(parents=True, exist_ok=True)
    weights.write_tensors(state, flags.out / weights.FILE)
    write_text(flags.out / "config.json", json.dumps(about, indent=2) + "\n")
    lacking = sorted({key.split(".")[0] for key in wanted if key not in state})
    return {
        "out": str(flags.out),
        "layout": layout,
        "tensors": len(state),
        "lacking": lacking,
        "config": about["config"],
    }


def complete_parts(given: set[str], wanted: list[str]) -> list[str]:
    """The fewest module names below which every tensor is given.

    Example:
        >>> complete_parts({"a.x", "b.c.y"}, ["a.x", "b.c.y", "b.d.z"])
        ['a', 'b.c']
    """
    parts: list[str] = []
    for key in sorted(given & set(wanted)):
        if any(key.startswith(f"{part}.") for part in parts):
            continue
        words = key.split(".")
        heads = [".".join(words[: n + 1]) for n in range(len(words))]
        whole = (h for h in heads if all(k in given for k in wanted if k == h or k.startswith(f"{h}.")))
        parts.append(next(whole))
    return parts
