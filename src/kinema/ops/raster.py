"""Which triangle is seen at every pixel: a z-buffer in NumPy, exact and the same on every machine.

All pixels under the bounding boxes of all triangles are tested at once, and the nearest triangle wins by a
minimum over keys of (depth, number of the triangle). Meant for meshes of some thousands of triangles that
are a few pixels large.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DEPTHS = 2**30
"""steps into which the range of depths is cut"""


class Seen(NamedTuple):
    """The P pixels that show a triangle."""

    pixel: NDArray[np.int64]
    """places in the picture, row after row (P,)"""
    triangle: NDArray[np.int64]
    """number of the triangle (P,)"""
    weights: NDArray[np.float32]
    """of its corners, summing to one (P, 3)"""


def rasterise(points: NDArray[np.float32], triangles: NDArray[np.int64], side: int) -> Seen:
    """Find the nearest triangle at the centre of each pixel of a square picture.

    Triangles whose corners run clockwise on the screen are turned away and not drawn. A pixel whose centre
    lies on the edge between two triangles belongs to the nearer, then to the first.

    Args:
        points: x to the right, y down, in pixels, and depth, smaller being nearer (V, 3).
        triangles: corners (F, 3), counter-clockwise in a picture with y up.
        side: pixels of a side (S).
    """
    corners = points[triangles]  # (F, 3, 3)
    (ax, ay), (bx, by), (cx, cy) = (corners[:, k, :2].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)  # negative: towards us, for y runs down
    low = np.floor(corners[..., :2].min(1) + 0.5).clip(0, side).astype(np.int64)
    high = np.floor(corners[..., :2].max(1) + 0.5).clip(0, side).astype(np.int64)
    wide, tall = (high - low).T
    drawn = np.flatnonzero((area < -1e-9) & (wide > 0) & (tall > 0))
    count = (wide * tall)[drawn]
    owner = np.repeat(drawn, count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x = low[owner, 0] + place % wide[owner]
    y = low[owner, 1] + place // wide[owner]
    px, py = (x + 0.5).astype(np.float32), (y + 0.5).astype(np.float32)
    inverse = 1 / area[owner]
    u = ((bx[owner] - px) * (cy[owner] - py) - (cx[owner] - px) * (by[owner] - py)) * inverse
    v = ((cx[owner] - px) * (ay[owner] - py) - (ax[owner] - px) * (cy[owner] - py)) * inverse
    inside = np.flatnonzero((u >= 0) & (v >= 0) & (u + v <= 1))
    owner, u, v = owner[inside], u[inside], v[inside]
    weights = np.stack([u, v, 1 - u - v], 1)
    depth = (weights * corners[owner, :, 2]).sum(1)
    near, far = (depth.min(), depth.max()) if len(depth) else (0.0, 1.0)
    steps = ((depth - near) * ((DEPTHS - 1) / max(float(far - near), 1e-12))).astype(np.int64)
    keys = np.full(side * side, np.iinfo(np.int64).max)
    where = y[inside] * side + x[inside]
    np.minimum.at(keys, where, (steps << 32) | np.arange(len(steps)))
    pixel = np.flatnonzero(keys != np.iinfo(np.int64).max)
    chosen = keys[pixel] & 0xFFFFFFFF
    return Seen(pixel, owner[chosen], weights[chosen])
