"""`kinema data`: make, check, fetch or pack a set, cut time-lapse videos, measure faces."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from kinema.apps import options, say
from kinema.apps.data_faces import ActionUnits, action_units, check_faces
from kinema.apps.data_pictures import SHOWN, Fetch, Pack, check_pictures, fetch, pack
from kinema.apps.run import check_writable
from kinema.apps.train import TRAIN_PRESET, check_channels, open_data, preset_of
from kinema.core.config import apply, at_least_one
from kinema.core.errors import UsageError, nearest
from kinema.systems import load_class


@dataclass(frozen=True)
class Make:
    """Write a procedural data set as a folder of clips with metadata.jsonl, or of pictures."""

    name: tyro.conf.Positional[str]
    """sbmg (one digit) or tbmg (two), perhaps with :holdout; shapes; skies, perhaps with :signed; or the
    pictures called mirrored or heads"""
    out: Path
    """folder to write, new or empty"""
    n: int = 12_000
    """clips or pictures"""
    size: int = 64
    """side of the square frames in pixels"""
    frames: int | None = None
    """frames of a clip; None: 16 of digits and shapes, 32 of skies"""
    split: Literal["all", "train", "val"] = "all"
    """all: five sixths for training, the rest for validation"""
    seed: int = 0
    """fixes every clip or picture"""
    template: Literal["long", "short"] = "long"
    """wording of the captions of digits"""
    format: Literal["npz", "gif", "mp4", "webm"] | None = None
    """of clips; None: npz, which keeps the pixels exactly, as gif does; pictures are png"""
    json: bool = False
    """print what was made as JSON"""


@dataclass(frozen=True)
class Check:
    """Decode every clip or picture as training would, and say what is wrong."""

    folder: tyro.conf.Positional[Path]
    """holds the clips and their captions, a folder of pictures for each class, or faces with their action
    units; or a packed file, or the name of a set of pictures or faces"""
    system: Annotated[str, tyro.conf.arg(name="for")] = "tgans-c"
    """the system that shall be trained"""
    preset: str = TRAIN_PRESET
    """whose size and number of frames; the default is that of `kinema train`"""
    set: Annotated[tuple[tuple[str, ...], ...], tyro.conf.arg(metavar="KEY=VALUE …")] = ()
    """what of the preset is changed, as for `kinema train`"""
    json: bool = False
    """print the findings as JSON"""


@dataclass(frozen=True)
class Cut:
    """Cut time-lapse videos into clips of one length, squashed to a square, for training on one's own."""

    videos: tyro.conf.Positional[tuple[Path, ...]]
    """video files, or folders of frames"""
    out: Path
    """folder to write, new or empty"""
    frames: int = 32
    """frames of a clip"""
    size: int = 128
    """side of the square frames in pixels"""
    every: int = 1
    """take every n-th frame, to speed footage up"""
    jump: float = 0.1
    """mean change between neighbouring frames, of the whole range, that begins a new shot"""
    json: bool = False
    """print what was cut as JSON"""


def main(args: list[str]) -> int:
    """Parse and carry out one of the six."""
    parts = {
        "make": (Make, make),
        "check": (Check, check),
        "cut": (Cut, cut),
        "fetch": (Fetch, fetch),
        "pack": (Pack, pack),
        "action-units": (ActionUnits, action_units),
    }
    if options.wants_help(args):
        print(
            "kinema data make NAME --out DIR, kinema data check DIR --for SYSTEM, kinema data cut VIDEO … "
            "--out DIR, kinema data fetch cifar10|face-landmarker, kinema data pack DIR --out FILE.npz, "
            "kinema data action-units FOLDER|VIDEO … --out DIR; each has --help."
        )
        return 0
    word, rest = options.first_word(
        args, "make, check, cut, fetch, pack or action-units", "data check DIR --for tgans-c"
    )
    if word not in parts:
        raise UsageError(f"kinema data has {', '.join(parts)}, not '{word}'; {nearest(word, parts)}.")
    kind, function = parts[word]
    carry_out: Callable[[Any], int] = function
    return carry_out(options.parse(kind, rest, f"data {word}"))


