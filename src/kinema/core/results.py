"""What systems give back: `Image`, `Video`, and `Batch` for several of one request.

Pixels are uint8 RGB here, as in files; networks think in floats in [-1, 1] and convert at their own door
with `to_uint8`. `save` is carried out by the one door to files (`kinema.media`), which the package's face
hangs in as `writer`: this module must not import it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
GREY = 96
"""of the ground on which clips are tiled"""
writer: Callable[[Result, Path], Path] | None = None


@dataclass
class Result:
    """Anything a system's `run` returns.

    `provenance` holds what is needed to make the same pixels again: system, weights and their hash, request
    with its seed, version. It is filled by `kinema.load(...).run(...)` and written into every file.
    """

    provenance: dict[str, Any] = field(default_factory=dict, kw_only=True)

    def save(self, path: str | Path) -> Path:
        """Write to `path`; its suffix chooses the format. Returns the path written."""
        if writer is None:
            raise RuntimeError("results are saved through kinema.media: `import kinema` first")
        return writer(self, Path(path))


@dataclass
class Image(Result):
    """One picture: `pixels` uint8 (H, W, 3)."""

    pixels: Pixels


@dataclass
class Video(Result):
    """One clip: `frames` uint8 (T, H, W, 3), shown at `fps` frames per second."""

    frames: Pixels
    fps: Fraction = Fraction(8)
    sound: Path | None = None
    """a video whose sound goes along, into files that can hold it"""

    def strip(self) -> Image:
        """All frames side by side, as one picture (H, T·W, 3)."""
        t, h, w, c = self.frames.shape
        return Image(self.frames.transpose(1, 0, 2, 3).reshape(h, t * w, c), provenance=self.provenance)


@dataclass
class Batch(Result):
    """Several clips of one request in the order asked for.

    Saved to a folder (no suffix) each clip is a file of its own; saved to one video file they are tiled by
    `sheet`.
    """

    items: list[Video]
    labels: list[str] = field(default_factory=list)
    columns: int | None = None
    """clips in a row of the sheet; None makes it about square"""

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Video:
        return self.items[index]

    def even(self) -> Pixels:
        """The clips as one array (N, T, H, W, 3): short ones hold their last, small ones get a margin."""
        most = [max(v.frames.shape[axis] for v in self.items) for axis in range(3)]
        return np.stack([_within(v.frames, most) for v in self.items])

    def sheet(self, columns: int | None = None) -> Video:
        """Tile the clips of `even` row by row into one video, two grey pixels apart."""
        return Video(
            tile(self.even(), columns or self.columns),
            self.items[0].fps,
            provenance=self.provenance,
        )


def _within(frames: Pixels, most: list[int]) -> Pixels:
    """A clip (t, h, w, 3) in the middle of grey frames (T, H, W, 3), its last frame held to the end."""
    rests = [side - have for side, have in zip(most, frames.shape[:3], strict=True)]
    margins = [(rest // 2, rest - rest // 2) for rest in rests[1:]]
    held = np.pad(frames, ((0, rests[0]), (0, 0), (0, 0), (0, 0)), mode="edge")
    return np.pad(held, ((0, 0), *margins, (0, 0)), constant_values=GREY)


def tile(clips: Pixels, columns: int | None = None, gap: int = 2) -> Pixels:
    """Tile clips (N, T, H, W, 3) into one clip (T, rows·H, columns·W, 3), `gap` grey pixels apart."""
    n, t, h, w, c = clips.shape
    columns = min(n, columns or int(np.ceil(np.sqrt(n))))
    rows = -(-n // columns)
    out = np.full((t, rows * (h + gap) - gap, columns * (w + gap) - gap, c), GREY, np.uint8)
    for i in range(n):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        out[:, y : y + h, x : x + w] = clips[i]
    return out
