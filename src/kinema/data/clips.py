"""What systems, engine and metrics see of a data set of clips, whatever stands behind it."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

LEVELS = np.arange(256, dtype=np.float32) / np.float32(127.5) - 1
"""byte -> float in [-1, 1]; both procedural and stored clips go through it, so that they agree bit for bit"""


class Clips(Protocol):
    """Clips of one size and length with captions. Item i never changes, and does not depend on its batch."""

    @property
    def captions(self) -> list[str]:
        """All distinct sentences of this split, sorted."""
        ...

    @property
    def vocabulary(self) -> list[str]:
        """All distinct words of every split, sorted, so that a text encoder can know them."""
        ...

    @property
    def hash(self) -> str:
        """Changes when any item would."""
        ...

    @property
    def describe(self) -> str:
        """The set in one sentence."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """The items as the engine hands them to a system.

        Returns:
            "video" float32 tensor (B, C, T, H, W) in [-1, 1], "caption" and "wrong" lists of B sentences,
            "index" int64 tensor (B,). `wrong` is a sentence of another clip that says something else.
        """
        ...

    def pixels(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The same clips as bytes (B, T, H, W, C), as metrics and files want them."""
        ...
