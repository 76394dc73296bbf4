"""The use of GANimation and StarGAN: from photographs and videos to the same ones with another expression.

A face is found, cut out upright, edited at the size of the network, and put back through its mask, so that
what is not edited keeps every pixel. Edits always begin from the original, never from an edit.
"""

import logging
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Batch, Image, Pixels, Result, Video
from kinema.data.action_units import UNITS, unit_called
from kinema.data.clips import LEVELS
from kinema.data.face_crop import Place, crop, paste
from kinema.data.face_units import measured, read_units
from kinema.data.prepare import squash
from kinema.media import probe, read_image
from kinema.media.mark import marked
from kinema.nn.sampling import to_uint8
from kinema.systems.shared.face_asking import (
    STRIP,
    SWEPT,
    Floats,
    Wanted,
    check_consent,
    check_memory,
    exactly,
    extent,
    on_the_way,
    pictures,
    swept,
    wanted,
)
from kinema.systems.shared.face_config import FaceRequest
from kinema.systems.shared.face_film import Track, driving, followed

if TYPE_CHECKING:
    from kinema.data.face_finding import Face as Found
    from kinema.data.face_finding import Finder
    from kinema.systems.shared.faces import FaceSystem

log = logging.getLogger("kinema")
FPS = 12
"""of clips made of a still picture"""
SMALL = 32
"""side of a crop in pixels, below which an edit is hardly seen"""


class Face(NamedTuple):
    """A face that is to be edited."""

    place: Place | None
    """where it is; None: the whole picture is its crop"""
    crop: Pixels
    """(S, S, 3)"""
    units: Floats
    """its action units as measured (17,)"""


def run(system: "FaceSystem", request: FaceRequest) -> Result:
    """What the request asks for; see its fields."""
    wanted_of = extent(request, system.config.size)
    check_memory(wanted_of.clips * wanted_of.frames, wanted_of.height, wanted_of.width)
    finder = None if request.cropped else _finder(request)
    if request.video is not None:
        return _film(system, request, finder)
    files = pictures(request.image)
    for file in files:
        check_consent(request, file)
    track = None if request.driver is None else driving(Path(request.driver), finder)
    clips = [clip for file in files for clip in _of_picture(system, request, file, finder, track)]
    if len(clips) == 1:
        return Image(clips[0].frames[0]) if len(clips[0].frames) == 1 else clips[0]
    each = len(clips) // len(files)
    labels = list(UNITS) * len(files) if request.strip else [str(file) for file in files]
    return Batch(clips, labels=labels, columns=1 if each > 1 else None)


def _of_picture(
    system: "FaceSystem", request: FaceRequest, file: Path, finder: "Finder | None", track: Track | None
) -> list[Video]:
    """The clip of one picture; of a strip, one for each unit."""
    pixels = read_image(file).pixels
    faces = _faces(system, request, file, pixels, finder)
    if request.strip or request.masks:
        rows = _strip(system, faces[0]) if request.strip else [_panels(system, faces[0], wanted(request))]
        *above, last = (Video(np.stack(row), Fraction(FPS)) for row in rows)
        return [*above, _video(last.frames, FPS, request)]  # one label on the sheet is enough
    asked: list[Wanted]
    fps = Fraction(FPS)
    if track is not None:
        asked, fps = [exactly(units) for units in track.units], track.fps
    elif request.sweep is not None:
        asked = swept(unit_called(request.sweep), request.frames or SWEPT)
    else:
        asked = on_the_way(wanted(request), request.frames or 1)
    return [_video(np.stack([edit(system, pixels, faces, one) for one in asked]), fps, request)]


def edit(system: "FaceSystem", pixels: Pixels, faces: Sequence[Face], asked: Wanted) -> Pixels:
    """A picture uint8 (H, W, 3) whose faces have the units asked for."""
    for face in faces:
        edited, colour, painted = parts(system, face.crop, asked(face.units))
        if face.place is None:
            return edited
        pixels = paste(pixels, face.place, colour, painted)
    return pixels


