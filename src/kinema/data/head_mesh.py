"""The shape of a head: a person's features and an expression, added to a mesh of 4,784 vertices.

The mesh and all displacements are MakeHuman's (CC0). A head is the base mesh plus a mix of age, sex and
ancestry, some details of its own, and one displacement for each action unit times its intensity: so the
intensities are known exactly.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.data.action_units import UNITS

Floats = NDArray[np.floating[Any]]
FILE = Path(__file__).with_name("head.npz")
SKIN, LEFT_EYE, RIGHT_EYE, UPPER_TEETH, LOWER_TEETH, TONGUE = range(6)
"""parts, one for each triangle; the person's left is at positive x"""
LIPS, LIDS, MOUTH, EARS = range(4)
"""masks, one value in [0, 1] for each vertex: lips, eyelids, inside of the mouth, ears"""
MOVES: dict[str, dict[str, float]] = {
    "AU01": {"browInnerUp": 1.3},
    "AU02": {"browOuterUpLeft": 1.2, "browOuterUpRight": 1.2},
    "AU04": {"browDownLeft": 1.2, "browDownRight": 1.2},
    "AU05": {"eyeWideLeft": 1.3, "eyeWideRight": 1.3},
    "AU06": {"cheekSquintLeft": 1.0, "cheekSquintRight": 1.0},
    "AU07": {"eyeSquintLeft": 1.4, "eyeSquintRight": 1.4},
    "AU09": {"noseSneerLeft": 1.8, "noseSneerRight": 1.8},
    "AU10": {"mouthUpperUpLeft": 1.2, "mouthUpperUpRight": 1.2},
    "AU12": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9},
    "AU14": {"mouthDimpleLeft": 1.7, "mouthDimpleRight": 1.7},
    "AU15": {"mouthFrownLeft": 1.4, "mouthFrownRight": 1.4},
    "AU17": {"mouthShrugLower": 1.6, "mouthShrugUpper": 0.4},
    "AU20": {"mouthStretchLeft": 1.4, "mouthStretchRight": 1.4},
    "AU23": {"mouthPressLeft": 0.9, "mouthPressRight": 0.9, "mouthRollLower": 0.4},
    "AU25": {"mouthLowerDownLeft": 1.3, "mouthLowerDownRight": 1.3, "jawOpen": 0.1},
    "AU26": {"jawOpen": 0.7},
    "AU45": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
}
"""action unit -> displacements of the mesh at full intensity; subtle ones are enlarged"""


class Mesh(NamedTuple):
    """The base mesh, in decimetres: y up, the face looks to +z."""

    vertices: Floats
    """(V, 3)"""
    triangles: NDArray[np.int64]
    """(F, 3)"""
    part: NDArray[np.int8]
    """(F,)"""
    masks: Floats
    """(4, V)"""
    macro: dict[str, Floats]
    """"african-female-old" and the like -> displacements (V, 3)"""
    detail: dict[str, Floats]
    """"nose-hump-incr" and the like -> displacements (V, 3)"""
    units: Floats
    """displacements of the 17 action units (17, V, 3)"""
    around: NDArray[np.int64]
    """triangles around each vertex, filled up with F (V, K)"""
    beside: NDArray[np.int64]
    """neighbours of each vertex, filled up with the vertex itself (V, K)"""


@cache
def mesh() -> Mesh:
    """Read the file."""
    with np.load(FILE) as file:
        vertices, triangles = file["vertices"], file["triangles"].astype(np.int64)
        moves = dict(zip(file["unit_names"].tolist(), file["unit"].astype(np.float32), strict=True))
        macro = dict(zip(file["macro_names"].tolist(), file["macro"].astype(np.float32), strict=True))
        detail = dict(zip(file["detail_names"].tolist(), file["detail"].astype(np.float32), strict=True))
        part, masks = file["part"], file["masks"].astype(np.float32) / 255
    units = np.stack([sum(w * moves[move] for move, w in MOVES[name].items()) for name in UNITS])
    around = _grouped(triangles.ravel(), np.repeat(np.arange(len(triangles)), 3), len(vertices))
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    beside = _grouped(ends[:, 0], ends[:, 1], len(vertices))
    around[around < 0] = len(triangles)
    alone = beside < 0
    beside[alone] = np.nonzero(alone)[0]
    return Mesh(vertices, triangles, part, masks, macro, detail, units, around, beside)


