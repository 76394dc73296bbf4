"""Where a face is in a picture, cut out and put back: one recipe for training and for use.

A face is placed by three points that expressions hardly move: the middles of both eyes and the base of the
nose. The eye line gives the angle, so that every crop is upright; the distances give the size. A head that
turns sideways brings its eyes together and a nodding one shortens the nose, so that the longer of the two
counts.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 2.65
"""side of the crop in distances between the eyes: from raised brows to the chin of an open mouth"""
NOSE = 1.3
"""distances from the eye line to the base of the nose that are as long as one between the eyes"""
DOWN = 0.25
"""how far below the eye line the middle of the crop lies, in sides"""
FEATHER = 0.08
"""width of the border over which a pasted square fades out, in sides"""

Points = NDArray[np.float64]


class Place(NamedTuple):
    """A square in a picture, upright for the face in it."""

    x: float
    """of its middle, in pixels from the left edge"""
    y: float
    """of its middle, in pixels from the upper edge"""
    side: float
    """in pixels"""
    angle: float
    """of its upper edge, clockwise from level, in radians"""


def place(right_eye: Points, left_eye: Points, nose: Points) -> Place:
    """The square of a face.

    Args:
        right_eye: (x, y) of the middle of the person's right eye, which is left in the picture.
        left_eye: of the other one.
        nose: of the base of the nose, above the lip.
    """
    eyes, across = (right_eye + left_eye) / 2, left_eye - right_eye
    apart = float(np.hypot(*across))
    side = SIDE * max(apart, NOSE * float(np.hypot(*(nose - eyes))), 1e-3)
    angle = float(np.arctan2(across[1], across[0]))
    x, y = eyes + DOWN * side * np.array([-np.sin(angle), np.cos(angle)])
    return Place(float(x), float(y), side, angle)


def in_picture(place: Place, points: Points) -> Points:
    """Points (N, 2) of the square, 0 to 1 from its upper left corner, in pixels of the picture."""
    u, v = (np.asarray(points, np.float64) - 0.5).T * place.side
    cos, sin = np.cos(place.angle), np.sin(place.angle)
    return np.stack([place.x + cos * u - sin * v, place.y + sin * u + cos * v], 1)


def in_square(place: Place, points: Points) -> Points:
    """The inverse of `in_picture`."""
    x, y = (np.asarray(points, np.float64) - (place.x, place.y)).T / place.side
    cos, sin = np.cos(place.angle), np.sin(place.angle)
    return np.stack([0.5 + cos * x + sin * y, 0.5 - sin * x + cos * y], 1)


def crop(pixels: NDArray[np.uint8], place: Place, size: int) -> NDArray[np.uint8]:
    """Cut the square out, upright.

    Args:
        pixels: (H, W, 3).
        place: may reach over the edge, whose pixels are repeated there.
        size: side of the result; where it shrinks, areas are averaged.

    Returns:
        (size, size, 3).
    """
    from PIL import Image

    values, place = _surroundings(pixels, place, max(1, int(place.side / size / 2)))
    times = max(1, int(np.ceil(place.side / size)))  # samples each way, four at most
    start, right, down = in_picture(place, np.array([[0, 0], [1, 0], [0, 1]]))
    (xx, yx), (xy, yy) = (right - start) / (times * size), (down - start) / (times * size)
    sampled = Image.fromarray(values).transform(
        (times * size, times * size),
        Image.Transform.AFFINE,
        (xx, xy, start[0], yx, yy, start[1]),
        Image.Resampling.BILINEAR,
    )
    found = np.asarray(sampled, np.float32).reshape(size, times, size, times, 3).mean((1, 3))
    return np.rint(found + 0.5 * (times > 1)).clip(0, 255).astype(np.uint8)  # samples were rounded down


def paste(
    pixels: NDArray[np.uint8],
    place: Place,
    made: NDArray[np.uint8],
    mask: NDArray[np.floating],
) -> NDArray[np.uint8]:
    """Put a changed crop back: frame · (1 - M) + made · M, both enlarged, M falling to zero at the border.

    Where the mask is zero, and everywhere outside of the square, pixels stay as they are, bit for bit.

    Args:
        pixels: the whole picture (H, W, 3).
        place: where the crop was.
        made: (S, S, 3).
        mask: (S, S) from 0 (keep the picture) to 1 (take `made`).
    """
    height, width, _ = pixels.shape
    corners = in_picture(place, np.array([[0, 0], [1, 0], [0, 1], [1, 1]]))
    left, top = np.floor(corners.min(0)).astype(int).clip(0, (width, height))
    right, bottom = np.ceil(corners.max(0)).astype(int).clip(0, (width, height))
    out = pixels.copy()
    if right <= left or bottom <= top:
        return out
    xs, ys = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    where = in_square(place, np.stack([xs.ravel(), ys.ravel()], 1))
    to_border = np.minimum(where, 1 - where).min(1)  # negative outside
    rows = np.flatnonzero(to_border > 0)
    u, v = where[rows].T * len(made)
    fade = np.clip(to_border[rows] / FEATHER, 0, 1)
    fade = fade * fade * (3 - 2 * fade)
    share = (_sampled(mask[..., None], u, v).clip(0, 1) * fade[:, None]).astype(np.float32)
    part = out[top:bottom, left:right].reshape(-1, 3)  # a copy, since rows are cut
    old = part[rows].astype(np.float32)
    part[rows] = np.rint(old + share * (_sampled(made, u, v) - old)).clip(0, 255).astype(np.uint8)
    out[top:bottom, left:right] = part.reshape(bottom - top, right - left, 3)
    return out


def _surroundings(pixels: NDArray[np.uint8], place: Place, factor: int) -> tuple[NDArray[np.uint8], Place]:
    """What lies around a square, a whole factor smaller, with repeated edges, and the square in it."""
    height, width, _ = pixels.shape
    reach = place.side * 0.75 + 2 * factor  # more than half of its diagonal
    left, right = (int(np.clip(place.x + s * reach, e, width - 1 + e)) for s, e in ((-1, 0), (1, 1)))
    top, bottom = (int(np.clip(place.y + s * reach, e, height - 1 + e)) for s, e in ((-1, 0), (1, 1)))
    part = pixels[top:bottom, left:right]
    if factor > 1:
        part = np.pad(part, [(0, -part.shape[0] % factor), (0, -part.shape[1] % factor), (0, 0)], mode="edge")
        h, w = part.shape[0] // factor, part.shape[1] // factor
        averaged = part.reshape(h, factor, w, factor, 3).mean((1, 3), dtype=np.float32)
        part = np.rint(averaged).astype(np.uint8)
    x, y, reach = (place.x - left) / factor, (place.y - top) / factor, reach / factor
    before = [max(0, int(np.ceil(reach - middle))) for middle in (y, x)]
    after = [max(0, int(np.ceil(m + reach)) - n) for m, n in zip((y, x), part.shape[:2], strict=True)]
    part = np.pad(part, [*zip(before, after, strict=True), (0, 0)], mode="edge")
    return part, Place(x + before[1], y + before[0], place.side / factor, place.angle)


def _sampled(values: NDArray, x: Points, y: Points) -> NDArray[np.float32]:
    """Bilinear samples (N, C) of (H, W, C) at points in pixels; edges are repeated."""
    height, width, _ = values.shape
    x, y = (x - 0.5).clip(0, width - 1), (y - 0.5).clip(0, height - 1)
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = (x - left)[:, None].astype(np.float32), (y - top)[:, None].astype(np.float32)
    upper = values[top, left] * (1 - a) + values[top, right] * a
    lower = values[bottom, left] * (1 - a) + values[bottom, right] * a
    return (upper * (1 - b) + lower * b).astype(np.float32)
