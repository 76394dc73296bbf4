"""A head as it is seen: turned, lit, before a ground, and drawn as a picture.

Light is linear until the end, where it becomes sRGB. Shading: ambient light from above, one wrapped
directional light with a highlight, and folds of the skin darker, as they open and close with the expression.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.data.face_crop import Place, in_square
from kinema.data.head_look import WET, Look, hair_cover, paint
from kinema.data.head_mesh import EARS, Floats, creases, mesh, normals, outward
from kinema.ops.raster import rasterise

FINE = 2
"""samples along each side of a pixel, as `_averaged` takes them"""
PIVOT = np.array([0, 7.0, 0.6], np.float32)
"""about which the head turns"""
DOWNWARDS = np.array([1, -1], np.float32)
"""turns y from up to down"""


class Scene(NamedTuple):
    """How a head is seen and lit, and what is behind it."""

    turn: tuple[float, float, float]
    """yaw, pitch and roll, in radians"""
    gaze: tuple[float, float]
    """where the eyes look, in radians to the left and up"""
    distance: float
    """of the camera from the face, in decimetres"""
    light: Floats
    """direction to the light, in the camera's axes (3,)"""
    colour: Floats
    """of the light (3,)"""
    ambient: Floats
    """(3,)"""
    ground: Floats
    """colours of the ground's coarse grid (5, 5, 3)"""


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """About y, then x, then z: (3, 3)."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (z @ x @ y).astype(np.float32)


def seen_from(scene: Scene, vertices: Floats) -> Floats:
    """Vertices (V, 3) as the camera sees them: x to the right, y up, in decimetres at the face; distance."""
    turned = (vertices - PIVOT) @ rotation(*scene.turn).T
    depth = scene.distance - turned[:, 2:]
    return np.concatenate([turned[:, :2] * (scene.distance / depth), depth], 1)


def ground(scene: Scene, side: int) -> Floats:
    """Coarse colours made smooth (S·S, 3)."""
    n = len(scene.ground) - 1
    where = (np.arange(side, dtype=np.float32) + 0.5) / side * n
    first = np.minimum(where.astype(int), n - 1)
    share = where - first
    share = (share * share * (3 - 2 * share))[:, None, None]
    rows = scene.ground[first] * (1 - share) + scene.ground[first + 1] * share  # (S, n + 1, 3)
    share = share.reshape(1, side, 1)
    both = rows[:, first] * (1 - share) + rows[:, first + 1] * share
    return np.asarray(both.reshape(-1, 3), np.float32)


def render(
    look: Look, scene: Scene, vertices: Floats, frame: Place, side: int
) -> tuple[NDArray[np.uint8], Floats]:
    """The picture (S, S, 3) of a head, and how much of each pixel the head covers (S, S).

    Args:
        look: what is painted on it.
        scene: how it is seen.
        vertices: its shape (V, 3).
        frame: what the picture shows, in decimetres at the face, y down.
        side: pixels of a side.
    """
    m, fine = mesh(), side * FINE
    scalp = hair_cover(m.vertices, look.hairline) * (1 - m.masks[EARS])
    vertices = vertices + (look.volume * scalp)[:, None] * outward()
    flat, normal = seen_from(scene, vertices), normals(vertices)
    screen = in_square(frame, (flat[:, :2] * DOWNWARDS).astype(np.float64)) * fine
    pixels = np.concatenate([screen, flat[:, 2:]], 1).astype(np.float32)
    seen = rasterise(pixels, m.triangles, fine)
    fold = creases(vertices, normal)
    columns = np.concatenate([normal @ rotation(*scene.turn).T, m.vertices, fold[:, None], m.masks.T], 1)
    corners = m.triangles[seen.triangle]
    values = sum(seen.weights[:, k, None] * columns[corners[:, k]] for k in range(3))
    albedo, shine = paint(look, values[:, 3:6], m.part[seen.triangle], values[:, 7:11], scene.gaze)
    out = ground(scene, fine)
    out[seen.pixel] = lit(scene, albedo, shine, values[:, :3], values[:, 6], look.wrinkles)
    cover = np.zeros(fine * fine, np.float32)
    cover[seen.pixel] = 1
    small = _averaged(out.reshape(fine, fine, 3))
    srgb = np.rint(255 * np.clip(small, 0, 1) ** np.float32(1 / 2.2)).astype(np.uint8)
    return srgb, _averaged(cover.reshape(fine, fine))


def _averaged(values: Floats) -> Floats:
    """Every two by two samples as one: (2 S, 2 S, ...) -> (S, S, ...)."""
    rows = values[0::2] + values[1::2]
    found: Floats = (rows[:, 0::2] + rows[:, 1::2]) / 4
    return found


def lit(scene: Scene, albedo: Floats, shine: Floats, normal: Floats, fold: Floats, wrinkles: float) -> Floats:
    """Light that leaves pixels (P, 3): ambient, wrapped diffuse, and a highlight; folds are darker."""
    normal = normal / np.maximum(np.sqrt((normal * normal).sum(1, keepdims=True)), np.float32(1e-6))
    facing = normal @ scene.light
    wrapped = np.clip((facing + 0.35) / 1.35, 0, 1)[:, None]
    half = scene.light + np.array([0, 0, 1], np.float32)
    near = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1)
    bright = np.where(shine == WET, 0.7 * near**300, 0.12 * shine * near**24)
    sky = 0.75 + 0.25 * normal[:, 1:2]
    shade = np.clip(1 - wrinkles * np.clip(fold, -0.12, 0.5) * 1.6, 0.15, 1.15)[:, None]
    gloss = (bright * (facing > 0))[:, None] * scene.colour
    found: Floats = (albedo * (scene.ambient * sky + scene.colour * wrapped) + gloss) * shade
    return found
