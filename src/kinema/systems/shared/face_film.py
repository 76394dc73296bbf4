"""A face through a video: where it is in each frame, and the track of its action units."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Pixels
from kinema.data.face_crop import Place, crop
from kinema.data.face_units import measured
from kinema.media import stream
from kinema.nn.unit_reader import SIDE

if TYPE_CHECKING:
    from kinema.data.face_finding import Face, Finder

log = logging.getLogger("kinema")
STEADY = 0.6
"""share of a place that is taken over from the frame before"""
JUMP = 0.25
"""distance in sides of the crop beyond which a face is taken to have jumped, and is not steadied"""
WINDOW = np.array([1, 2, 3, 2, 1], np.float32) / 9
"""over which a track is averaged, centred"""


class Track(NamedTuple):
    """Action units over time."""

    units: NDArray[np.float32]
    """(T, 17)"""
    fps: Fraction


def followed(file: Path, finder: "Finder", which: int = 0) -> Iterator[tuple[Pixels, "Face | None"]]:
    """Every frame of a video and its face, the place steadied; None where it is not there."""
    face: Face | None = None
    last: Face | None = None
    steady: Place | None = None
    with stream(file) as clip:
        for pixels in clip:
            face = finder.follow(pixels, face) if face is not None else None
            if face is None:
                face = chosen(finder.find(pixels), last, which)
            last = face or last
            steady = None if face is None else steadied(steady, face.place)
            yield pixels, None if face is None or steady is None else face._replace(place=steady)


def chosen(found: "list[Face]", last: "Face | None", which: int) -> "Face | None":
    """Of the faces of a frame the one nearest to where it was last seen; at first by its number."""
    if last is None:
        return found[which] if which < len(found) else None
    seen = last.place
    return min(found, key=lambda f: np.hypot(f.place.x - seen.x, f.place.y - seen.y), default=None)


def steadied(before: Place | None, now: Place) -> Place:
    """The place, mostly as it was, unless the face has jumped."""
    if before is None or np.hypot(now.x - before.x, now.y - before.y) > JUMP * now.side:
        return now
    turn = (now.angle - before.angle + np.pi) % (2 * np.pi) - np.pi
    x, y, side = (STEADY * a + (1 - STEADY) * b for a, b in zip(before[:3], now[:3], strict=True))
    return Place(x, y, side, before.angle + (1 - STEADY) * turn)


def driving(file: Path, finder: "Finder | None") -> Track:
    """The units of a video's face, smoothed; where it is not seen, those of before are held.

    Raises:
        MediaError: no frame shows a face.
    """
    if finder is None:
        raise UsageError("a driving video needs faces to be searched: leave --cropped out.")
    crops, found, seen = [], [], []
    for pixels, face in followed(file, finder):
        seen.append(face is not None)
        if face is not None:
            crops.append(crop(pixels, face.place, SIDE))
            found.append(face.units)
    if not crops:
        raise MediaError(f"no face was found in any frame of '{file}', so it cannot drive anything.")
    if len(crops) < len(seen):
        log.warning("%d of %d frames of '%s' show no face; the last expression is held.",
                    len(seen) - len(crops), len(seen), file)  # fmt: skip
    last = np.maximum(np.cumsum(seen) - 1, 0)  # before the first face: as in the first
    with stream(file) as clip:
        fps = clip.info.fps
    return Track(smoothed(measured(np.stack(crops), np.stack(found))[last]), fps)


def smoothed(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """A centred window along time over a track (T, 17); ends are repeated."""
    reach = len(WINDOW) // 2
    wide = np.pad(units, ((reach, reach), (0, 0)), mode="edge")
    return np.asarray(sum(w * wide[k : k + len(units)] for k, w in enumerate(WINDOW)), np.float32)
