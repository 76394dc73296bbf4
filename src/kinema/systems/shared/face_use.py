"""The use of GANimation and StarGAN: from photographs and videos to the same ones with another expression.

A face is found, cut out upright, edited at the size of the network, and put back through its mask, so that
what is not edited keeps every pixel. Edits always begin from the original, never from an edit.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Batch, Image, Pixels, Result, Video
from kinema.core.system import Extent
from kinema.data.action_units import UNITS, said, unit_called
from kinema.data.clips import LEVELS
from kinema.data.face_crop import Place, crop, paste
from kinema.data.face_units import measured, read_units
from kinema.data.layout import STILL
from kinema.data.prepare import squash
from kinema.media import probe, read_image, read_provenance
from kinema.media.mark import marked
from kinema.nn.sampling import to_uint8
from kinema.systems.shared.face_config import FaceRequest
from kinema.systems.shared.face_film import Track, driving, followed

if TYPE_CHECKING:
    from kinema.data.face_finding import Face as Found
    from kinema.data.face_finding import Finder
    from kinema.systems.shared.faces import FaceSystem

log = logging.getLogger("kinema")
Floats = NDArray[np.float32]
Wanted = Callable[[Floats], Floats]
"""the units of a face (17,) -> those that it shall have"""
FPS = 12
"""of clips made of a still picture"""
STRIP, SWEPT, LONGEST = 4, 4, 1000
"""steps of a strip; pictures of a sweep that is no clip; frames of a clip"""
MOST_BYTES = 2**31
"""of all frames of a request together"""
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
    check(request)
    with ExitStack() as stack:
        finder = None if request.cropped else _finder(request, stack)
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
        return [_video(np.stack(row), FPS, request) for row in rows]
    asked: list[Wanted]
    fps = Fraction(FPS)
    if track is not None:
        asked, fps = [exactly(units) for units in track.units], track.fps
    elif request.sweep is not None:
        asked = swept(unit_called(request.sweep), request.frames or SWEPT)
    else:
        asked = on_the_way(wanted(request), request.frames or 1)
    check_memory(len(asked), *pixels.shape[:2])
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


# ---- what is asked ----


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
    if request.frames is not None and not 1 <= request.frames <= LONGEST:
        raise UsageError(f"frames are from 1 to {LONGEST}, not {request.frames}.")
    if min(request.face, default=0) < 0:
        raise UsageError("faces are numbered from 0, the largest.")


def check_consent(request: FaceRequest, file: Path) -> None:
    """A photograph or film needs the word of who is seen in it; what kinema rendered, or has it, does not."""
    if request.consent.strip():
        return
    probe(file)  # a broken file is told first
    note: dict[str, Any] = {}
    with suppress(MediaError):  # it carries no note
        note = read_provenance(file)
    asked = note.get("request")
    if not ("data" in note or (isinstance(asked, dict) and asked.get("consent"))):
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
    """Refuse a clip that would fill the memory."""
    total = frames * height * width * 3
    if total > MOST_BYTES:
        raise UsageError(
            f"{frames} frames of {width}x{height} need {total / 1e9:.1f} GB, more than "
            f"{MOST_BYTES / 1e9:.1f}; ask for fewer frames, or scale the picture or film down."
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


# ---- faces ----


def _finder(request: FaceRequest, stack: ExitStack) -> "Finder":
    from kinema.data.face_finding import Finder

    return stack.enter_context(Finder(None if request.task is None else Path(request.task)))


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


def _video(frames: Pixels, fps: Fraction | int, request: FaceRequest, sound: Path | None = None) -> Video:
    return Video(marked(frames) if request.label else frames, Fraction(fps), sound=sound)


def _film(system: "FaceSystem", request: FaceRequest, finder: "Finder | None") -> Video:
    """A video, every frame with the units asked for; frames without the face stay as they are."""
    assert request.video is not None
    assert finder is not None
    file = Path(request.video)
    check_consent(request, file)
    info = probe(file)
    check_memory(info.frames or 1, info.height, info.width)
    asked, out, lost = wanted(request), [], 0
    for pixels, found in followed(file, finder, max(request.face, default=0)):
        lost += found is None
        out.append(pixels if found is None else edit(system, pixels, [face_at(system, pixels, found)], asked))
    if lost == len(out):
        raise MediaError(f"no face was found in any frame of '{file}'.")
    if lost:
        log.warning("%d of %d frames of '%s' show no face; they stay as they are.", lost, len(out), file)
    return _video(np.stack(out), info.fps, request, sound=file if info.has_audio else None)
