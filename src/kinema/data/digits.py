"""Handwritten digits: the bundled ones, readers for other files, and how they are split and made smaller.

Bundled are 10,000 images of MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0). They carry no mark of training or
test, so the split is ours: 80 % of each class after a shuffle that never changes, so that no seed of a run
can mix the sides.
"""

import functools
import gzip
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError

TRAIN_SHARE = 0.8


class Digits(NamedTuple):
    """Images uint8 (N, 28, 28), white on black, and their labels int64 (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@functools.cache
def bundled_digits() -> Digits:
    """The 10,000 digits that come with the package, in class order."""
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        return Digits(file["x"], file["y"])


def split_digits(labels: NDArray[np.int64], split: str) -> list[NDArray[np.int64]]:
    """For each class 0–9, which images belong to `split` ("train", "val" or "all")."""
    out = []
    for digit in range(10):
        members = np.random.default_rng(28).permutation(np.flatnonzero(labels == digit))
        cut = round(TRAIN_SHARE * len(members))
        out.append({"train": members[:cut], "val": members[cut:], "all": members}[split])
    return out


def shrink(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Area-average square images (N, h, h) to (N, side, side): a new pixel is the mean of what it covers."""
    weights = area_weights(images.shape[1], side)
    return np.rint(weights @ images.astype(np.float32) @ weights.T).clip(0, 255).astype(np.uint8)


@functools.cache
def area_weights(old: int, new: int) -> NDArray[np.float32]:
    """Row-stochastic matrix (new, old): the share of old pixel j in new pixel i."""
    edges = np.arange(new + 1) * old / new
    cell = np.arange(old)
    overlap = np.minimum(edges[1:, None], cell + 1) - np.maximum(edges[:-1, None], cell)
    return (np.maximum(overlap, 0) * new / old).astype(np.float32)


def load_digits(path: str | Path) -> Digits:
    """Read digits from any of the usual files.

    Args:
        path: an `.npz` with arrays x/y (or images/labels, x_train/y_train); an `.npy` of images beside a file
            of the same name ending in `-labels.npy`; an IDX images file (`…-images…-ubyte`, also `.gz`)
            beside its labels file; or a folder `0.json` … `9.json`, each `{"data": [...]}` with 784 numbers
            in [0, 1] an image.

    Returns:
        `Digits`: uint8 (N, 28, 28) and int64 (N,).
    """
    path = Path(path)
    if not path.exists():
        raise DataError(
            f"{path} does not exist; digits are read from .npz, .npy, IDX or a folder 0.json … 9.json."
        )
    try:
        if path.is_dir():
            images, labels = _read_json(path)
        elif path.suffix == ".npz":
            images, labels = _read_npz(path)
        elif path.suffix == ".npy":
            images, labels = np.load(path), np.load(path.with_name(f"{path.stem}-labels.npy"))
        else:
            images, labels = _read_idx(path), _read_idx(_labels_beside(path))
    except (OSError, ValueError, KeyError, EOFError, struct.error, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as digits: {error}") from error
    return _checked(path, np.asarray(images), np.asarray(labels))


def _checked(path: Path, images: NDArray[np.generic], labels: NDArray[np.generic]) -> Digits:
    if images.ndim == 2 and images.shape[1] == 784:
        images = images.reshape(-1, 28, 28)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{path} holds images of shape {images.shape}; digits are (N, 28, 28).")
    if labels.shape != images.shape[:1]:
        raise DataError(f"{path} holds {len(images)} images but labels of shape {labels.shape}.")
    if images.dtype.kind == "f":
        images = np.rint(images * 255 if images.max(initial=0) <= 1 else images)
    strange = np.setdiff1d(labels, range(10))
    if len(strange):
        raise DataError(f"{path} has the label {strange[0]}; digits are 0 to 9.")
    return Digits(images.astype(np.uint8), labels.astype(np.int64))


def _read_npz(path: Path) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    with np.load(path) as file:
        for x, y in (("x", "y"), ("images", "labels"), ("x_train", "y_train")):
            if x in file and y in file:
                return file[x], file[y]
        raise ValueError(f"its arrays are {', '.join(file.files)}; expected x and y")


def _read_json(folder: Path) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    images, labels = [], []
    for digit in range(10):
        values = np.asarray(json.loads((folder / f"{digit}.json").read_text())["data"], np.float64)
        images.append(np.rint(values.reshape(-1, 28, 28) * 255))
        labels.append(np.full(len(images[-1]), digit))
    return np.concatenate(images), np.concatenate(labels)


def _labels_beside(path: Path) -> Path:
    """`train-images-idx3-ubyte.gz` -> `train-labels-idx1-ubyte.gz`."""
    return path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """The IDX format: two zero bytes, type 8 (bytes), number of axes, lengths (int32), then the data."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    zeros, kind, axes = struct.unpack(">HBB", raw[:4])
    if zeros != 0 or kind != 8:
        raise ValueError("it does not begin like an IDX file of bytes")
    shape = struct.unpack(f">{axes}i", raw[4 : 4 + 4 * axes])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
