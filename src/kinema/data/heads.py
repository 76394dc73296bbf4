"""Rendered heads: persons nobody is, whose action units are known exactly, as they are asked for.

Item i is a pure function of the seed and i. Every person appears in a few pictures, with another expression,
light, view and ground in each; those of training and of validation are different persons. For scoring, the
same picture is rendered with other action units.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import UsageError
from kinema.data.action_units import UNITS
from kinema.data.captions import Split
from kinema.data.face_crop import Place, place
from kinema.data.faces import Faces
from kinema.data.head_look import Look, draw_look
from kinema.data.head_mesh import FILE, Floats, draw_shape, expressed, mesh, person
from kinema.data.head_scene import DOWNWARDS, Scene, render, seen_from
from kinema.data.picture_folder import check_memory

PICTURES = {"train": 4000, "val": 1000, "all": 5000}
OF_ONE = 4
"""pictures of a person"""
RAISED = 5
"""action units that are raised in a picture, at most"""
NEUTRAL = 0.08
"""share of pictures without expression"""
YAW, PITCH = 0.13, 0.06
"""spread of the head's turns, in radians"""
SHIFT, ZOOM, TILT = 0.02, 0.03, 0.04
"""how far crops are off, as those that are found in photographs: in sides, in logarithms, in radians"""
POINTS = {
    "right eye": ((-0.434, 7.276, 1.356), (-0.158, 7.266, 1.398)),
    "left eye": ((0.434, 7.276, 1.356), (0.158, 7.266, 1.398)),
    "nose": ((0.0, 6.827, 1.603),),
}
"""corners of the eyes and base of the nose in the base mesh, by which crops are placed"""


class Head(NamedTuple):
    """All of an item but its expression."""

    neutral: Floats
    """(V, 3)"""
    look: Look
    scene: Scene
    frame: Place
    """what the crop shows, in decimetres at the face, y down"""


class Rendered(NamedTuple):
    """A picture and what of it is ground."""

    pixels: NDArray[np.uint8]
    """(S, S, 3)"""
    cover: Floats
    """how much of each pixel the head covers (S, S)"""


@lru_cache(64)
def features(seed: int, who: int) -> tuple[Floats, Look]:
    """Shape and look of a person."""
    chance = np.random.default_rng([28, seed, who])
    shape, ancestry, male, age = draw_shape(chance)
    return person(shape), draw_look(chance, ancestry, male, age)


@lru_cache(1)
def landmarks() -> dict[str, NDArray[np.int64]]:
    """Name of a point -> the vertices whose middle it is."""
    vertices = mesh().vertices
    return {
        name: np.array([int(np.abs(vertices - np.array(at, np.float32)).sum(1).argmin()) for at in places])
        for name, places in POINTS.items()
    }


def draw_units(chance: np.random.Generator) -> Floats:
    """Intensities (17,): up to five are raised; half of all pictures are faint."""
    units = np.zeros(len(UNITS), np.float32)
    if chance.random() >= NEUTRAL:
        raised = chance.choice(len(UNITS), chance.integers(1, RAISED + 1), replace=False)
        units[raised] = chance.random(len(raised)) * (chance.random() if chance.random() < 0.5 else 1)
    return units


def draw_scene(chance: np.random.Generator) -> Scene:
    """View, light and ground."""
    light = np.array([chance.normal(0, 0.7), chance.normal(0.45, 0.35), 1.0])
    warm = chance.normal(0, 0.06)
    wall = chance.random() * 0.6 + chance.normal(0, 0.08, 3)
    spots = chance.normal(0, chance.uniform(0.02, 0.12), (5, 5, 3))
    return Scene(
        turn=(float(chance.normal(0, YAW)), float(chance.normal(0, PITCH)), 0.0),
        gaze=(float(chance.normal(0, 0.12)), float(chance.normal(0, 0.06))),
        distance=float(chance.uniform(5, 12)),
        light=(light / np.linalg.norm(light)).astype(np.float32),
        colour=(chance.uniform(0.5, 0.95) * np.array([1 + warm, 1, 1 - warm])).astype(np.float32),
        ambient=(chance.uniform(0.3, 0.6) * np.array([1 - warm, 1, 1 + warm])).astype(np.float32),
        ground=np.clip(wall + spots, 0, 1).astype(np.float32),
    )


def framed(neutral: Floats, scene: Scene, shift: NDArray[np.float64], zoom: float, tilt: float) -> Place:
    """The crop of a face as it would be found, a little off."""
    flat = seen_from(scene, neutral)[:, :2] * DOWNWARDS
    found = place(*(flat[rows].mean(0).astype(np.float64) for rows in landmarks().values()))
    side = found.side * zoom
    return Place(found.x + shift[0] * side, found.y + shift[1] * side, side, found.angle + tilt)


class Heads(Faces):
    """The first heads of a split; rendered when they are asked for, and kept."""

    def __init__(self, n: int | None, size: int, split: Split = "train", seed: int = 0) -> None:
        """Describe them.

        Args:
            n: how many; None: 4,000 to train on, 1,000 for validation.
            size: side of the square pictures in pixels.
            split: persons of "val" are not among those of "train"; "all" are both.
            seed: other ones are other persons.
        """
        if size < 8:
            raise UsageError(f"heads are rendered at 8 pixels or more, not {size}.")
        self.n, self.size, self.split, self.seed = n or PICTURES[split], size, split, seed
        check_memory(self.n, size, 3)
        self.where = "heads" if n is None else f"heads:{n}"
        self.describe = self._described()
        self.captions, self.vocabulary = [], []
        self._made: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return self.n

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the mesh, of what is asked for, and of how the first items look."""
        digest = hashlib.sha256(FILE.read_bytes() + self.describe.encode())
        digest.update(self.pixels(range(min(4, self.n))).tobytes() + self.units.tobytes())
        return digest.hexdigest()

    @cached_property
    def units(self) -> NDArray[np.float32]:  # type: ignore[override]
        """Intensities (N, 17)."""
        return np.stack([draw_units(self._chance(i, 1)) for i in range(self.n)])

    def head(self, i: int) -> Head:
        """Who item i shows, and how."""
        chance = self._chance(i, 0)
        neutral, look = features(self.seed, self._number(i) // OF_ONE)
        scene = draw_scene(chance)
        zoom, tilt = float(np.exp(chance.normal(0, ZOOM))), float(chance.normal(0, TILT))
        frame = framed(neutral, scene, chance.normal(0, SHIFT, 2), zoom, tilt)
        return Head(neutral, look, scene, frame)

    def rendered(self, i: int, units: Floats) -> Rendered:
        """Item i with other action units (17,)."""
        head = self.head(i)
        return Rendered(*render(head.look, head.scene, expressed(head.neutral, units), head.frame, self.size))

    def pixels(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures uint8 (B, 1, S, S, 3)."""
        for i in map(int, indices):
            if i not in self._made:
                self._made[i] = self.rendered(i, self.units[i]).pixels
        return np.stack([self._made[int(i)] for i in indices])[:, None]

    def _described(self) -> str:
        persons = -(-self.n // OF_ONE)
        what = f"{self.n} rendered heads of {persons} persons at {self.size}×{self.size}"
        return f"{what}, split {self.split}, seed {self.seed}."

    def _number(self, i: int) -> int:
        """The item's number among those of all splits: validation has its own persons."""
        first = {"train": 0, "val": 2**30, "all": 0}[self.split]
        if self.split == "all" and i >= PICTURES["train"]:
            return i - PICTURES["train"] + 2**30
        return first + i

    def _chance(self, i: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([496, self.seed, self._number(i), stream])
