"""Faces in a picture: place, points, action units and how sure it is, by MediaPipe's networks (`face_nets`).

There are three: a detector, which sees the whole picture at 128x128, one that puts 478 points on a face, and
one that reads 52 expression scores from the points. Every face that the detector finds is cut out upright and
looked at again, so that how sure it is does not depend on how large or turned the face stands in the picture.
Where nothing is found the picture is turned, and then its parts are looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.data.face_crop import Place, Points, crop, in_picture, place
from kinema.data.face_nets import Networks, Seen
from kinema.data.face_task import found

SHAPES = {
    "AU01": "browInnerUp",
    "AU02": "browOuterUp",
    "AU04": "browDown",
    "AU05": "eyeWide",
    "AU06": "cheekSquint",
    "AU07": "eyeSquint",
    "AU09": "noseSneer",
    "AU10": "mouthUpperUp",
    "AU12": "mouthSmile",
    "AU14": "mouthDimple",
    "AU15": "mouthFrown",
    "AU17": "mouthShrugLower",
    "AU20": "mouthStretch",
    "AU23": "mouthPress",
    "AU25": "mouthLowerDown",
    "AU26": "jawOpen",
    "AU45": "eyeBlink",
}
"""action unit -> expression score that stands for it, the mean of left and right where there are two"""
AGREEMENT: dict[str, float | None] = {
    "AU01": 0.78,
    "AU02": 0.42,
    "AU04": None,
    "AU05": 0.47,
    "AU06": 0.0,
    "AU07": 0.06,
    "AU09": 0.0,
    "AU10": 0.71,
    "AU12": 0.89,
    "AU14": -0.13,
    "AU15": 0.60,
    "AU17": None,
    "AU20": 0.25,
    "AU23": 0.89,
    "AU25": 0.61,
    "AU26": 0.36,
    "AU45": 0.92,
}
"""Pearson's r of these scores with OpenFace 2 on 81 frames of one man; None: not measured. `cheekSquint` and
`noseSneer` are about 0 on every face, so that AU06 and AU09 are not measured at all."""
RELIABLE, DOUBTFUL = 0.6, 0.3
"""r from which a unit is called reliable, and doubtful"""

RIGHT_EYE, LEFT_EYE, NOSE = (33, 133), (263, 362), (2,)
"""points of the mesh: both corners of each eye, and the base of the nose"""
WINDOW, WINDOW_SIZE = 2.0, 256
"""side of the upright square in which a face is looked at again, in sides of its box, and in pixels"""
FROM_CROP = 0.75
"""about the side of the detector's box in sides of the crop"""
LEAST_FOUND, LEAST_AGAIN = 0.3, 0.5
"""scores of the detector from which a box counts: at the first look, at the second"""
LEAST_SURE, SURE = 0.72, 0.87
"""scores of the second look: of a face, and of one that ends the search"""
LEAST_WIDTH = 8
"""of a face, in pixels"""
SMALL = 0.2
"""largest box, in sides of the picture, at which its parts are looked at for more faces"""
PARTS = (2, 4)
"""a part is so many times smaller than the picture, and half of it overlaps the next"""
SAME = 0.35
"""share of a box that lies in another when both are one face"""

Pixels = NDArray[np.uint8]


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float


class Face(NamedTuple):
    """A face in a picture."""

    place: Place
    """of its crop"""
    box: Box
    """around the points"""
    points: Points
    """(478, 2) in pixels of the picture"""
    confidence: float
    """score of the detector for the upright face, 0 to 1"""
    units: NDArray[np.float32]
    """(17), 0 to 1, in the order of `UNITS`; see `AGREEMENT` for what they are worth"""


def mark(unit: str) -> str:
    """What the number of a unit is worth: reliable, doubtful, poor or unmeasured."""
    agreement = AGREEMENT[unit]
    if agreement is None:
        return "unmeasured"
    return "reliable" if agreement >= RELIABLE else "doubtful" if agreement >= DOUBTFUL else "poor"


