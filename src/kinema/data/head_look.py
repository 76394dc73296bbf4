"""The look of a head: skin, lips, brows, beard, eyes and hair, from a person's drawn features.

Where something is painted is said in the coordinates of the base mesh, so that brows and lips move with the
face. Colours are linear light.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.data.head_mesh import (
    EARS,
    LEFT_EYE,
    LIDS,
    LIPS,
    LOWER_TEETH,
    MOUTH,
    RIGHT_EYE,
    TONGUE,
    UPPER_TEETH,
    Floats,
)

TONES = {"african": (105, 66, 46), "asian": (224, 178, 142), "caucasian": (234, 190, 166)}
"""sRGB of skin"""
HAIRS = (
    (16, 12, 10),
    (38, 26, 18),
    (72, 46, 28),
    (120, 80, 44),
    (176, 134, 84),
    (150, 145, 140),
    (110, 50, 22),
)
IRISES = ((58, 34, 18), (84, 56, 30), (96, 104, 60), (92, 116, 130), (70, 100, 140))
EYE_CENTRE, EYE_RADIUS = np.array([0.31, 7.283, 1.25], np.float32), 0.136
"""of the left eye in the base mesh"""
WET = 4.0
"""shininess of eyes, whose highlight is a point"""
INSIDE = {
    UPPER_TEETH: ((228, 218, 200), 0.35, 1.46, 1.2, 1.0),
    LOWER_TEETH: ((228, 218, 200), 0.35, 1.46, 1.2, 1.0),
    TONGUE: ((176, 84, 84), 0.12, 1.36, 0.95, 0.35),
}
"""sRGB, how dark it is where it lies deep, from which z on it is light and dark, and its shininess"""


def linear(srgb: Floats | tuple[int, ...]) -> Floats:
    """0..255 in sRGB -> 0..1 in linear light, by the power 2.2."""
    found: Floats = ((np.asarray(srgb, np.float32) / 255) ** 2.2).astype(np.float32)
    return found


@dataclass(frozen=True)
class Look:
    """What is painted on a person."""

    skin: Floats
    """linear RGB, as all colours here"""
    lips: Floats
    blush: float
    hair: Floats
    hairline: float
    """height of the hair above the usual, in decimetres"""
    volume: float
    """how far hair stands off, in decimetres"""
    brow: tuple[float, float, float, float]
    """thickness, darkness, height above the usual, arch"""
    beard: float
    """darkness"""
    iris: Floats
    wrinkles: float
    """how dark creases are"""
    phases: Floats
    """of the unevenness of the skin (6, 4)"""


def draw_look(chance: np.random.Generator, ancestry: NDArray[np.float64], male: float, age: float) -> Look:
    """A person's look; ancestries, maleness and age are those of the shape."""
    skin = sum(w * linear(TONES[name]) for name, w in zip(TONES, ancestry, strict=True))
    skin = skin * np.exp(chance.normal(0, 0.12)) * (1 + chance.normal(0, 0.03, 3))
    dark = ancestry[2] < 0.5
    first = int(chance.choice(3 if dark else 7))
    hair = linear(HAIRS[5 if age > 0.75 and chance.random() < 0.6 else first])
    made_up = chance.random() if male < 0.5 else 0.1 * chance.random()
    tint = np.array([0.92, 0.62 - 0.22 * made_up, 0.62 - 0.2 * made_up])
    bearded = male > 0.55 and chance.random() < 0.45
    return Look(
        skin=np.clip(skin, 0.01, 0.9).astype(np.float32),
        lips=tint.astype(np.float32),
        blush=float(chance.uniform(0.05, 0.35)),
        hair=(hair * np.exp(chance.normal(0, 0.2))).astype(np.float32),
        hairline=float(chance.normal(0, 0.07) + (0.15 * chance.random() if male > 0.5 else 0)),
        volume=float(chance.uniform(0.03, 0.16)),
        brow=(
            float(chance.uniform(0.022, 0.034) * (1 + 0.35 * male)),
            float(chance.uniform(0.55, 0.9)),
            float(chance.normal(0, 0.012)),
            float(chance.uniform(0.02, 0.06)),
        ),
        beard=float(chance.uniform(0.15, 0.75)) if bearded else 0.0,
        iris=linear(IRISES[int(chance.choice(2 if dark else 5))]),
        wrinkles=float(0.6 + 0.8 * age),
        phases=np.concatenate([chance.normal(0, 9, (6, 3)), chance.uniform(0, 6.28, (6, 1))], 1).astype(
            np.float32
        ),
    )


