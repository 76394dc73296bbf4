"""Make a set of faces of one's own pictures and videos: upright crops, and action units for each.

The faces are found and cut out as for use (`face_finding`, `face_crop`). The units come from a function of
the frame, the face and its crop: the finder's own, or OpenFace's CSV. Neighbouring frames of a video are
nearly the same, so that its last tenth is for validation, or a tenth of the videos.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, MediaError, UsageError
from kinema.core.files import disk_errors, write_text
from kinema.core.results import Image
from kinema.data.action_units import UNITS
from kinema.data.cutting import split_rows
from kinema.data.face_crop import crop
from kinema.data.face_finding import Face, Finder
from kinema.data.face_folder import LEAST_CONFIDENCE, METADATA, doubt
from kinema.data.layout import STILL, Problem
from kinema.data.openface import Row, Units, read_csv
from kinema.media import read_image, save, stream

LEAST_SCORE = 0.8
"""of the finder, below which a face is left out"""
STILL_SPREAD = 0.02
"""standard deviation below which a unit does not vary in a set"""

Pixels = NDArray[np.uint8]


class Shot(NamedTuple):
    """A picture, or a frame of a video."""

    path: Path
    frame: int | None
    """from 1; None of a picture"""
    pixels: Pixels

    @property
    def name(self) -> str:
        """As it is reported."""
        return str(self.path) if self.frame is None else f"{self.path} frame {self.frame}"


Measure = Callable[[Shot, Face, Pixels], Units | str]
"""17 intensities from 0 to 1 of a face and its crop (S, S, 3), or why there are none"""


@dataclass
class GatherReport:
    """What `gather` made of pictures and videos."""

    faces: int = 0
    """crops written"""
    looked_at: int = 0
    """pictures and frames"""
    faceless: list[str] = field(default_factory=list)
    """pictures and frames in which no face was found"""
    crowded: list[str] = field(default_factory=list)
    """those with several faces"""
    left_out: list[Problem] = field(default_factory=list)
    """faces that were not sure enough"""
    problems: list[Problem] = field(default_factory=list)
    """files that could not be read"""
    units: dict[str, dict[str, float]] = field(default_factory=dict)
    """unit -> "mean", "spread" (standard deviation) and "largest" over the crops"""
    still: list[str] = field(default_factory=list)
    """units that do not vary, from which nothing is learned"""


def gather(
    sources: Sequence[str | Path],
    out: str | Path,
    finder: Finder,
    *,
    measure: Measure | None = None,
    size: int = 128,
    every: int = 1,
    least_score: float = LEAST_SCORE,
    everyone: bool = False,
) -> GatherReport:
    """Write a crop of every face into a new folder, with the metadata.jsonl that `open_faces` reads.

    Args:
        sources: pictures, folders of pictures, videos.
        out: a folder that does not exist yet or is empty.
        finder: of the faces.
        measure: gives their units; None takes the finder's.
        size: side of the crops in pixels.
        every: take every n-th frame of a video.
        least_score: of the finder, below which a face is left out.
        everyone: all faces of a picture, not the largest alone.

    Raises:
        DataError: `out` is not empty, or no face came out.
    """
    out, report = Path(out), GatherReport()
    if size < 16 or every < 1 or not 0 <= least_score <= 1:
        raise UsageError(
            "crops have 16 or more pixels a side, every is at least 1 and the confidence from 0 to 1; "
            f"given: {size}, {every} and {least_score:g}."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"'{out}' exists and is not an empty folder; name a new folder for the crops.")
    with disk_errors(out.parent):
        (out / "crops").mkdir(parents=True, exist_ok=True)
    measured = measure or (lambda shot, face, cut: face.units)
    rows: dict[Path, list[dict[str, Any]]] = {}
    for shot, face in _found(sources, finder, every, everyone, report):
        if face.confidence < least_score:
            report.left_out.append(Problem(shot.name, _unsure(face.confidence, least_score)))
            continue
        cut = crop(shot.pixels, face.place, size)
        units = measured(shot, face, cut)
        if isinstance(units, str):
            report.left_out.append(Problem(shot.name, units))
            continue
        file = f"crops/{report.faces:06d}.png"
        save(Image(cut), out / file)
        rows.setdefault(shot.path, []).append(_row(file, shot, face, units))
        report.faces += 1
    _finish(out, rows, sources, report)
    return report


def _found(
    sources: Sequence[str | Path], finder: Finder, every: int, everyone: bool, report: GatherReport
) -> Iterator[tuple[Shot, Face]]:
    """Every face that is asked for, noting on the way what there was."""
    last: tuple[Path, Face] | None = None
    for shot in shots(sources, every, report.problems):
        report.looked_at += 1
        follows = shot.frame is not None and last is not None and last[0] == shot.path and not everyone
        face = finder.follow(shot.pixels, last[1]) if follows and last else None
        faces = [face] if face is not None else finder.find(shot.pixels)
        if not faces:
            report.faceless.append(shot.name)
        if len(faces) > 1:
            report.crowded.append(shot.name)
        last = (shot.path, faces[0]) if faces else None
        for face in faces if everyone else faces[:1]:
            yield shot, face


def shots(sources: Sequence[str | Path], every: int, problems: list[Problem]) -> Iterator[Shot]:
    """The pictures and every n-th frame of the videos, one at a time; what cannot be read is noted."""
    for path in map(Path, sources):
        stills = sorted(p for p in path.rglob("*") if p.suffix.lower() in STILL) if path.is_dir() else [path]
        for file in stills:
            try:
                if file.suffix.lower() in STILL:
                    yield Shot(file, None, read_image(file, still=True).pixels)
                    continue
                with stream(file) as film:
                    for number, frame in enumerate(film):
                        if number % every == 0:
                            yield Shot(file, number + 1, frame)
            except MediaError as error:  # what came before the damage stays
                problems.append(Problem(str(file), str(error)))


def from_openface(where: Path, least_confidence: float = LEAST_CONFIDENCE) -> Measure:
    """Units from OpenFace's CSV: that of one video, or a folder with NAME.csv of every source."""
    if not where.exists():
        raise DataError(f"there is no CSV file or folder '{where}'.")

    @lru_cache(maxsize=1)
    def table(path: Path) -> dict[int | None, list[Row]] | str:
        try:
            rows = read_csv(path)
        except DataError as error:
            return str(error)
        frames: dict[int | None, list[Row]] = {}
        for row in rows:
            frames.setdefault(row.frame, []).append(row)
        return frames | {None: rows}

    def measure(shot: Shot, face: Face, cut: Pixels) -> Units | str:
        del face, cut
        path = where if where.is_file() else where / f"{shot.path.stem}.csv"
        if not path.is_file():
            return f"'{path}' is not there"
        frames = table(path)
        if isinstance(frames, str):
            return frames
        rows = frames.get(shot.frame, [])
        return doubt(rows, least_confidence) or rows[0].units

    return measure


