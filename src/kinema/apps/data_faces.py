"""The parts of `kinema data` about faces: measure action units, check a folder."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from kinema.apps import options, say
from kinema.apps.data_pictures import SHOWN, more
from kinema.apps.run import check_writable
from kinema.core.config import at_least_one
from kinema.core.errors import UsageError
from kinema.systems import load_class


@dataclass(frozen=True)
class ActionUnits:
    """Find faces in pictures or videos; write upright crops and the intensities of their action units."""

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """pictures, folders of pictures, videos"""
    out: Path
    """folder to write, new or empty"""
    task: Path | None = None
    """MediaPipe's face_landmarker.task; without it the one that was fetched"""
    size: int = 128
    """side of the crops in pixels"""
    min_confidence: float | None = None
    """below it a face is left out; None: 0.8 of MediaPipe's detector, and 0.88 of OpenFace with --csv"""
    measure: Literal["both", "mediapipe", "reader"] = "both"
    """who reads the units: MediaPipe, our reader (trained on rendered heads), or for each the better one"""
    csv: Path | None = None
    """take the units from OpenFace's CSV: the file of a video, or a folder with NAME.csv of every source"""
    faces: Literal["largest", "all"] = "largest"
    """of a picture with several"""
    every: int = 1
    """take every n-th frame of a video"""
    json: bool = False
    """print what was found as JSON"""


def action_units(flags: ActionUnits) -> int:
    """Find, crop, measure, and say what came of it."""
    from kinema.data.face_finding import Finder
    from kinema.data.face_folder import LEAST_CONFIDENCE
    from kinema.data.face_gathering import LEAST_SCORE, from_openface, gather

    if not flags.sources:
        raise UsageError("no picture, folder or video was given.")
    if absent := [str(path) for path in flags.sources if not path.exists()]:
        raise UsageError(f"there is no file or folder '{absent[0]}'.")
    if flags.csv is not None and flags.faces == "all":
        raise UsageError("--csv goes with --faces largest: it does not say which of several is meant.")
    check_writable(flags.out, folder=True)
    given = flags.min_confidence
    measure = measures()[flags.measure]
    if flags.csv is not None:
        measure = from_openface(flags.csv, LEAST_CONFIDENCE if given is None else given)
    report = gather(
        flags.sources,
        flags.out,
        Finder(flags.task),
        measure=measure,
        size=flags.size,
        every=flags.every,
        least_score=LEAST_SCORE if given is None or flags.csv is not None else given,
        everyone=flags.faces == "all",
    )
    facts = {"out": str(flags.out), **dataclasses.asdict(report)}
    facts |= {name: as_dicts(getattr(report, name)) for name in ("problems", "left_out")}
    facts["reliability"] = "OpenFace" if flags.csv is not None else reliability(flags.measure)
    say.result(facts, gathered(flags, report), flags.json)
    return 0


def measures() -> dict[str, Any]:
    """Name -> function from a frame, a face and its crop to its units; None is the finder's own."""
    from kinema.data.face_units import measured, read_units

    return {
        "mediapipe": None,
        "reader": lambda shot, face, cut: read_units(cut[None])[0],
        "both": lambda shot, face, cut: measured(cut[None], face.units[None])[0],
    }


def reliability(measure: str) -> dict[str, str]:
    """What the number of each unit is worth; of our reader it is known on rendered heads only."""
    from kinema.data.action_units import UNITS
    from kinema.data.face_finding import mark
    from kinema.data.face_units import TRUSTED, reliability

    ours = {
        unit: measure == "reader" or (measure == "both" and not trusted)
        for unit, trusted in zip(UNITS, TRUSTED, strict=True)
    }
    r = reliability()
    return {unit: f"r {r[unit]:.2f} on renders" if ours[unit] else mark(unit) for unit in UNITS}


def gathered(flags: ActionUnits, report: Any) -> str:
    """The findings of `action_units` as lines of text."""
    lines = [
        f"{flags.out}: {report.faces} faces of {report.looked_at} pictures and frames",
        f"  no face in {len(report.faceless)}, several in {len(report.crowded)} ({flags.faces} taken), "
        f"{len(report.left_out)} left out, {len(report.problems)} files broken",
    ]
    lines += [f"  no face: {name}" for name in report.faceless[:3]]
    lines += [f"  left out {name}: {reason}" for name, reason in report.left_out[:3]]
    lines += [f"  broken {name}: {reason}" for name, reason in report.problems[:SHOWN]]
    marks = {} if flags.csv is not None else reliability(flags.measure)
    return "\n".join([*lines, *table(report.units, marks), *on_still(report.still)])


def table(units: dict[str, dict[str, float]], marks: dict[str, str]) -> list[str]:
    """Rows of mean, spread and largest; what is measured is worth as much as its mark says."""
    from kinema.data.action_units import MEANING

    head = ["unit", "is", "mean", "spread", "largest", *(["here"] if marks else [])]
    rows = [[u, MEANING[u], *values.values(), *([marks[u]] if marks else [])] for u, values in units.items()]
    return [f"  {line}" for line in say.columns(head, rows).splitlines()]


def on_still(still: list[str]) -> list[str]:
    """A line about units that do not vary."""
    return [f"  do not vary, so that nothing is learned of them: {', '.join(still)}"] if still else []


def check_faces(flags: Any, config: Any) -> int:
    """Report on a folder of faces; 1 when training would not start."""
    from kinema.data.face_checking import check_faces as examine

    at_least_one(config, "size")
    report = examine(flags.folder, size=config.size)
    if report.ok:
        build(flags.system, config)
    facts = {"folder": str(flags.folder), "for": flags.system, "preset": flags.preset}
    facts |= {"set": options.assignments(flags.set)} | dataclasses.asdict(report)
    facts |= {name: as_dicts(getattr(report, name)) for name in ("problems", "left_out")}
    say.result(facts, checked(flags, report), flags.json)
    return 0 if report.ok else 1


def build(system: str, config: Any) -> None:
    """Let the system refuse settings, as it would before training; its networks take no memory."""
    import numpy as np
    import torch

    from kinema.data import Faces
    from kinema.data.action_units import UNITS

    kind, n = load_class(system), len(UNITS)
    every = Faces(np.zeros((n, 1, 1, 3), np.uint8), np.eye(n, dtype=np.float32), "", "")  # each unit varies
    adapted = kind.adapt(config, every)
    with torch.device("meta"):
        kind(adapted)


def checked(flags: Any, report: Any) -> str:
    """The findings of `check_faces` as lines of text."""
    verdict = "ready for" if report.ok else "not usable for"
    preset = " ".join((flags.preset, *options.assignments(flags.set)))
    counts = f"{report.faces['train']} faces to train on, {report.faces['val']} for validation"
    sizes = ", ".join(f"{size} ({count})" for size, count in list(report.sizes.items())[:8])
    lines = [
        f"{flags.folder}: {verdict} {flags.system}, preset {preset}",
        f"  {counts}; units of {report.source}",
        f"  sizes: {sizes}",
        *table(report.units, {}),
    ]
    lines += [f"  skipped {file}: {reason}" for file, reason in report.problems[:SHOWN]]
    lines += more(len(report.problems))
    lines += [f"  left out {file}: {reason}" for file, reason in report.left_out[:3]]
    return "\n".join([*lines, *(f"  {advice}" for advice in report.advice)])


def as_dicts(problems: list[Any]) -> list[dict[str, str]]:
    """As JSON has them."""
    return [{"file": file, "reason": reason} for file, reason in problems]
