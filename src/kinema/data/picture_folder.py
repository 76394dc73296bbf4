"""Pictures in folders of their classes, or packed in one file.

    animals/cat/1.jpg animals/dog/2.png …          a tenth of each class is for validation
    animals/train/cat/1.jpg animals/val/cat/2.jpg  as the folder says ("test" and "validation" too)

A packed file is an npz with `pixels` uint8 (N, S, S, C), `labels` (N) and `classes`, and perhaps `val` (N),
true for what is for validation.
"""

import hashlib
import logging
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, MediaError
from kinema.data.layout import SPLITS, STILL, VAL_SHARE, Problem
from kinema.data.prepare import fit
from kinema.media import read_image

MOST_BROKEN = 0.01
"""share of pictures that may be skipped; above it nothing is trained"""
MOST_BYTES = 2**33
"""of all pictures together, since they are kept in memory"""

log = logging.getLogger("kinema")


class Listed(NamedTuple):
    """A picture on disk."""

    path: Path
    name: str
    label: str
    val: bool


class Found(NamedTuple):
    """The pictures of one split that can be used, and those that cannot."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    problems: list[Problem]


def listed(folder: Path) -> list[Listed]:
    """Every picture below a folder of classes, by name.

    Raises:
        DataError: there is no such folder, no picture in a folder of its class, or only one class.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder '{folder}'; give one that holds a folder of pictures for each class."
        )
    out = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in STILL and p.is_file()):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts):
            continue
        split = SPLITS.get(parts[0].lower()) if len(parts) > 2 else None
        inner = parts[1:] if split else parts
        if len(inner) < 2:
            continue  # in no folder of a class
        out.append(Listed(path, "/".join(parts), inner[0], split == "val"))
    if not out:
        raise DataError(
            f"'{folder}' has no pictures in folders of their classes, as in {folder.name}/cat/1.jpg."
        )
    if any(p.val for p in out):
        return out
    for label in {p.label for p in out}:
        own = [p for p in out if p.label == label]
        order = sorted(own, key=lambda p: hashlib.sha256(p.name.encode()).digest())
        held = {p.name for p in order[: max(1, round(VAL_SHARE * len(own)))]}
        out = [p._replace(val=p.name in held) if p.label == label else p for p in out]
    return out


def read_folder(folder: Path, size: int, channels: int, split: str) -> Found:
    """Decode the pictures of a split: upright, the middle square, area-averaged to SxS.

    Raises:
        DataError: more than one picture in a hundred cannot be read, or they would not fit in memory.
    """
    every = listed(folder)
    classes = sorted({p.label for p in every})
    chosen = [p for p in every if split == "all" or p.val == (split == "val")]
    check_memory(len(chosen), size, channels)
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda p: decoded(p.path, size, channels), chosen))
    good = [(p, pixels) for p, pixels in zip(chosen, read, strict=True) if not isinstance(pixels, str)]
    problems = [Problem(p.name, r) for p, r in zip(chosen, read, strict=True) if isinstance(r, str)]
    for name, reason in problems:
        log.warning("skipped %s: %s", name, reason)
    if len(problems) > MOST_BROKEN * len(chosen) or not good:
        first = "; ".join(f"{name}: {reason.rstrip('.')}" for name, reason in problems[:3])
        raise DataError(f"{len(problems)} of {len(chosen)} pictures in '{folder}' cannot be used ({first}).")
    labels = np.array([classes.index(p.label) for p, _ in good], np.int64)
    return Found(np.stack([pixels for _, pixels in good]), labels, classes, problems)


def decoded(path: Path, size: int, channels: int) -> NDArray[np.uint8] | str:
    """A picture as (S, S, C), or why it cannot be used."""
    try:
        return fit(read_image(path).pixels, size, channels)
    except MediaError as error:
        return str(error)


def read_packed(path: Path, size: int, channels: int, split: str) -> Found:
    """The pictures of a split from a packed file, area-averaged where they are larger.

    Raises:
        DataError: the file is damaged or something is missing in it.
    """
    try:
        with np.load(path) as file:
            pixels, labels = file["pixels"], file["labels"].astype(np.int64)
            classes = [str(name) for name in file["classes"]]
            val = file["val"].astype(bool) if "val" in file else held_out(labels)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"'{path}' is no packed set of pictures: {error}.") from None
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or not len(pixels) == len(labels) == len(val):
        raise DataError(f"'{path}' needs pixels uint8 (N, S, S, C) and as many labels, not {pixels.shape}.")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(
            f"'{path}' has labels from {labels.min()} to {labels.max()}, but {len(classes)} classes."
        )
    rows = slice(None) if split == "all" else val == (split == "val")
    return Found(resized(pixels[rows], size, channels), labels[rows], classes, [])


def held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A tenth of each class, always the same."""
    out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.random.default_rng(28).permutation(np.flatnonzero(labels == label))
        out[members[: max(1, round(VAL_SHARE * len(members)))]] = True
    return out


def resized(pixels: NDArray[np.uint8], size: int, channels: int) -> NDArray[np.uint8]:
    """Pictures uint8 (N, H, W, C) -> (N, S, S, C'), each as `fit` makes it; grey ones may become colour."""
    check_memory(len(pixels), size, channels)
    if pixels.shape[1:] == (size, size, channels):
        return pixels
    colour = pixels if pixels.shape[3] == 3 else pixels[..., :1].repeat(3, 3)
    return np.stack([fit(picture, size, channels) for picture in colour])


def check_memory(n: int, size: int, channels: int) -> None:
    """Refuse a set that would fill the memory."""
    total = n * size * size * channels
    if total > MOST_BYTES:
        raise DataError(
            f"{n:,} pictures of {size}x{size}x{channels} need {total / 1e9:.0f} GB; choose fewer or smaller."
        )


def pack(found: Sequence[Found], path: Path) -> Path:
    """Write training and validation pictures into one file."""
    train, val = found
    with path.open("wb") as stream:
        np.savez_compressed(
            stream,
            pixels=np.concatenate([train.pixels, val.pixels]),
            labels=np.concatenate([train.labels, val.labels]),
            classes=np.array(train.classes),
            val=np.repeat([False, True], [len(train.pixels), len(val.pixels)]),
        )
    return path