def make(flags: Any) -> int:
    """Write the set."""
    from kinema.data import make as write
    from kinema.data.making import STILLS

    check_writable(flags.out, folder=True)
    settings = {k: v for k, v in dataclasses.asdict(flags).items() if k not in ("name", "n", "out", "json")}
    write(flags.name, flags.n, flags.out, **settings)
    what = "pictures" if flags.name in STILLS else "clips"
    say.result(dataclasses.asdict(flags), f"{flags.out}: {flags.n} {what} of {flags.name}", flags.json)
    return 0


def check(flags: Any) -> int:
    """Report on the folder; 1 when training would not start."""
    from kinema.data import check as examine

    preset = preset_of(flags.system, flags.preset)
    settings, config = apply(options.assignments(flags.set), preset.settings, preset.config)
    at_least_one(settings, "steps", "batch")
    reads = load_class(flags.system).reads
    if reads == "faces":
        return check_faces(flags, config)
    at_least_one(config, "frames", "size", "channels")
    check_channels(config)
    if reads == "pictures":
        return check_pictures(flags, config)
    shape = {"frames": config.frames, "size": config.size, "channels": config.channels}
    shape["frame_steps"] = getattr(config, "frame_steps", ())
    report = examine(flags.folder, **shape, captions=getattr(config, "conditional", True))
    if report.ok:
        build(flags.system, config, flags.folder)
    facts = {"folder": str(flags.folder), "for": flags.system, "preset": flags.preset}
    facts |= {"set": options.assignments(flags.set)} | dataclasses.asdict(report)
    facts["problems"] = [{"file": problem[0], "reason": problem[1]} for problem in report.problems]
    say.result(facts, in_words(flags, report), flags.json)
    return 0 if report.ok else 1


def build(system: str, config: Any, folder: Path) -> None:
    """Let the system refuse settings, as it would before training; its networks take no memory."""
    import torch

    kind = load_class(system)
    adapted = kind.adapt(config, open_data({"where": folder}, config, "train"))
    with torch.device("meta"):
        kind(adapted)


def cut(flags: Any) -> int:
    """Cut the videos and say what they gave."""
    from kinema.data import cut as write

    check_writable(flags.out, folder=True)
    how = {key: getattr(flags, key) for key in ("frames", "size", "every", "jump")}
    report = write(flags.videos, flags.out, **how)
    lines = [f"{flags.out}: {report.clips} clips from {report.shots} shots, {report.lost} frames left over"]
    lines += [f"  no clips from {file}: {reason}" for file, reason in report.problems]
    facts = {"out": str(flags.out), **how, **dataclasses.asdict(report)}
    facts["problems"] = [{"file": problem.file, "reason": problem.reason} for problem in report.problems]
    say.result(facts, "\n".join(lines), flags.json)
    return 0


def in_words(flags: Any, report: Any) -> str:
    """The findings as lines of text."""
    verdict = "ready for" if report.ok else "not usable for"
    preset = " ".join((flags.preset, *options.assignments(flags.set)))
    lines = [f"{flags.folder}: {verdict} {flags.system}, preset {preset}"]
    texts = f", {report.captions} different captions, {report.words} words" if report.captions else ""
    lines.append(f"  {report.clips} usable clips{texts}")
    for what, counts in (("sizes", report.sizes), ("frames", report.lengths)):
        lines.append(
            f"  {what}: " + ", ".join(f"{key} ({count} clips)" for key, count in list(counts.items())[:8])
        )
    lines += [f"  skipped {file}: {reason}" for file, reason in report.problems[:SHOWN]]
    if len(report.problems) > SHOWN:
        lines.append(f"  … and {len(report.problems) - SHOWN} more; --json names all")
    return "\n".join([*lines, *(f"  {advice}" for advice in report.advice)])
