"""Pictures of faces with the intensities of their action units, as the engine and metrics see them."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.data.chance import uniform
from kinema.data.clips import LEVELS

OTHERS = 8
"""expressions of other faces that come with each"""


class Faces:
    """Square pictures of one face each, with its action units, kept as bytes. Item i never changes.

    Where metrics and files want clips, they are clips of a single frame.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], units: NDArray[np.float32], describe: str, where: str
    ) -> None:
        """Take them.

        Args:
            pixels: (N, S, S, 3).
            units: (N, 17), intensities from 0 to 1 in the order of `action_units.UNITS`.
            describe: the set in one sentence.
            where: what `open_faces` was asked for.
        """
        self._pixels, self.units, self.describe, self.where = pixels, units, describe, where
        self.captions: list[str] = []
        self.vocabulary: list[str] = []

    def __len__(self) -> int:
        return len(self._pixels)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the pixels and units."""
        digest = hashlib.sha256(repr(self._pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.units, np.float32).tobytes())
        for part in np.array_split(self._pixels, max(1, len(self) // 1000)):
            digest.update(part.tobytes())
        return digest.hexdigest()

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> dict[str, Any]:
        """The items as the engine hands them to a system.

        Returns:
            "image" float32 (B, 3, S, S) in [-1, 1], "action_units" float32 (B, 17) in [0, 1], "others"
            float32 (B, 8, 17), the units of eight other faces, always the same, and "index" int64 (B,).
        """
        index = np.asarray(indices, np.int64)
        image = LEVELS[self.pixels(index)[:, 0]].transpose(0, 3, 1, 2)  # (B, 3, S, S)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(image)),
            "action_units": torch.from_numpy(self.units[index]),
            "others": torch.from_numpy(self.units[others(index, len(self))]),
            "index": torch.from_numpy(index),
        }

    def pixels(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same faces as bytes, clips of one frame (B, 1, S, S, 3)."""
        return self._pixels[np.asarray(indices, np.int64)][:, None]


def others(index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Eight other items (B, 8) of a set of `n`, drawn by an item's number; itself where it is alone."""
    chance = uniform("other faces", index)[:, :OTHERS]
    drawn = (chance * max(n - 1, 1)).astype(np.int64)
    return drawn + (drawn >= index[:, None]) if n > 1 else drawn
