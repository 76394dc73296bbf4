"""Procedural time-lapses: clouds drift over a sky whose colour tells the wind, behind a ridge that stands.

Clouds are noise of power 1/f^2.4 that repeats after the width of the picture and is moved by a phase shift of
its Fourier series, so by any fraction of a pixel exactly. The tint of the sky is a linear function of the
wind: one frame says all that the clip will do, and a generator that reads photos can be told from one that
blurs. Item i is a pure function of seed and i.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import UsageError
from kinema.data.captions import Split
from kinema.data.clips import LEVELS

CLIPS = {"train": 1000, "val": 100, "all": 1100}
WIND = (0.3, 1.2)
"""slowest and fastest, in pixels a frame where the picture is 64 pixels wide"""
POWER = 2.4
"""of 1/f in the spectrum of the clouds"""
TINTS = np.array([(0.85, 0.50, 0.45), (0.40, 0.55, 0.95)], np.float32)
"""colours of the sky at the lowest and at the highest wind, in [0, 1]"""


class Skies:
    """Clips of one sky each; the wind blows to the right, or either way when `signed`.

    Example:
        >>> skies = Skies(10)
        >>> skies.batch([0, 1])["video"].shape
        torch.Size([2, 3, 32, 64, 64])
    """

    def __init__(
        self,
        n: int | None = None,
        *,
        size: int = 64,
        frames: int = 32,
        split: Split = "train",
        seed: int = 0,
        signed: bool = False,
        shuffled: bool = False,
    ) -> None:
        """Describe the set; nothing is drawn yet.

        Args:
            n: number of clips; None takes 1,000 for training, 100 for validation, 1,100 for all.
            size: side of the square frames in pixels.
            frames: frames a clip.
            split: "train", "val" or "all".
            seed: fixes everything that is drawn.
            signed: wind to the right or to the left.
            shuffled: the tint is that of another wind, so that a photo tells nothing: a control.
        """
        if split not in get_args(Split):
            raise UsageError(f"split is one of {', '.join(get_args(Split))}, not '{split}'.")
        if size < 16 or frames < 1:
            raise UsageError(f"skies need a size of at least 16 and a frame, not {size} and {frames}.")
        self.n = CLIPS[split] if n is None else n
        self.size, self.frames, self.split, self.seed = size, frames, split, seed
        self.signed, self.shuffled = signed, shuffled

    def __len__(self) -> int:
        return self.n

    @property
    def captions(self) -> list[str]:
        """None: skies have no sentences."""
        return []

    @property
    def vocabulary(self) -> list[str]:
        """No words."""
        return []

    @property
    def hash(self) -> str:
        """SHA-256 of the definition."""
        keys = ("n", "size", "frames", "split", "seed", "signed", "shuffled")
        definition = json.dumps({"skies": 1} | {key: getattr(self, key) for key in keys})
        return hashlib.sha256(definition.encode()).hexdigest()

    @property
    def describe(self) -> str:
        """The set in one sentence."""
        wind = "wind from either side" if self.signed else "wind to the right"
        tint = "tints shuffled" if self.shuffled else "tints that tell the wind"
        shape = f"{self.frames} frames of {self.size}×{self.size}×3"
        return f"{self.n} procedural skies, {wind}, {tint}, {shape}, split {self.split}, seed {self.seed}."

    def row(self, index: int) -> dict[str, Any]:
        """What a list of clips on disk says of an item."""
        return {"wind": round(self._draw(index)[0], 4)}

    def wind(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Pixels a frame by which the clouds of each item move to the right (B,)."""
        return np.array([self._draw(int(i))[0] for i in indices], np.float32)

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Items as "video" float32 (B, 3, T, S, S) in [-1, 1], "wind" (B,), "index" (B,), empty captions."""
        video = LEVELS[self.pixels(indices)].transpose(0, 4, 1, 2, 3)
        return {
            "video": torch.from_numpy(np.ascontiguousarray(video)),
            "wind": torch.from_numpy(self.wind(indices)),
            "caption": [""] * len(indices),
            "wrong": [""] * len(indices),
            "index": torch.as_tensor(np.asarray(indices, np.int64)),
        }

    def pixels(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The clips as bytes (B, T, S, S, 3)."""
        return np.stack([self._render(int(i)) for i in indices])

    def _draw(self, index: int) -> tuple[float, float, np.random.Generator]:
        """Wind in pixels a frame, place of the tint in [0, 1], and the generator for the rest."""
        if not 0 <= index < self.n:
            raise IndexError(f"items are 0 to {self.n - 1}; asked for {index}")
        chance = np.random.default_rng([self.seed, get_args(Split).index(self.split), index])
        speed, side, other_speed, other_side = chance.random(4)
        wind, other = self._wind(speed, side), self._wind(other_speed, other_side)
        low = -WIND[1] if self.signed else WIND[0]
        place = ((other if self.shuffled else wind) - low) / (WIND[1] - low)
        return wind * self.size / 64, place, chance

    def _wind(self, speed: float, side: float) -> float:
        wind = WIND[0] + speed * (WIND[1] - WIND[0])
        return -wind if self.signed and side < 0.5 else wind

    def _render(self, index: int) -> NDArray[np.uint8]:
        """One clip, uint8 (T, S, S, 3)."""
        wind, place, chance = self._draw(index)
        size = self.size
        clouds = drift(_noise(chance, (size, size)), wind, self.frames)  # (T, S, S)
        alpha = (1 / (1 + np.exp(-2.5 * clouds)))[..., None]
        tint = (1 - np.float32(place)) * TINTS[0] + np.float32(place) * TINTS[1]
        video = tint + alpha * (1 - tint)
        ridge = size * (0.16 + 0.02 * _noise(chance, (1, size), power=3.6)[0])  # its height in every column
        video[:, np.arange(size)[:, None] >= size - ridge] = 0
        return np.rint(video * 255).astype(np.uint8)


def drift(picture: NDArray[np.float32], speed: float, frames: int) -> NDArray[np.float32]:
    """Move a picture (…, S) along its last axis by `speed` pixels a frame, round and round: (T, …, S)."""
    width = picture.shape[-1]
    steps = np.arange(frames).reshape(-1, *(1,) * picture.ndim)
    turn = np.exp(-2j * np.pi * np.arange(width // 2 + 1) / width * speed * steps)
    return np.fft.irfft(np.fft.rfft(picture) * turn, n=width).astype(np.float32)


def _noise(chance: np.random.Generator, shape: tuple[int, int], power: float = POWER) -> NDArray[np.float32]:
    """Noise that repeats at its edges, of power 1/f^power, mean 0 and variance 1."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(chance.standard_normal(shape)) * frequency ** (-power / 2)
    noise = np.fft.irfft2(spectrum, s=shape)
    return (noise / noise.std()).astype(np.float32)