def smoothstep(low: float, high: float, x: Floats) -> Floats:
    """0 below `low`, 1 above `high`, smooth between; also falling, with low > high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    found: Floats = t * t * (3 - 2 * t)
    return found


def hair_cover(base: Floats, hairline: float) -> Floats:
    """How much of the scalp at places of the base mesh (N, 3) hair covers, 0..1."""
    x, y, z = np.abs(base[:, 0]), base[:, 1], base[:, 2]
    line = 7.86 + hairline - 0.2 * x - 0.6 * smoothstep(1.22, 0.82, z)
    return smoothstep(-0.05, 0.1, y - line + 0.02 * np.sin(31 * base[:, 0] + 7 * np.sin(11 * y)))


def paint(
    look: Look, base: Floats, part: NDArray[np.int8], masks: Floats, gaze: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Albedo (P, 3) and shininess (P,) of pixels.

    Args:
        look: what is painted.
        base: places in the base mesh (P, 3).
        part: part of the mesh (P,).
        masks: lips, lids, mouth and ears (P, 4).
        gaze: where the eyes look, in radians to the left and up.
    """
    uneven = np.sin(base @ look.phases[:, :3].T + look.phases[:, 3]).sum(1) / 6  # (P,)
    lips = smoothstep(0.25, 0.75, masks[:, LIPS])
    inner = smoothstep(0.4, 0.8, masks[:, MOUTH]) * (1 - lips)
    hair = hair_cover(base, look.hairline) * (1 - smoothstep(0.3, 0.7, masks[:, EARS]))
    albedo = _skin(look, base, uneven)
    albedo = albedo * (1 - lips[:, None] + lips[:, None] * look.lips)
    albedo = albedo * (1 - 0.22 * smoothstep(0.2, 0.9, masks[:, LIDS]))[:, None]
    albedo = _over(albedo, look.hair * 0.7, _brows(look, base))
    if look.beard:
        albedo = _over(albedo, look.hair * 0.8, _beard(look, base, uneven) * (1 - lips) * (1 - inner))
    strands = 1 + 0.12 * np.sin(60 * base[:, 0] + 3 * np.sin(5 * base[:, 2] + 4 * base[:, 1])) + 0.2 * uneven
    albedo = _over(albedo, look.hair * strands[:, None], hair)
    flesh = linear((120, 40, 40)) * (0.08 + 0.6 * smoothstep(0.9, 1.45, base[:, 2]))[:, None]
    albedo = _over(albedo, flesh, inner)
    shine = 0.35 + 0.25 * np.exp(-((base[:, 0] / 0.12) ** 2)) * (base[:, 1] > 6.85) + 0.8 * lips
    shine = shine * (1 - hair) + 0.25 * hair
    for which, (srgb, dark, near, far, gloss) in INSIDE.items():
        rows = part == which
        shade = dark + (1 - dark) * smoothstep(far, near, base[rows, 2])
        albedo[rows], shine[rows] = linear(srgb) * shade[:, None], gloss
    for which, side in ((LEFT_EYE, 1.0), (RIGHT_EYE, -1.0)):
        rows = part == which
        albedo[rows], shine[rows] = _eye(look, base[rows], side, gaze), WET
    return albedo.astype(np.float32), shine.astype(np.float32)


def _over(under: Floats, colour: Floats, cover: Floats) -> Floats:
    """A colour (3,) or (P, 3) painted over another (P, 3), as far as it covers it (P,)."""
    return under + cover[:, None] * (colour - under)