class Finder:
    """Finds faces.

    Args:
        task: MediaPipe's `face_landmarker.task`; None takes the one that was fetched (`face_task`).

    Raises:
        KinemaError: ai-edge-litert or the file is missing, or the file is no such task.

    Example:
        >>> finder = Finder()  # doctest: +SKIP
        >>> [face.confidence for face in finder.find(read_image("a.jpg").pixels)]  # doctest: +SKIP
    """

    def __init__(self, task: Path | None = None) -> None:
        self._networks = Networks(found(task))

    def find(self, pixels: Pixels) -> list[Face]:
        """The faces of a picture uint8 (H, W, 3), largest first."""
        faces = self._looked_at(pixels, self._seen(pixels))
        for quarters in (1, 3, 2):  # upside down, an upright face may be made out, but not surely
            if max((face.confidence for face in faces), default=0.0) < SURE:
                faces = distinct([*faces, *self._looked_at(pixels, self._turned(pixels, quarters))])
        if max((face.box.height for face in faces), default=0.0) < SMALL * max(pixels.shape):
            faces = distinct([*faces, *self._looked_at(pixels, self._in_parts(pixels))])
        return faces

    def follow(self, pixels: Pixels, face: Face) -> Face | None:
        """The same face in the next frame of a video, looked for where it was; None if it is not there."""
        return self._closer(pixels, face.place._replace(side=FROM_CROP * face.place.side))

    def _looked_at(self, pixels: Pixels, seen: Iterable[Seen]) -> list[Face]:
        """The faces behind what the detector saw, each once."""
        found: list[Face] = []
        for one in sorted(seen, key=lambda one: -one.score):
            inside = (
                f
                for f in found
                if np.hypot(f.place.x - one.place.x, f.place.y - one.place.y) < f.place.side / 3
            )
            if not any(0.5 < f.box.height / one.place.side < 2 for f in inside):
                face = self._closer(pixels, one.place)
                found += [face] if face is not None else []
        return distinct(found)

    def _seen(self, pixels: Pixels) -> list[Seen]:
        """What the detector sees in a picture."""
        return self._networks.seen(pixels, LEAST_FOUND)

    def _turned(self, pixels: Pixels, quarters: int) -> list[Seen]:
        """What it sees in the picture turned by quarters counter-clockwise, placed in the picture itself."""
        height, width, _ = pixels.shape
        turned = []
        for (x, y, side, angle), score in self._seen(np.rot90(pixels, quarters)):
            x, y = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarters]
            turned.append(Seen(Place(x, y, side, angle + quarters * np.pi / 2), score))
        return turned

    def _in_parts(self, pixels: Pixels) -> Iterator[Seen]:
        """What it sees in overlapping parts of the picture."""
        height, width, _ = pixels.shape
        for n in PARTS:
            side = max(height, width) // n
            if side < WINDOW * LEAST_WIDTH:
                return
            for top in _starts(height, side):
                for left in _starts(width, side):
                    for (x, y, *rest), score in self._seen(pixels[top : top + side, left : left + side]):
                        yield Seen(Place(x + left, y + top, *rest), score)

    def _closer(self, pixels: Pixels, around: Place) -> Face | None:
        """Look again, upright and enlarged, at what may be a face; None if it is none."""
        window = around._replace(side=WINDOW * around.side)
        upright = crop(pixels, window, WINDOW_SIZE)
        seen = self._networks.seen(upright, LEAST_AGAIN)
        if not seen or seen[0].score < LEAST_SURE:
            return None
        inside = self._networks.points(upright, seen[0])
        if inside is None:
            return None
        points = in_picture(window, inside / WINDOW_SIZE)
        right, left, nose = (points[list(corners)].mean(0) for corners in (RIGHT_EYE, LEFT_EYE, NOSE))
        (x, y), (far, bottom) = points.min(0), points.max(0)
        if far - x < LEAST_WIDTH:
            return None
        box = Box(*(float(value) for value in (x, y, far - x, bottom - y)))
        return Face(
            place(right, left, nose), box, points, seen[0].score, units_of(self._networks.scores(inside))
        )


def distinct(faces: Sequence[Face]) -> list[Face]:
    """Each face once, by the surest of its finds, largest first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        if not any(_overlap(face.box, other.box) > SAME for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.box.width * face.box.height)


def units_of(scores: dict[str, float]) -> NDArray[np.float32]:
    """The 17 units from the scores by name, left and right averaged."""
    sides = [
        [scores[k] for k in (name, f"{name}Left", f"{name}Right") if k in scores] for name in SHAPES.values()
    ]
    return np.array([np.mean(both) for both in sides], np.float32).clip(0, 1)


def _starts(length: int, side: int) -> list[int]:
    """Where parts of a side begin, so that each half overlaps the next and the last ends with the picture."""
    if side >= length:
        return [0]
    steps = int(np.ceil((length - side) / (side / 2)))
    return [round(k * (length - side) / steps) for k in range(steps + 1)]


def _overlap(one: Box, other: Box) -> float:
    """Share of the smaller of two boxes that lies in the other."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    smaller = min(one.width * one.height, other.width * other.height)
    return max(width, 0.0) * max(height, 0.0) / max(smaller, 1e-9)
