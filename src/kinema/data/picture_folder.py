"""Pictures in folders of their classes, or packed in one file.

    animals/cat/1.jpg animals/dog/2.png …          a tenth of each class is for validation
    animals/train/cat/1.jpg animals/val/cat/2.jpg  as the folder says ("test" and "validation" too)

A packed file is an npz with `pixels` uint8 (N, S, S, C), `labels` (N) and `classes`, and perhaps `val` (N),
true for what is for validation.
"""

import hashlib
import logging
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, MediaError
from kinema.core.files import disk_errors, write_atomically
from kinema.data.layout import SPLITS, STILL, VAL_SHARE, Problem
from kinema.data.prepare import Seen, fit
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


class Listing(NamedTuple):
    """What lies below a folder of classes."""

    pictures: list[Listed]
    """by name"""
    loose: list[str]
    """names of pictures in no folder of a class"""
    unread: list[str]
    """names of files that are no pictures by their endings"""

    def of(self, split: str) -> list[Listed]:
        """The pictures of "train", "val" or "all"."""
        return [p for p in self.pictures if split == "all" or p.val == (split == "val")]

    @property
    def classes(self) -> list[str]:
        """Names, sorted."""
        return sorted({p.label for p in self.pictures})


class Found(NamedTuple):
    """The pictures of one split that can be used, and those that cannot."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    problems: list[Problem]


def listed(folder: Path) -> Listing:
    """Every picture below a folder of classes.

    Raises:
        DataError: there is no such folder, or no picture in a folder of its class.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder '{folder}'; give one that holds a folder of pictures for each class."
        )
    out = Listing([], [], [])
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts):
            continue
        split = SPLITS.get(parts[0].lower()) if len(parts) > 2 else None
        inner, name = parts[1:] if split else parts, "/".join(parts)
        if path.suffix.lower() not in STILL:
            out.unread.append(name)
        elif len(inner) < 2:
            out.loose.append(name)
        else:
            out.pictures.append(Listed(path, name, inner[0], split == "val"))
    if not out.pictures:
        raise DataError(
            f"'{folder}' has no pictures in folders of their classes, as in {folder.name}/cat/1.jpg."
        )
    return out if any(p.val for p in out.pictures) else out._replace(pictures=held_back(out.pictures))


def held_back(pictures: list[Listed]) -> list[Listed]:
    """Keep a tenth of each class for validation, by a hash of the names."""
    held: set[str] = set()
    for label in {p.label for p in pictures}:
        own = sorted(p.name for p in pictures if p.label == label)
        own.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
        held.update(own[: for_validation(len(own))])
    return [p._replace(val=p.name in held) for p in pictures]


def for_validation(n: int) -> int:
    """How many of the `n` pictures of a class are for validation: a tenth, one at least, never all."""
    return min(max(1, round(VAL_SHARE * n)), n - 1)


def read_folder(folder: Path, size: int, channels: int, split: str) -> Found:
    """Decode the pictures of a split: upright, the middle square, area-averaged to SxS.

    Raises:
        DataError: a class has no picture to train on, more than one picture in a hundred cannot be read, or
            they would not fit in memory.
    """
    listing = listed(folder)
    classes, chosen = listing.classes, listing.of(split)
    check_memory(len(chosen), size, channels)
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda p: decoded(p.path, size, channels), chosen))
    good = [(p, pixels) for p, (pixels, _, _) in zip(chosen, read, strict=True) if pixels is not None]
    problems = [Problem(p.name, reason) for p, (_, _, reason) in zip(chosen, read, strict=True) if reason]
    for name, reason in problems:
        log.warning("skipped %s: %s", name, reason)
    if too_many(len(problems), len(chosen)):
        first = "; ".join(f"{name}: {reason.rstrip('.')}" for name, reason in problems[:3])
        raise DataError(
            f"{len(problems)} of {len(chosen)} pictures in '{folder}' cannot be used ({first}); "
            f"mend or remove them; all are listed by `kinema data check {folder} --for SYSTEM`."
        )
    if not good:
        raise DataError(f"'{folder}' has no pictures for split '{split}'.")
    if split != "val":
        check_taught(str(folder), classes, {p.label for p, _ in good if not p.val})
    labels = np.array([classes.index(p.label) for p, _ in good], np.int64)
    return Found(np.stack([pixels for _, pixels in good]), labels, classes, problems)