def _skin(look: Look, base: Floats, uneven: Floats) -> Floats:
    """Skin (P, 3), redder on cheeks and nose, darker around the eyes."""
    x, y = np.abs(base[:, 0]), base[:, 1]
    cheek = np.exp(-(((x - 0.42) / 0.17) ** 2) - ((y - 6.95) / 0.16) ** 2)
    nose = 0.6 * np.exp(-((x / 0.14) ** 2) - ((y - 6.93) / 0.12) ** 2)
    socket = np.exp(-(((x - 0.3) / 0.2) ** 2) - ((y - 7.27) / 0.13) ** 2)
    red = look.blush * (cheek + nose)
    tint = np.stack([1 + 0.05 * red, 1 - 0.55 * red, 1 - 0.5 * red], 1)
    return np.asarray(look.skin * tint * ((1 + 0.07 * uneven) * (1 - 0.16 * socket))[:, None], np.float32)


def _brows(look: Look, base: Floats) -> Floats:
    """Cover (P,) of an arch above each eye, thick at the nose and thin at the temple."""
    x, y, z = np.abs(base[:, 0]), base[:, 1], base[:, 2]
    thick, dark, lift, arch = look.brow
    t = np.clip((x - 0.11) / 0.42, 0, 1)
    bow: Floats = np.sin(np.pi * np.minimum(0.9 * t, 0.9)) * arch + 0.015 * t - 0.05 * np.clip(t - 0.75, 0, 1)
    away: Floats = np.abs(y - (7.425 + lift + bow)) / (thick * (1 - 0.6 * t))
    ends = smoothstep(0.07, 0.14, x) * smoothstep(0.57, 0.5, x) * (z > 0.8)
    found: Floats = dark * smoothstep(1.35, 0.55, away) * ends
    return found


def _beard(look: Look, base: Floats, uneven: Floats) -> Floats:
    """Cover (P,) of chin, jaw and upper lip."""
    x, y, z = np.abs(base[:, 0]), base[:, 1], base[:, 2]
    chin = smoothstep(6.78, 6.6, y) * smoothstep(6.0, 6.2, y)
    jaw = smoothstep(0.5, 0.62, x) * smoothstep(7.15, 6.9, y)
    moustache = np.exp(-(((y - 6.775) / 0.045) ** 2)) * smoothstep(0.3, 0.22, x) * (z > 1.2)
    found: Floats = np.clip(chin + jaw + moustache, 0, 1) * look.beard * (0.8 + 0.2 * uneven) * (z > 0.55)
    return found


def _eye(look: Look, base: Floats, side: float, gaze: tuple[float, float]) -> Floats:
    """Sclera, iris and pupil by the angle from the axis of gaze; the upper lid throws a shadow."""
    away = (base - EYE_CENTRE * np.array([side, 1, 1], np.float32)) / EYE_RADIUS
    axis = np.array([np.sin(gaze[0]), np.sin(gaze[1]), 1.0])
    axis = (axis / np.linalg.norm(axis)).astype(np.float32)
    angle = np.arccos(np.clip((away @ axis) / np.maximum(np.linalg.norm(away, axis=1), 1e-6), -1, 1))
    white = linear((226, 218, 212)) * np.ones((len(base), 1))
    rim = smoothstep(0.53, 0.47, angle)[:, None]
    rays = 1 + 0.25 * np.sin(9 * np.arctan2(away[:, 1], away[:, 0]) * 2)[:, None]
    iris = look.iris * rays * (0.55 + 0.9 * smoothstep(0.5, 0.25, angle))[:, None]
    colour = white * (1 - rim) + rim * iris
    pupil = smoothstep(0.22, 0.17, angle)[:, None]
    colour = colour * (1 - pupil) + pupil * 0.004
    return np.asarray(colour * (0.45 + 0.55 * smoothstep(0.75, 0.1, away[:, 1]))[:, None], np.float32)