def parts(system: "FaceSystem", face: Pixels, units: Floats) -> tuple[Pixels, Pixels, Floats]:
    """Edited face and colour image (S, S, 3), and how much of each pixel is painted (S, S)."""
    image = torch.from_numpy(LEVELS[face]).movedim(-1, 0)[None]
    made = system.edit(image, torch.from_numpy(units)[None])
    edited, colour = to_uint8(torch.cat([made.edited, made.colour]).unsqueeze(2))[:, 0]
    return edited, colour, (1 - made.mask[0, 0].float().cpu()).numpy()


# ---- faces ----


def _finder(request: FaceRequest) -> "Finder":
    from kinema.data.face_finding import Finder

    return Finder(None if request.task is None else Path(request.task))


def _faces(
    system: "FaceSystem", request: FaceRequest, file: Path, pixels: Pixels, finder: "Finder | None"
) -> list[Face]:
    """The faces of a picture that are to be edited."""
    size = system.config.size
    if finder is None:
        whole = squash(pixels, size)
        return [Face(None, whole, read_units(whole[None])[0])]
    found = finder.find(pixels)
    if not found:
        raise MediaError(
            f"no face was found in '{file}'; it needs one of some 30 pixels or more, seen from the front. "
            "A picture that is a face and nothing else is read with --cropped."
        )
    asked = request.face or (0,)
    if max(asked) >= len(found):
        raise UsageError(
            f"'{file}' shows {len(found)} face{'s' * (len(found) > 1)}, numbered from 0 for the largest; "
            f"there is no face {max(asked)}."
        )
    if len(found) > 1 and not request.face:
        log.warning("'%s' shows %d faces; the largest is edited, --face chooses others.", file, len(found))
    chosen = [found[k] for k in asked]
    if min(one.place.side for one in chosen) < SMALL:
        log.warning("a face in '%s' is smaller than %d pixels: little can be seen of its edit.", file, SMALL)
    return [face_at(system, pixels, one) for one in chosen]


def face_at(system: "FaceSystem", pixels: Pixels, found: "Found") -> Face:
    """Cut out a face that was found."""
    cut = crop(pixels, found.place, system.config.size)
    return Face(found.place, cut, measured(cut[None], found.units[None])[0])


# ---- what comes out ----


def _strip(system: "FaceSystem", face: Face) -> list[list[Pixels]]:
    """For each unit the edited crops at rising intensities."""
    return [[parts(system, face.crop, one(face.units))[0] for one in swept(u, STRIP)] for u in UNITS]


def _panels(system: "FaceSystem", face: Face, asked: Wanted) -> list[Pixels]:
    """The face, where it is painted (white), the paint, and the edited face, as one picture (S, 4 S, 3)."""
    edited, colour, painted = parts(system, face.crop, asked(face.units))
    where = np.rint(255 * painted)[..., None].repeat(3, -1).astype(np.uint8)
    return [np.concatenate([face.crop, where, colour, edited], 1)]


def _video(frames: Pixels, fps: Fraction | int, request: FaceRequest) -> Video:
    return Video(marked(frames) if request.label else frames, Fraction(fps))


def _film(system: "FaceSystem", request: FaceRequest, finder: "Finder | None") -> Video:
    """A video, every frame with the units asked for; frames without the face stay as they are."""
    assert request.video is not None
    assert finder is not None
    file = Path(request.video)
    check_consent(request, file)
    info = probe(file)
    asked, lost = wanted(request), 0
    out: list[Pixels] = []
    for pixels, found in followed(file, finder, max(request.face, default=0)):
        lost += found is None
        made = pixels if found is None else edit(system, pixels, [face_at(system, pixels, found)], asked)
        out.append(marked(made) if request.label else made)
        check_memory(len(out), info.height, info.width)  # not every file says how long it is
    if lost == len(out):
        raise MediaError(f"no face was found in any frame of '{file}'.")
    if lost:
        log.warning("%d of %d frames of '%s' show no face; they stay as they are.", lost, len(out), file)
    return Video(np.stack(out), info.fps, sound=file if info.has_audio else None)
