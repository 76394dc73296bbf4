"""Moving shapes: a disc, a square or a triangle of one of eight hues that moves in one of four ways.

What a clip looks like (shape, hue, size) and how it moves (motion, phase) are drawn apart, so that a system
which claims to keep them apart can be measured. Item i is a pure function of the seed and i; size and number
of frames do not change what it shows.
"""

import colorsys
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import UsageError
from kinema.data.captions import Split, words
from kinema.data.chance import uniform
from kinema.data.clips import LEVELS

CLIPS = {"train": 4_000, "val": 4_096, "all": 8_096}
SHAPES = ("disc", "square", "triangle")
HUES = ("red", "orange", "lime", "green", "cyan", "blue", "violet", "pink")
"""45 degrees apart, saturation and value 0.9"""
MOTIONS = ("moves left and right", "moves up and down", "moves in a circle", "grows and shrinks")
"""the circle is clockwise, so that a clip shown backwards can be told"""

PERIOD = 16
"""frames of one round of any motion"""
RADIUS = (0.11, 0.17)
"""of a disc, relative to the frame; the other shapes have its area"""
REACH, GROWTH = 0.2, 0.5
"""amplitude of the place relative to the frame, of the radius relative to itself"""
HALF_SIDE, INRADIUS = np.sqrt(np.pi) / 2, np.sqrt(np.pi / 27**0.5)
"""of the square and the triangle with the area of a disc of radius 1"""

_SHAPE, _HUE, _MOTION, _RADIUS, _PHASE, _WRONG = range(6)
_LUMA = np.array([0.299, 0.587, 0.114])  # Rec. ITU-R BT.601


