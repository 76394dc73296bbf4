"""The three networks of MediaPipe's face landmarker, run by LiteRT: faces, points, expression scores.

Bazarevsky et al., "BlazeFace", arXiv:1907.05047; Grishchenko et al., "Attention Mesh", arXiv:2006.10962. How
a picture goes in, the grid of anchors and which points are read are MediaPipe's. Its package is not used: it
is large, and reports its use over the network.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import KinemaError
from kinema.data.face_crop import Place, Points, crop, in_picture

NETWORKS = ("face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite")
SIDE, MESH_SIDE = 128, 256
"""of the pictures that the detector and the network of points see, in pixels"""
GRIDS = ((16, 2), (8, 6))
"""cells a side and anchors in each cell"""
SAME_FACE = 0.3
"""intersection over union of two boxes from which they are one face"""
AROUND = 1.5
"""side of the square in which points are put on a face, in sides of its box"""
PRESENT = 0.5
"""score of the network of points, from which there is a face"""

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float64]


# fmt: off
READ = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67,
    70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146,
    148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181,
    185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293,
    295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361,
    362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398,
    400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)
"""the 146 points from which expressions are read"""
SCORES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
    "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
    "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight",
    "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft",
    "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
)
"""names of the 52 expression scores, in their order"""
# fmt: on


class Seen(NamedTuple):
    """A face as the detector sees it: middle and side of its box in pixels, angle of its eyes, score."""

    place: Place
    score: float


class Networks:
    """The three networks, on one thread.

    Args:
        task: MediaPipe's `face_landmarker.task`.

    Raises:
        KinemaError: ai-edge-litert is missing, or the file is no such task.
    """

    def __init__(self, task: Path) -> None:
        interpreter = _litert()
        try:
            with zipfile.ZipFile(task) as archive, _quiet():
                found = [interpreter(model_content=archive.read(name), num_threads=1) for name in NETWORKS]
                for network in found:
                    network.allocate_tensors()
        except (OSError, KeyError, zipfile.BadZipFile, ValueError, RuntimeError) as error:
            raise KinemaError(
                f"'{task}' is not MediaPipe's face_landmarker.task ({error}); "
                "`kinema data fetch face-landmarker` brings it."
            ) from None
        self._detector, self._mesh, self._reader = found

    def seen(self, pixels: Pixels, least: float) -> list[Seen]:
        """The faces that the detector sees in a picture (H, W, 3), by falling score from `least` on."""
        height, width, _ = pixels.shape
        side = max(height, width)
        shrunk = _letterboxed(pixels)
        regressed, logits = _run(self._detector, shrunk / 127.5 - 1)  # (1, 896, 16) and (1, 896, 1)
        scores = 1 / (1 + np.exp(-logits[0, :, 0].clip(-100, 100).astype(np.float64)))
        sure = scores >= least
        rows, scores = merged(decoded(regressed[0])[sure], scores[sure])
        corner = ((width - side) / 2, (height - side) / 2)
        points = rows.reshape(-1, 8, 2) * side + corner  # two corners of the box, and six points of the face
        return [_as_seen(one, float(score)) for one, score in zip(points, scores, strict=True)]

    def points(self, pixels: Pixels, face: Seen) -> Points | None:
        """The 478 points (478, 2) of a face in pixels of its picture; None if there is no face."""
        square = face.place._replace(side=AROUND * face.place.side)
        found, presence, _ = _run(self._mesh, crop(pixels, _shifted(square), MESH_SIDE) / 255)
        if 1 / (1 + np.exp(-presence.item())) < PRESENT:
            return None
        return in_picture(square, found.reshape(-1, 3)[:, :2] / MESH_SIDE)

    def scores(self, points: Points) -> dict[str, float]:
        """The 52 expression scores, 0 to 1, from points in pixels."""
        (scores,) = _run(self._reader, points[list(READ)])
        return dict(zip(SCORES, scores.tolist(), strict=True))


def anchors() -> Rows:
    """Middles (896, 2) of the anchors, in sides of the picture: row by row through each grid."""
    return np.array(
        [
            ((x + 0.5) / n, (y + 0.5) / n)
            for n, each in GRIDS
            for y in range(n)
            for x in range(n)
            for _ in range(each)
        ]
    )


def decoded(regressed: NDArray[np.floating]) -> Rows:
    """What the detector says of every anchor, in sides of the picture.

    Args:
        regressed: (896, 16): middle and size of the box, then six points, in pixels from the anchor.

    Returns:
        (896, 16): upper left and lower right corner of the box, then the points.
    """
    pairs = regressed.reshape(-1, 8, 2).astype(np.float64) / SIDE
    middle, half = pairs[:, 0] + ANCHORS, pairs[:, 1] / 2
    corners = np.stack([middle - half, middle + half], 1)
    return np.concatenate([corners, pairs[:, 2:] + ANCHORS[:, None]], 1).reshape(-1, 16)


def merged(rows: Rows, scores: Rows) -> tuple[Rows, Rows]:
    """Boxes that overlap the surest one become one, averaged by their scores; then the surest of the rest.

    Args:
        rows: (N, 16), as of `decoded`.
        scores: (N), 0 to 1.

    Returns:
        (M, 16) and (M), by falling score.
    """
    order = np.argsort(-scores, kind="stable")
    rows, scores = rows[order], scores[order]
    kept: list[Rows] = []
    sure: list[float] = []
    while len(rows):
        same = _overlaps(rows) > SAME_FACE
        same[0] = True  # also where the box is empty
        kept.append(np.average(rows[same], 0, scores[same]))
        sure.append(scores[0])
        rows, scores = rows[~same], scores[~same]
    return np.array(kept).reshape(-1, 16), np.array(sure)


def _overlaps(rows: Rows) -> Rows:
    """Intersection over union of each box with the first."""
    upper, lower = rows[:, :2], rows[:, 2:4]
    shared = (np.minimum(lower, lower[0]) - np.maximum(upper, upper[0])).clip(0).prod(1)
    areas = (lower - upper).clip(0).prod(1)
    return shared / np.maximum(areas + areas[0] - shared, 1e-12)


def _as_seen(points: Points, score: float) -> Seen:
    """From two corners and six points (8, 2), of which the first is the right eye and the next the left."""
    upper, lower, right, left = points[:4]
    x, y = (upper + lower) / 2
    angle = float(np.arctan2(*(left - right)[::-1]))
    return Seen(Place(float(x), float(y), float((lower - upper).max()), angle), score)


def _shifted(square: Place) -> Place:
    """The square whose samples at their middles are MediaPipe's, which lie at their upper left corners."""
    half = square.side / MESH_SIDE / 2
    cos, sin = np.cos(square.angle), np.sin(square.angle)
    x, y = square.x + 0.5 - half * (cos - sin), square.y + 0.5 - half * (cos + sin)
    return square._replace(x=float(x), y=float(y))


def _letterboxed(pixels: Pixels) -> NDArray[np.float32]:
    """The whole picture in the middle of a black square (128, 128, 3), sampled as MediaPipe samples."""
    from PIL import Image

    height, width, _ = pixels.shape
    side = max(height, width)
    step = side / SIDE
    left, top = (width - side) / 2, (height - side) / 2
    shift = 0.5 - step / 2  # sample n is the pixel at n · step, as in `_shifted`
    data = (step, 0, left + shift, 0, step, top + shift)
    square = Image.fromarray(pixels).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
    )
    return np.asarray(square, np.float32)


def _run(network: Any, values: NDArray[np.floating]) -> list[NDArray[np.float32]]:
    """What a network says of a batch of one."""
    (given,) = network.get_input_details()
    network.set_tensor(given["index"], values[None].astype(np.float32))
    network.invoke()
    return [network.get_tensor(one["index"]) for one in network.get_output_details()]


def _litert() -> Any:
    """What runs the networks."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise KinemaError(f"faces are found by LiteRT ({error}): `pip install 'kinema[face]'`.") from None
    return Interpreter


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what LiteRT's C++ parts write to stderr, past Python, from the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


ANCHORS = anchors()
