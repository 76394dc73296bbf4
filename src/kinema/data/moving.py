"""Bouncing handwritten digits with captions: SBMG (one digit) and TBMG (two), made while you wait.

The sets are those of TGANs-C (arXiv 1804.08264), after "Sync-DRAW" (arXiv 1611.10314). One rule for every
size S: the digit's side is d = round(28·S/64), its free range R = S − d, its start uniform in [0, 1]², its
velocity ±0.2 a frame along the caption's axis, its place reflected at 0 and 1 (where the older script
clamps), its corner at round(R·place), and digits overlap by maximum. Item i is a pure function of the seed
and i; size, number of frames and wording do not change what it shows.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kinema.core.errors import UsageError
from kinema.data.captions import Scheme, Split, Template, contents, words, write_caption
from kinema.data.chance import uniform
from kinema.data.clips import LEVELS
from kinema.data.digits import Digits, bundled_digits, shrink, split_digits

CLIPS = {"train": 10_000, "val": 2_000, "all": 12_000}
SPEED = 0.2
"""of the free range, a frame"""

_SENTENCE, _WRONG, _FIRST_DIGIT = 0, 1, 2
_IMAGE, _X, _Y, _SIGN = range(4)


class MovingDigits:
    """One or two digits, each moving along its own axis, with the sentence that says so.

    `random` and `holdout` both keep the digit images of training and validation apart; `holdout` also keeps
    the sentences apart. A wrong caption is drawn evenly from the sentences of the same split that say
    something else.

    Example:
        >>> clips = MovingDigits(100, digits=1, size=32)
        >>> clips.batch([0, 1])["video"].shape
        torch.Size([2, 1, 16, 32, 32])
    """

    def __init__(
        self,
        n: int | None = None,
        digits: int = 1,
        *,
        size: int = 48,
        frames: int = 16,
        channels: int = 1,
        split: Split = "train",
        scheme: Scheme = "random",
        seed: int = 0,
        template: Template = "long",
        bank: Digits | None = None,
    ) -> None:
        """Describe the set; nothing is drawn yet.

        Args:
            n: number of clips; None takes 10,000 for training, 2,000 for validation, 12,000 for all.
            digits: 1 or 2.
            size: side of the square frames in pixels.
            frames: frames a clip.
            channels: 1 (grey) or 3.
            split: "train", "val" or "all".
            scheme: "random" or "holdout".
            seed: fixes everything that is drawn.
            template: "long" (`is moving up and down`) or "short" (`is up and down`).
            bank: other digits than the bundled ones, from `load_digits`.
        """
        choices = (("split", split, Split), ("scheme", scheme, Scheme), ("template", template, Template))
        for name, value, known in choices:
            if value not in get_args(known):
                raise UsageError(f"{name} is one of {', '.join(get_args(known))}, not '{value}'.")
        if digits not in (1, 2) or channels not in (1, 3):
            raise UsageError(f"a clip has 1 or 2 digits in 1 or 3 channels, not {digits} in {channels}.")
        if size < 8 or frames < 1:
            raise UsageError(f"moving digits need a size of at least 8 and a frame, not {size} and {frames}.")
        self.n = CLIPS[split] if n is None else n
        self.digits, self.size, self.frames, self.channels = digits, size, frames, channels
        self.split, self.scheme, self.seed, self.template = split, scheme, seed, template
        self.side = round(28 * size / 64)
        bank = bank or bundled_digits()
        pools = split_digits(bank.labels, split)
        if not all(map(len, pools)):
            raise UsageError("the bank of digits needs at least two images of each of the ten classes.")
        self._images = shrink(bank.images[np.concatenate(pools)], self.side)
        self._count = np.array([len(pool) for pool in pools])
        self._first = np.cumsum(self._count) - self._count
        self._contents = contents(digits, scheme, split)
        self._labels = np.array(self._contents)
        self._sentences = [write_caption(c, template) for c in self._contents]
        meanings = [tuple(sorted(c)) for c in self._contents]
        self._others = [[k for k, other in enumerate(meanings) if other != own] for own in meanings]

    def __len__(self) -> int:
        return self.n

    @property
    def captions(self) -> list[str]:
        """All sentences of this split, sorted."""
        return sorted(self._sentences)

    @cached_property
    def vocabulary(self) -> list[str]:
        """All words of every split, sorted."""
        return sorted({w for c in contents(self.digits) for w in words(write_caption(c, self.template))})

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the definition and of the digit images."""
        keys = ("n", "digits", "size", "frames", "channels", "split", "scheme", "seed", "template")
        definition = json.dumps({"moving digits": 1} | {k: getattr(self, k) for k in keys})
        return hashlib.sha256(definition.encode() + self._images.tobytes()).hexdigest()

    @property
    def describe(self) -> str:
        """The set in one sentence."""
        what = "one digit" if self.digits == 1 else "two digits"
        shape = f"{self.frames} frames of {self.size}×{self.size}×{self.channels}"
        split = f"split {self.split} of the {self.scheme} scheme"
        sentences = f"{len(self._sentences)} sentences"
        return f"{self.n} procedural clips of {what} moving, {shape}, {split}, {sentences}, seed {self.seed}."

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """What items show: int64 (B, digits, 2) of (digit, axis); axis 0 is left and right, 1 up and down."""
        return self._labels[self._which(self._draw(indices))]

    def caption(self, index: int) -> str:
        """The sentence of one item."""
        return self._sentences[int(self._which(self._draw([index]))[0])]

    def row(self, index: int) -> dict[str, Any]:
        """What a list of clips on disk says of an item."""
        return {"text": self.caption(index)}

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Items with video float32 (B, C, T, H, W) in [-1, 1]; see `Clips`."""
        draw = self._draw(indices)
        which = self._which(draw)
        video = torch.from_numpy(self._render(draw, LEVELS))[:, None]  # (B, 1, T, H, W)
        return {
            "video": video if self.channels == 1 else video.repeat(1, self.channels, 1, 1, 1),
            "caption": [self._sentences[k] for k in which],
            "wrong": [self._sentences[k] for k in self._wrong(draw, which)],
            "index": torch.as_tensor(np.asarray(indices, np.int64)),
        }

    def pixels(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The clips as bytes (B, T, H, W, C)."""
        frames = self._render(self._draw(indices), np.arange(256, dtype=np.uint8))
        return np.repeat(frames[..., None], self.channels, axis=-1)

    def _draw(self, indices: Sequence[int]) -> NDArray[np.float64]:
        """Everything that is left to chance, (B, LANES) in [0, 1)."""
        index = np.asarray(indices, np.int64).reshape(-1)
        if index.size and (index.min() < 0 or index.max() >= self.n):
            raise IndexError(f"items are 0 to {self.n - 1}; asked for {index.min()} to {index.max()}")
        return uniform(f"moving digits {self.digits} {self.scheme} {self.split} {self.seed}", index)

    def _which(self, draw: NDArray[np.float64]) -> NDArray[np.int64]:
        return (draw[:, _SENTENCE] * len(self._contents)).astype(np.int64)

    def _wrong(self, draw: NDArray[np.float64], which: NDArray[np.int64]) -> list[int]:
        """For every item, a sentence that no order of digits makes equivalent to its own."""
        others = [self._others[k] for k in which]
        return [ks[int(u * len(ks))] for u, ks in zip(draw[:, _WRONG], others, strict=True)]

    def _render(self, draw: NDArray[np.float64], levels: NDArray[Any]) -> NDArray[Any]:
        """Paint the clips (B, T, H, W) in the number type of `levels`, a table from byte to value."""
        b, t, s = len(draw), self.frames, self.size
        canvas = np.full((b, t, s, s), levels[0], levels.dtype)
        window = sliding_window_view(canvas, (self.side, self.side), axis=(2, 3), writeable=True)
        clip, frame = np.arange(b)[:, None], np.arange(t)
        labels = self._labels[self._which(draw)]
        for j in range(self.digits):
            chance = draw[:, _FIRST_DIGIT + 4 * j :][:, :4]
            digit, axis = labels[:, j].T
            image = self._first[digit] + (chance[:, _IMAGE] * self._count[digit]).astype(np.int64)
            x, y = self._path(chance, axis)
            tile = levels[self._images[image]][:, None]  # (B, 1, d, d)
            under = window[clip, frame, y, x] if j else tile
            window[clip, frame, y, x] = np.maximum(under, tile)
        return canvas

    def _path(self, chance: NDArray[np.float64], axis: NDArray[np.int64]) -> NDArray[np.int64]:
        """Corners of a digit over time, int64 (2, B, T): columns, then rows."""
        start = chance[:, [_X, _Y]].T[..., None]  # (2, B, 1)
        sign = np.where(chance[:, _SIGN] < 0.5, -SPEED, SPEED)
        velocity = (axis == np.arange(2)[:, None]) * sign  # (2, B): only the caption's axis moves
        place = start + velocity[..., None] * np.arange(self.frames)
        place = 1 - np.abs(np.mod(place, 2) - 1)  # reflected at 0 and 1
        return np.rint(place * (self.size - self.side)).astype(np.int64)