class MovingShapes:
    """One shape on white in each clip, edges anti-aliased, with the sentence that says what it does.

    Example:
        >>> clips = MovingShapes(100, size=32)
        >>> clips.batch([0, 1])["video"].shape
        torch.Size([2, 3, 16, 32, 32])
    """

    def __init__(
        self,
        n: int | None = None,
        *,
        size: int = 64,
        frames: int = 16,
        channels: int = 3,
        split: Split = "train",
        seed: int = 0,
    ) -> None:
        """Describe the set; nothing is drawn yet.

        Args:
            n: number of clips; None takes 4,000 for training, 4,096 for validation, 8,096 for all.
            size: side of the square frames in pixels.
            frames: frames a clip.
            channels: 3 for colour, 1 for grey.
            split: "train", "val" or "all"; no item of one is an item of another.
            seed: fixes everything that is drawn.
        """
        if split not in get_args(Split):
            raise UsageError(f"split is one of {', '.join(get_args(Split))}, not '{split}'.")
        if channels not in (1, 3):
            raise UsageError(f"a clip has 1 or 3 channels, not {channels}.")
        if size < 8 or frames < 1:
            raise UsageError(f"moving shapes need a size of at least 8 and a frame, not {size} and {frames}.")
        self.n = CLIPS[split] if n is None else n
        self.size, self.frames, self.channels, self.split, self.seed = size, frames, channels, split, seed
        self._inks = _inks(channels)
        self._sentences = [f"the {h} {s} {m} ." for s, h, m in product(SHAPES, HUES, MOTIONS)]

    def __len__(self) -> int:
        return self.n

    @property
    def captions(self) -> list[str]:
        """All 96 sentences, sorted."""
        return sorted(self._sentences)

    @cached_property
    def vocabulary(self) -> list[str]:
        """All words of the sentences, sorted."""
        return sorted({word for sentence in self._sentences for word in words(sentence)})

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the definition."""
        keys = ("n", "size", "frames", "channels", "split", "seed")
        definition = json.dumps({"moving shapes": 1} | {k: getattr(self, k) for k in keys})
        return hashlib.sha256(definition.encode()).hexdigest()

    @property
    def describe(self) -> str:
        """The set in one sentence."""
        shape = f"{self.frames} frames of {self.size}×{self.size}×{self.channels}"
        kinds = f"{len(SHAPES)} shapes, {len(HUES)} hues, {len(MOTIONS)} motions"
        what = f"{self.n} procedural clips of a moving shape, {shape}, split {self.split}"
        return f"{what}, {kinds}, seed {self.seed}."

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """What items show: int64 (B, 3), places in `SHAPES`, `HUES` and `MOTIONS`."""
        return _labels(self._draw(indices))

    def caption(self, index: int) -> str:
        """The sentence of one item."""
        return self._sentences[int(_sentence(self.labels([index]))[0])]

    def row(self, index: int) -> dict[str, Any]:
        """What a list of clips on disk says of an item."""
        return {"text": self.caption(index)}

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Items as in `Clips`, with "label" int64 (B, 3) besides, see `labels`."""
        draw = self._draw(indices)
        labels = _labels(draw)
        said = _sentence(labels)
        others = len(self._sentences) - 1
        wrong = (said + 1 + (draw[:, _WRONG] * others).astype(np.int64)) % len(self._sentences)
        video = np.empty((len(draw), self.channels, self.frames, self.size, self.size), np.float32)
        for clip, mask, hue in zip(video, self._masks(draw), labels[:, 1], strict=True):
            for plane, ink in zip(clip, LEVELS[self._inks[hue].T], strict=True):
                np.take(ink, mask, out=plane, mode="clip")
        return {
            "video": torch.from_numpy(video),
            "caption": [self._sentences[k] for k in said],
            "wrong": [self._sentences[k] for k in wrong],
            "label": torch.from_numpy(labels),
            "index": torch.as_tensor(np.asarray(indices, np.int64)),
        }

    def pixels(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The clips as bytes (B, T, H, W, C)."""
        draw = self._draw(indices)
        out = np.empty((len(draw), self.frames, self.size, self.size, self.channels), np.uint8)
        for clip, mask, hue in zip(out, self._masks(draw), _labels(draw)[:, 1], strict=True):
            np.take(self._inks[hue], mask, axis=0, out=clip, mode="clip")
        return out

    def _draw(self, indices: Sequence[int]) -> NDArray[np.float64]:
        """Everything that is left to chance, (B, LANES) in [0, 1)."""
        index = np.asarray(indices, np.int64).reshape(-1)
        if index.size and (index.min() < 0 or index.max() >= self.n):
            raise IndexError(f"items are 0 to {self.n - 1}; asked for {index.min()} to {index.max()}")
        return uniform(f"moving shapes {self.split} {self.seed}", index)

    def _masks(self, draw: NDArray[np.float64]) -> Iterator[NDArray[np.intp]]:
        """For each clip, how much of every pixel (T, H, W) the shape covers, from 0 to 255."""
        labels, paths = _labels(draw), self._paths(draw)
        for (shape, _, _), (x, y, radius) in zip(labels, paths, strict=True):
            inside = _inside(SHAPES[shape], x, y, radius, self.size)
            yield np.rint(np.clip(inside + 0.5, 0, 1, out=inside) * 255).astype(np.intp)

    def _paths(self, draw: NDArray[np.float64]) -> NDArray[np.float32]:
        """Centre x, centre y and radius over time in pixels, float32 (B, 3, T)."""
        motion, (low, high) = _labels(draw)[:, 2, None], RADIUS
        angle = 2 * np.pi * (draw[:, [_PHASE]] + np.arange(self.frames) / PERIOD)  # (B, T)
        radius = low + (high - low) * draw[:, [_RADIUS]]
        x = 0.5 + REACH * np.cos(angle) * np.isin(motion, (0, 2))
        y = 0.5 + REACH * np.sin(angle) * np.isin(motion, (1, 2))
        radius = radius * (1 + GROWTH * np.sin(angle) * (motion == 3))
        return (np.stack([x, y, radius], 1) * self.size).astype(np.float32)


def _labels(draw: NDArray[np.float64]) -> NDArray[np.int64]:
    kinds = (len(SHAPES), len(HUES), len(MOTIONS))
    return (draw[:, [_SHAPE, _HUE, _MOTION]] * kinds).astype(np.int64)


def _sentence(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each sentence in the product of shapes, hues and motions, (B)."""
    return (labels[:, 0] * len(HUES) + labels[:, 1]) * len(MOTIONS) + labels[:, 2]


def _inside(
    shape: str, x: NDArray[np.float32], y: NDArray[np.float32], radius: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """How far each pixel's centre lies inside the shape's nearest edge line, in pixels, (T, S, S)."""
    centre = np.arange(size, dtype=np.float32) + np.float32(0.5)
    across, down = (centre - x[:, None])[:, None, :], (centre - y[:, None])[:, :, None]
    radius = radius[:, None, None]
    if shape == "disc":
        return radius - np.sqrt(across**2 + down**2)
    if shape == "square":
        return np.float32(HALF_SIDE) * radius - np.maximum(abs(across), abs(down))
    slanted = np.float32(3**0.5 / 2) * abs(across) - np.float32(0.5) * down
    return np.float32(INRADIUS) * radius - np.maximum(slanted, down)  # point upwards


def _inks(channels: int) -> NDArray[np.uint8]:
    """Colour of a pixel by hue and by how much of it is covered, uint8 (hues, 256, C); uncovered is white."""
    colours = np.array([colorsys.hsv_to_rgb(k / len(HUES), 0.9, 0.9) for k in range(len(HUES))]) * 255
    covered = np.arange(256)[:, None] / 255
    mixed = 255 + covered * (colours[:, None] - 255)  # (hues, 256, 3)
    return np.rint(mixed if channels == 3 else (mixed @ _LUMA)[..., None]).astype(np.uint8)
