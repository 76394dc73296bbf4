"""Cut one's own time-lapse videos into clips of equal length, squashed to a square, ready for training.

A clip holds consecutive frames of one shot: where neighbouring frames differ as a whole, a new shot begins.
Clips of one video never fall on both sides of the split, unless there is only one video.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, MediaError, UsageError
from kinema.core.results import Video
from kinema.data.layout import VAL_SHARE, Problem
from kinema.data.prepare import squash
from kinema.media import save, stream

THUMBNAIL = 16
"""side of the pictures in which shots are told apart"""


@dataclass
class CutReport:
    """What `cut` made of the videos."""

    clips: int = 0
    """written"""
    shots: int = 0
    """found in all videos"""
    lost: int = 0
    """frames at the ends of shots that fill no clip"""
    problems: list[Problem] = field(default_factory=list)
    """(video, reason) of what gave no clip"""


def cut(
    videos: Sequence[str | Path],
    out: str | Path,
    *,
    frames: int = 32,
    size: int = 128,
    every: int = 1,
    jump: float = 0.1,
) -> CutReport:
    """Write non-overlapping clips of all videos into a new folder, with the list that `open_clips` reads.

    Args:
        videos: video files, or folders of frames.
        out: a folder that does not exist yet or is empty.
        frames: frames a clip.
        size: side of the square frames in pixels.
        every: take every n-th frame, to speed footage up.
        jump: mean change between neighbouring frames, as a share of the whole range, that begins a new shot.
    """
    out, report = Path(out), CutReport()
    if not videos:
        raise UsageError("no video was given; name files, or folders of frames.")
    if frames < 2 or size < 16 or every < 1 or not 0 < jump <= 1:
        raise UsageError(
            "a clip has at least 2 frames of at least 16 pixels, every is at least 1 and jump in (0, 1]; "
            f"given: frames={frames}, size={size}, every={every}, jump={jump:g}."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"'{out}' exists and is not an empty folder; name a new folder for the clips.")
    rows: list[list[dict[str, Any]]] = []
    for number, path in enumerate(map(Path, videos)):
        found = list(_cut_one(path, f"{number:04d}-{path.stem}", out, (frames, size, every, jump), report))
        if found:
            rows.append(found)
    if not rows:
        first = report.problems[0]
        raise DataError(f"no clip of {frames} frames could be cut ({first.file}: {first.reason}).")
    lines = [json.dumps(row) + "\n" for row in split_rows(rows)]
    (out / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    report.clips = len(lines)
    return report


def _cut_one(
    path: Path, name: str, out: Path, how: tuple[int, int, int, float], report: CutReport
) -> Iterator[dict[str, Any]]:
    """Write the clips of one video; gives their rows of the list."""
    frames, size, every, jump = how
    held: list[NDArray[np.uint8]] = []
    clips = longest = 0
    try:
        with stream(path) as film:
            for first, frame, begins in shots(film, size, every, jump):
                if begins:
                    report.shots, report.lost, held = report.shots + 1, report.lost + len(held), []
                held.append(frame)
                longest = max(longest, len(held))
                if len(held) == frames:
                    file = f"{name}-{clips:05d}.npz"
                    save(Video(np.stack(held), film.info.fps), out / file)
                    yield {"file_name": file, "video": path.name, "first_frame": first - (frames - 1) * every}
                    clips, held = clips + 1, []
    except MediaError as error:  # what came before the damage stays
        report.problems.append(Problem(str(path), str(error)))
    report.lost += len(held)
    if not clips and (not report.problems or report.problems[-1].file != str(path)):
        reason = f"its longest shot has {longest} frames; {frames} are needed"
        report.problems.append(Problem(str(path), reason))


def shots(
    film: Iterable[NDArray[np.uint8]], size: int, every: int, jump: float
) -> Iterator[tuple[int, NDArray[np.uint8], bool]]:
    """Every n-th frame (S, S, 3) with its number in the film, and whether a shot begins with it."""
    before = None
    for number, frame in enumerate(film):
        if number % every:
            continue
        small = squash(frame, size)
        thumbnail = squash(small, THUMBNAIL).astype(np.float32) / 255
        yield number, small, before is None or float(np.abs(thumbnail - before).mean()) > jump
        before = thumbnail


def split_rows(videos: list[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Mark a tenth of the videos for validation, or the last tenth of the clips of a single one."""
    if len(videos) == 1:
        held = max(1, round(VAL_SHARE * len(videos[0]))) if len(videos[0]) > 1 else 0
        videos = [videos[0][: len(videos[0]) - held], videos[0][len(videos[0]) - held :]]
        trained = 1
    else:
        trained = len(videos) - max(1, round(VAL_SHARE * len(videos)))
    for place, rows in enumerate(videos):
        for row in rows:
            yield {**row, "split": "train" if place < trained else "val"}
