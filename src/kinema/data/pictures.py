"""Pictures with their classes, whatever they come from: a set of digits, shapes, photographs, or a folder."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import UsageError
from kinema.data.captions import Split
from kinema.data.cifar import CLASSES, TRAIN, cifar10
from kinema.data.clips import LEVELS
from kinema.data.digits import bundled_digits, split_digits
from kinema.data.mirrored import PICTURES, SHAPES, mirrored
from kinema.data.picture_folder import check_memory, read_folder, read_packed, resized


class Pictures:
    """Pictures of one size, each of one class, kept as bytes. Item i never changes.

    Where metrics and files want clips, they are clips of a single frame.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
        classes: Sequence[str],
        describe: str,
        where: str,
    ) -> None:
        """Take them.

        Args:
            pixels: (N, S, S, C), C from 1 to 4.
            labels: (N), places in `classes`.
            classes: names, each once.
            describe: the set in one sentence.
            where: what `open_pictures` was asked for.
        """
        self._pixels, self.labels, self.captions = pixels, labels, list(classes)
        self.describe, self.where = describe, where

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def vocabulary(self) -> list[str]:
        """Classes are not sentences, so there are no words."""
        return []

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the pixels, labels and names."""
        digest = hashlib.sha256(json.dumps([list(self._pixels.shape), self.captions]).encode())
        digest.update(np.ascontiguousarray(self.labels, np.int64).tobytes())
        for part in np.array_split(self._pixels, max(1, len(self) // 1000)):
            digest.update(part.tobytes())
        return digest.hexdigest()

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> dict[str, Any]:
        """The items as the engine hands them to a system.

        Returns:
            "image" float32 (B, C, S, S) in [-1, 1], "caption" names of B classes, "label" int64
            (B,), their places, and "index" int64 (B,).
        """
        index = np.asarray(indices, np.int64)
        image = torch.from_numpy(np.ascontiguousarray(LEVELS[self._pixels[index]].transpose(0, 3, 1, 2)))
        return {
            "image": image,
            "caption": [self.captions[k] for k in self.labels[index]],
            "label": torch.from_numpy(self.labels[index]),
            "index": torch.from_numpy(index),
        }

    def pixels(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same pictures as bytes, clips of one frame (B, 1, S, S, C)."""
        return self._pixels[np.asarray(indices, np.int64)][:, None]


SETS = ("cifar10", "digits", "drawings", "mirrored")
"""sets that have a name"""
DRAWINGS, DRAWN = Path(__file__).with_name("drawings.npz"), 64
"""public-domain drawings that `benchmarks/drawings.py` packed, and their side in pixels"""


def open_pictures(
    where: str | Path, *, size: int = 32, channels: int = 3, split: Split = "train", seed: int = 0
) -> Pictures:
    """Open a set of pictures by name, folder or file.

    Args:
        where: "cifar10" (fetched beforehand), "digits", "drawings", "mirrored", with ":500" appended for so
            many pictures in training; a folder with a folder of pictures for each class; or a packed file.
        size: side of the square pictures in pixels; larger ones are area-averaged.
        channels: 1 (grey) or 3.
        split: "train", "val" or "all".
        seed: of "mirrored".

    Example:
        >>> open_pictures("digits", size=32, channels=1, split="val").batch([0, 1])["image"].shape
        torch.Size([2, 1, 32, 32])
    """
    if size < 1 or channels not in (1, 3):
        raise UsageError(f"pictures have a side of 1 or more and 1 or 3 channels, not {size} and {channels}.")
    name, _, count = str(where).partition(":")
    if name in SETS:
        return _named(name, count, size, channels, split, seed)
    path = Path(where)
    if not path.exists() and len(path.parts) == 1:
        raise UsageError(f"no set of pictures or folder is called '{where}'; the sets are {', '.join(SETS)}.")
    found = (read_packed if path.is_file() else read_folder)(path, size, channels, split)
    skipped = f", {len(found.problems)} skipped" if found.problems else ""
    what = f"{len(found.labels)} pictures of '{where}' as {size}×{size}×{channels}, split {split}"
    return Pictures(
        found.pixels,
        found.labels,
        found.classes,
        f"{what}, {len(found.classes)} classes{skipped}.",
        str(where),
    )


def _named(name: str, count: str, size: int, channels: int, split: Split, seed: int) -> Pictures:
    """One of `SETS`; `count` is how many pictures to train on, or nothing."""
    if count and not (count.isascii() and count.isdigit() and int(count) > 0):
        raise UsageError(f"'{name}:{count}': after the colon comes how many pictures to train on.")
    classes: Sequence[str] = SHAPES
    if name == "cifar10":
        found = cifar10()
        rows = {"train": slice(None, TRAIN), "val": slice(TRAIN, None), "all": slice(None)}[split]
        pixels, labels, classes = found.pixels[rows], found.labels[rows].astype(np.int64), CLASSES
    elif name == "digits":
        digits = bundled_digits()
        members = split_digits(digits.labels, split)
        rows_ = np.sort(np.concatenate(members))
        if count:  # all classes come early in the order
            rows_ = np.random.default_rng(28).permutation(rows_)
        pixels, labels = digits.images[rows_][..., None], digits.labels[rows_]
        classes = tuple("0123456789")
    elif name == "drawings":
        drawn = read_packed(DRAWINGS, DRAWN, 3, split)
        order = np.random.default_rng(28).permutation(len(drawn.labels)) if count else slice(None)
        pixels, labels, classes = drawn.pixels[order], drawn.labels[order], drawn.classes
    else:
        check_memory(PICTURES[split], size, 3)
        made = mirrored(PICTURES[split], size, split, seed)
        pixels, labels = made.pixels, made.shapes
    if count and split == "train" and int(count) > len(labels):
        raise UsageError(f"'{name}:{count}': {name} has {len(labels):,} pictures to train on.")
    if count and split == "train":
        pixels, labels = pixels[: int(count)], labels[: int(count)]
    what = (
        f"{len(labels)} pictures of {name} as {size}×{size}×{channels}, split {split}, {len(classes)} classes"
    )
    return Pictures(
        resized(pixels, size, channels), labels, classes, f"{what}.", f"{name}:{count}" if count else name
    )