def too_many(problems: int, pictures: int) -> bool:
    """Whether so many pictures cannot be read that nothing is trained."""
    return problems > MOST_BROKEN * pictures


def decoded(path: Path, size: int, channels: int) -> tuple[NDArray[np.uint8] | None, Seen | None, str]:
    """A picture as (S, S, C) and what it is on disk, or the reason why it cannot be used."""
    try:
        pixels = read_image(path, still=True).pixels
    except MediaError as error:
        return None, None, str(error)
    height, width, _ = pixels.shape
    return fit(pixels, size, channels), Seen(width, height, 1), ""


def check_taught(where: str, classes: Sequence[str], taught: set[str]) -> None:
    """Refuse classes that validation alone knows."""
    if missing := [name for name in classes if name not in taught]:
        raise DataError(
            f"'{where}' has no pictures to train on of {', '.join(missing[:3])}"
            f"{', …' if len(missing) > 3 else ''}; every class needs some outside of validation."
        )


def read_packed(path: Path, size: int, channels: int, split: str) -> Found:
    """The pictures of a split from a packed file, area-averaged where they are larger.

    Raises:
        DataError: the file is damaged, something is missing in it, or a class has no picture to train on.
    """
    whole = unpacked(path)
    check_taught(str(path), whole.classes, {whole.classes[k] for k in np.unique(whole.labels[~whole.val])})
    rows = slice(None) if split == "all" else whole.val == (split == "val")
    pixels, labels = whole.pixels[rows], whole.labels[rows]
    if not len(pixels):
        raise DataError(f"'{path}' has no pictures for split '{split}'.")
    return Found(resized(pixels, size, channels), labels, whole.classes, [])


class Packed(NamedTuple):
    """All that a packed file holds, as it is."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    val: NDArray[np.bool_]


def unpacked(path: Path) -> Packed:
    """Read a packed file and see that its parts fit together."""
    try:
        with zipfile.ZipFile(path) as archive:
            stored = sum(member.file_size for member in archive.infolist())
        if stored > 2 * MOST_BYTES:
            raise DataError(
                f"'{path}' holds {stored / 1e9:.0f} GB; {MOST_BYTES / 1e9:.0f} are kept in memory."
            )
        with np.load(path) as file:
            pixels, labels = file["pixels"], np.asarray(file["labels"])
            classes = [str(name) for name in file["classes"]]
            val = np.asarray(file["val"]).astype(bool) if "val" in file else held_out(labels)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        why = error.args[0] if isinstance(error, KeyError) else error
        raise DataError(f"'{path}' cannot be read as a packed set of pictures ({why}).") from None
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or pixels.shape[3] not in (1, 3) or not pixels.size:
        raise DataError(f"'{path}' needs pixels uint8 (N, S, S, 1 or 3), not {pixels.dtype} {pixels.shape}.")
    n = len(pixels)
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or val.shape != (n,):
        raise DataError(f"'{path}' needs {n} whole numbers as labels, and as many of val if it has any.")
    if labels.min() < 0 or labels.max() >= len(classes) or len(set(classes)) < len(classes):
        raise DataError(
            f"'{path}' has labels from {labels.min()} to {labels.max()} for {len(classes)} classes, "
            f"of which {len(set(classes))} differ."
        )
    return Packed(pixels, labels.astype(np.int64), classes, val)


def held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A tenth of each class, always the same."""
    out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.random.default_rng(28).permutation(np.flatnonzero(labels == label))
        out[members[: for_validation(len(members))]] = True
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


def pack(train: Found, val: Found, path: Path) -> None:
    """Write training and validation pictures into one file."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                pixels=np.concatenate([train.pixels, val.pixels]),
                labels=np.concatenate([train.labels, val.labels]),
                classes=np.array(train.classes),
                val=np.repeat([False, True], [len(train.pixels), len(val.pixels)]),
            )

    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