def _unsure(confidence: float, least: float) -> str:
    return f"its confidence is {confidence:.2f} of {least:.2f}"


def _row(file: str, shot: Shot, face: Face, units: Units) -> dict[str, Any]:
    """A line of metadata.jsonl."""
    where = {key: round(value, 3) for key, value in face.place._asdict().items()}
    return {
        "file_name": file,
        "action_units": {unit: round(float(value), 4) for unit, value in zip(UNITS, units, strict=True)},
        "confidence": round(float(face.confidence), 3),
        "source": str(shot.path),
        "frame": shot.frame,
        "place": where,
    }


def _finish(
    out: Path, rows: dict[Path, list[dict[str, Any]]], sources: Sequence[str | Path], report: GatherReport
) -> None:
    """Write the list and sum the units up."""
    if not rows:
        (out / "crops").rmdir()  # so that the same command can be given again
        first = [f" ({name}: {reason})" for name, reason in [*report.problems, *report.left_out][:1]]
        raise DataError(
            f"no face came out of {', '.join(map(str, sources))}: {report.looked_at} pictures and frames, "
            f"{len(report.faceless)} without a face, {len(report.left_out)} left out{''.join(first)}."
        )
    videos = any(row["frame"] is not None for own in rows.values() for row in own)
    groups = list(rows.values())
    lines = list(split_rows(groups)) if videos else [row for own in groups for row in own]
    write_text(out / METADATA, "".join(json.dumps(line) + "\n" for line in lines))
    report.units, report.still = summary(np.array([list(line["action_units"].values()) for line in lines]))


def summary(units: NDArray[np.floating]) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Mean, spread and largest of every unit of (N, 17), and the units that do not vary."""
    facts = {
        unit: {
            key: round(float(value), 4)
            for key, value in (("mean", v.mean()), ("spread", v.std()), ("largest", v.max()))
        }
        for unit, v in zip(UNITS, units.T, strict=True)
    }
    return facts, [unit for unit, fact in facts.items() if fact["spread"] < STILL_SPREAD]