def _grouped(keys: NDArray[np.int64], values: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """For each of n keys its values in a row, filled up with -1."""
    order = np.argsort(keys, kind="stable")
    counts = np.bincount(keys, minlength=n)
    out = np.full((n, counts.max()), -1)
    column = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    out[keys[order], column] = values[order]
    return out


def normals(vertices: Floats) -> Floats:
    """Unit normals of the vertices (V, 3), from the triangles around each, large ones counting more."""
    a, b, c = (vertices[mesh().triangles[:, k]] for k in range(3))
    faces = np.concatenate([np.cross(b - a, c - a), np.zeros((1, 3), np.float32)])
    total = _gathered(faces, mesh().around)
    found: Floats = total / np.maximum(np.sqrt((total * total).sum(1, keepdims=True)), 1e-12)
    return found


def creases(vertices: Floats, normal: Floats) -> Floats:
    """How far the neighbours of each vertex stand out beyond it, relative to their distance at rest (V,).

    Positive in folds, negative on ridges.
    """
    away = _gathered(vertices, mesh().beside) - mesh().beside.shape[1] * vertices
    out: Floats = (away * normal).sum(1) / reach()
    return out


@cache
def reach() -> Floats:
    """Summed distances of the neighbours of each vertex in the base mesh (V,)."""
    m = mesh()
    away = m.vertices[m.beside] - m.vertices[:, None]
    return np.maximum(np.sqrt((away * away).sum(2)).sum(1), np.float32(1e-6))


@cache
def outward() -> Floats:
    """Normals of the base mesh (V, 3)."""
    return normals(mesh().vertices)


def _gathered(values: Floats, rows: NDArray[np.int64]) -> Floats:
    """Sum of the values (N, 3) that each row (V, K) names: (V, 3)."""
    total = values[rows[:, 0]]
    for k in range(1, rows.shape[1]):
        total += values[rows[:, k]]
    return total


class Shape(NamedTuple):
    """A person's features as weights of displacements."""

    macro: dict[str, float]
    detail: dict[str, float]


ANCESTRIES, SEXES, AGES = ("african", "asian", "caucasian"), ("female", "male"), ("young", "old")
BUILDS = {"female": ("young-averagemuscle-minweight", "old-averagemuscle-maxweight"),
          "male": ("young-averagemuscle-minweight", "young-averagemuscle-maxweight")}  # fmt: skip
DETAILS, STRONGEST = 12, 0.4


def draw_shape(chance: np.random.Generator) -> tuple[Shape, NDArray[np.float64], float, float]:
    """A person's features, and what decides the look: shares of ancestries (3,), maleness and age in 0..1."""
    ancestry = chance.dirichlet([0.35] * 3)
    male, age = chance.beta(0.4, 0.4), chance.beta(0.8, 1.2)
    macro = {
        f"{a}-{s}-{g}": float(share * (male if s == "male" else 1 - male) * (age if g == "old" else 1 - age))
        for a, share in zip(ANCESTRIES, ancestry, strict=True)
        for s in SEXES
        for g in AGES
    }
    sex = "male" if male > 0.5 else "female"
    macro[f"universal-{sex}-{BUILDS[sex][int(chance.random() < 0.5)]}"] = float(chance.uniform(0, 0.8))
    kinds = sorted({name.removeprefix("l-").removeprefix("r-") for name in mesh().detail})
    detail: dict[str, float] = {}
    for kind in chance.choice(len(kinds), DETAILS, replace=False):
        weight = float(chance.uniform(0, STRONGEST))
        detail |= {
            side + kinds[kind]: weight for side in ("", "l-", "r-") if side + kinds[kind] in mesh().detail
        }
    return Shape(macro, detail), ancestry, float(male), float(age)


def person(shape: Shape) -> Floats:
    """The neutral head of a person (V, 3)."""
    m = mesh()
    out = m.vertices.copy()
    for name, weight in shape.macro.items():
        out += weight * m.macro[name]
    for name, weight in shape.detail.items():
        out += weight * m.detail[name]
    return out


def expressed(neutral: Floats, units: Floats) -> Floats:
    """The head (V, 3) of a person with action units (17,) in 0..1."""
    return neutral + np.tensordot(units.astype(np.float32), mesh().units, 1)
