"""What is asked of GANimation and StarGAN: which units a face shall have, where, and by whose consent."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import MediaError, UsageError
from kinema.core.system import Extent
from kinema.data.action_units import UNITS, said, unit_called
from kinema.data.layout import STILL
from kinema.media import probe, read_provenance
from kinema.systems.shared.face_config import FaceRequest

Floats = NDArray[np.float32]
Wanted = Callable[[Floats], Floats]
"""the units of a face (17,) -> those that it shall have"""
STRIP, SWEPT, LONGEST = 4, 4, 1000
"""steps of a strip; pictures of a sweep that is no clip; frames of a clip"""
MOST_BYTES = 2**31
"""of all frames of a request together"""


def wanted(request: FaceRequest) -> Wanted:
    """An expression is of the whole face; action units alone leave the others as they are."""
    asked = said(request.action_units, request.expression)

    def units(own: Floats) -> Floats:
        out = np.zeros_like(own) if request.expression else own.copy()
        for name, intensity in asked.items():
            out[UNITS.index(name)] = intensity
        return out

    return units


def on_the_way(target: Wanted, n: int) -> list[Wanted]:
    """N steps from the face as it is to what is asked; a single one is all of it."""

    def at(share: float) -> Wanted:
        return lambda own: own + np.float32(share) * (target(own) - own)

    return [at(float(share)) for share in (np.linspace(0, 1, n) if n > 1 else np.ones(1))]


def exactly(units: Floats) -> Wanted:
    """These, whatever the face's own are."""
    return lambda own: units


def swept(unit: str, n: int) -> list[Wanted]:
    """N steps of one unit from 0 to 1, the others as they are."""

    def at(intensity: float) -> Wanted:
        return lambda own: np.where(np.arange(len(UNITS)) == UNITS.index(unit), np.float32(intensity), own)

    return [at(float(intensity)) for intensity in np.linspace(0, 1, n)]


def check(request: FaceRequest) -> None:
    """Refuse what contradicts itself or names nothing, before anything is read."""
    said(request.action_units, request.expression)
    asks = {
        "--expression or --action-units": bool(request.expression or request.action_units),
        "--sweep": request.sweep is not None,
        "--strip": request.strip,
        "--from": request.driver is not None,
    }
    named = [name for name, given in asks.items() if given]
    if len(named) != 1:
        given = "nothing" if not named else " and ".join(named)
        raise UsageError(f"one of {', '.join(asks)} says what the face shall do; given was {given}.")
    if request.sweep is not None:
        unit_called(request.sweep)
    if (request.video is None) == (not request.image):
        raise UsageError("give either photographs with --image or one film with --video.")
    if request.video is not None and not asks["--expression or --action-units"]:
        raise UsageError("a video is edited by --expression or --action-units.")
    if request.cropped and (request.video or request.driver):
        raise UsageError("--cropped is for pictures; in videos faces are searched.")
    if request.masks and not asks["--expression or --action-units"]:
        raise UsageError("--masks show one edit: give --expression or --action-units.")
    if request.masks and request.video is not None:
        raise UsageError("--masks are of pictures, not of a video.")
    if len(request.face) > 1 and (request.strip or request.masks or request.video is not None):
        raise UsageError("a strip, masks and a video are of one face at a time.")
    if min(request.face, default=0) < 0:
        raise UsageError("faces are numbered from 0, the largest.")
    if request.cropped and (request.face or request.task):
        raise UsageError("--cropped pictures are searched for no face: leave --face and --task out.")
    if request.frames is not None and request.clip_frames is None:
        raise UsageError("--frames are of a still picture's clip; a strip, masks and videos have their own.")
    if request.frames is not None and not 1 <= request.frames <= LONGEST:
        raise UsageError(f"frames are from 1 to {LONGEST}, not {request.frames}.")


def check_consent(request: FaceRequest, file: Path) -> None:
    """A photograph or film needs the word of who is seen in it; heads that kinema rendered do not."""
    if request.consent.strip():
        return
    probe(file)  # a broken file is told first
    note: dict[str, Any] = {}
    with suppress(MediaError):  # it carries no note
        note = read_provenance(file)
    if "data" not in note:
        raise UsageError(
            f"'{file}' may show a person, whose face will do what it did not: say who agreed with --consent, "
            "such as --consent myself. It is written into the file."
        )


def pictures(images: Iterable[str]) -> list[Path]:
    """Every picture named, those of folders in the order of their names."""
    found: list[Path] = []
    for image in map(Path, images):
        inside = (
            sorted(p for p in image.iterdir() if p.suffix.lower() in STILL) if image.is_dir() else [image]
        )
        if not inside:
            raise UsageError(f"folder '{image}' holds no pictures; expected {', '.join(sorted(STILL))}.")
        found += inside
    return found


def check_memory(frames: int, height: int, width: int) -> None:
    """Refuse what would fill the memory: frames of all clips together, of this size."""
    total = frames * height * width * 3
    if total > MOST_BYTES:
        raise UsageError(
            f"{frames} frames of {width}x{height} need {total / 1e9:.1f} GB, more than "
            f"{MOST_BYTES / 1e9:.1f}; ask for fewer at a time, or scale pictures and films down."
        )


def extent(request: FaceRequest, size: int) -> Extent:
    """How much a request gives, as far as it is known before anything is read."""
    check(request)
    if request.video is not None:
        info = probe(request.video)
        return Extent(1, info.frames or 1, info.height, info.width)
    files = pictures(request.image)
    rows = len(UNITS) if request.strip else 1
    if request.strip or request.masks or request.cropped:
        wide = 4 * size if request.masks else size
        return Extent(rows * len(files), STRIP if request.strip else request.frames or 1, size, wide)
    infos = [probe(file) for file in files]
    frames = request.frames or (SWEPT if request.sweep else 1)
    if request.driver is not None:
        frames = probe(request.driver).frames or 1
    return Extent(len(files), frames, max(i.height for i in infos), max(i.width for i in infos))
