"""Mirrored shapes: two equal shapes of one hue, left and right, far apart on a dark ground.

The class is the shape. Both halves have the same hue, so a generator whose parts do not look at each other
gets it wrong: what attention is for can be counted. Item i is a pure function of the seed and i.
"""

import colorsys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import UsageError
from kinema.data.chance import uniform

SHAPES = (
    "bar", "cross", "diamond", "disc", "moon", "pillar", "ring", "square", "triangle", "wedge",
)  # fmt: skip
HUES = ("red", "orange", "lime", "green", "cyan", "blue", "violet", "pink")
"""45 degrees apart, saturation 0.85 and value 0.95"""
PICTURES = {"train": 10_000, "val": 4_000, "all": 14_000}
GROUND = 26
"""level of the dark ground"""
COLOURED, SHARE = 80, (0.01, 0.4)
"""levels between the channels of a coloured pixel; what share of a half with a shape is coloured"""

_SHAPE, _HUE, _RADIUS, _ACROSS, _DOWN = range(5)
CHUNK = 500


class Mirrored(NamedTuple):
    """Pictures uint8 (N, S, S, 3), places of their shapes and of their hues int64 (N,)."""

    pixels: NDArray[np.uint8]
    shapes: NDArray[np.int64]
    hues: NDArray[np.int64]


def mirrored(n: int, size: int, split: str, seed: int = 0) -> Mirrored:
    """Draw the first `n` pictures of a split, SxS with S even; no picture of one split is one of another."""
    if size < 2 or size % 2:
        raise UsageError(f"mirrored shapes have an even side, for the halves are alike, not {size}.")
    draw = uniform(f"mirrored shapes {split} {seed}", np.arange(n))
    shapes = (draw[:, _SHAPE] * len(SHAPES)).astype(np.int64)
    hues = (draw[:, _HUE] * len(HUES)).astype(np.int64)
    inks = np.array([colorsys.hsv_to_rgb(k / len(HUES), 0.85, 0.95) for k in range(len(HUES))]) * 255
    pixels = np.empty((n, size, size, 3), np.uint8)
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        cover = _cover(draw[rows], shapes[rows], size)[..., None]
        pixels[rows] = np.rint(GROUND + cover * (inks[hues[rows], None, None] - GROUND))
    return Mirrored(pixels, shapes, hues)


def halves(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The hue of the left and of the right half, places in `HUES`, (N, 2); -1 where a half shows no shape.

    It is the hue of the mean of a half's coloured pixels, which must be a part of the half, not most of it.
    """
    out = []
    for half in np.split(pixels.astype(np.float32), 2, axis=2):
        coloured = half.max(3) - half.min(3) > COLOURED
        colour = (half * coloured[..., None]).sum((1, 2))  # (N, 3)
        red, green, blue = colour.T
        angle = np.arctan2(3**0.5 * (green - blue), 2 * red - green - blue)
        place = np.rint(angle / (2 * np.pi) * len(HUES)).astype(np.int64) % len(HUES)
        share = coloured.mean((1, 2))
        out.append(np.where((share > SHARE[0]) & (share < SHARE[1]), place, -1))
    return np.stack(out, 1)


def _cover(draw: NDArray[np.float64], shapes: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """How much of each pixel the shapes cover, (N, S, S) in [0, 1]; the right half mirrors the left."""
    radius = (0.12 + 0.06 * draw[:, _RADIUS]) * size
    x = (0.21 + 0.06 * draw[:, _ACROSS]) * size
    y = (0.3 + 0.4 * draw[:, _DOWN]) * size
    centre = np.arange(size) + 0.5
    left = np.empty((len(draw), size, size // 2))
    for i, shape in enumerate(shapes):
        a, d = (centre[None, : size // 2] - x[i]) / radius[i], (centre[:, None] - y[i]) / radius[i]
        left[i] = _inside(SHAPES[shape], a, d) * radius[i]
    left = np.clip(left + 0.5, 0, 1)
    return np.concatenate([left, left[:, :, ::-1]], 2)


def _inside(shape: str, a: NDArray[np.float64], d: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a place (across, down), in radii, lies within the shape's edge; about 1 wide in each case."""
    x, y = abs(a), abs(d)
    if shape == "bar":
        return np.minimum(1.1 - x, 0.4 - y)
    if shape == "pillar":
        return np.minimum(0.4 - x, 1.1 - y)
    if shape == "cross":
        return np.maximum(np.minimum(1 - x, 0.33 - y), np.minimum(0.33 - x, 1 - y))
    if shape == "diamond":
        return (1.1 - x - y) / 2**0.5
    if shape == "square":
        return 0.85 - np.maximum(x, y)
    if shape == "triangle":
        return 0.55 - np.maximum(3**0.5 / 2 * x - 0.5 * d, d)
    if shape == "wedge":
        return 0.55 - np.maximum(3**0.5 / 2 * x + 0.5 * d, -d)
    far = np.sqrt(a**2 + d**2)
    if shape == "ring":
        return 0.25 - abs(far - 0.8)
    if shape == "moon":
        return np.minimum(1 - far, np.sqrt((a - 0.55) ** 2 + d**2) - 0.8)
    return 0.95 - far  # disc
