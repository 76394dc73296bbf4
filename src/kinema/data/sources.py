"""One door to every set of clips: a name for the procedural ones, a path for a folder."""

from pathlib import Path
from typing import Any, cast, get_args

from kinema.core.errors import UsageError, nearest
from kinema.data.captions import Scheme, Split
from kinema.data.clips import Clips
from kinema.data.face_sets import HEADS
from kinema.data.folder import FolderClips
from kinema.data.moving import MovingDigits
from kinema.data.pictures import SETS
from kinema.data.shapes import MovingShapes
from kinema.data.skies import Skies
from kinema.data.timelapse import TimeLapse, is_timelapse

DIGITS = {"sbmg": 1, "tbmg": 2}
"""sets of moving digits -> digits in a clip"""
MOST_SHAPES = 10_000_000
"""clips of `shapes:N`"""
PROCEDURAL = (*DIGITS, "shapes", "skies")
"""sets that are made as they are asked for"""


def open_clips(
    where: str | Path,
    *,
    frames: int = 16,
    size: int = 48,
    channels: int = 1,
    split: Split = "train",
    seed: int = 0,
    captions: bool = True,
    swap_axes: bool = False,
    frame_steps: tuple[int, ...] = (),
) -> Clips:
    """Open a set of clips by name or folder.

    Args:
        where: "sbmg" or "tbmg", with ":holdout" appended to keep sentences back; "shapes", with ":500"
            appended for 500 clips in training and the same ones as ever in validation; "skies", with
            ":signed", ":shuffled" or ":signed,shuffled" appended for its variants; or a folder, with the name
            of a text file in it appended (":cooking.txt") to use only the clips that the file names; or a
            folder with sky_train and sky_test in it.
        frames: frames a clip.
        size: side of the square frames in pixels.
        channels: 1 (grey) or 3.
        split: "train", "val" or "all".
        seed: of the procedural sets and of wrong captions.
        captions: whether clips of a folder must have captions.
        swap_axes: exchange the directions in the captions of a folder made by the older public script of
            moving digits, whose "left and right" clips move vertically.
        frame_steps: of the clips of a folder, see `FolderClips`.

    Example:
        >>> len(open_clips("sbmg:holdout", split="val"))
        2000
    """
    if is_procedural(where):
        return procedural(str(where), frames=frames, size=size, channels=channels, split=split, seed=seed)
    if is_timelapse(Path(where)):
        if channels != 3:
            raise UsageError(f"a time-lapse folder is in colour, which is 3 channels, not {channels}.")
        if frame_steps:
            raise UsageError("a time-lapse folder is read frame by frame: --set frame_steps= (empty).")
        return TimeLapse(where, frames=frames, size=size, split=split)
    folder, only = split_list(Path(where))
    if not folder.exists() and len(folder.parts) == 1:
        raise UsageError(
            f"no data set or folder is called '{where}'; the data sets are {', '.join(PROCEDURAL)}."
        )
    return FolderClips(
        folder,
        frames=frames,
        size=size,
        channels=channels,
        split=split,
        seed=seed,
        captions=captions,
        swap_axes=swap_axes,
        only=only,
        frame_steps=frame_steps,
    )


def is_procedural(where: str | Path) -> bool:
    """Whether `where` names a set that is made while it is read, with or without a scheme."""
    return str(where).partition(":")[0] in PROCEDURAL


def located(where: str | Path) -> str:
    """The same set, named so that it is found from every folder: a path becomes absolute, a name stays.

    Example:
        >>> located("sbmg:holdout")
        'sbmg:holdout'
    """
    named = is_procedural(where) or str(where).partition(":")[0] in (*SETS, HEADS)
    return str(where) if named else str(Path(where).resolve())


def procedural(name: str, **settings: Any) -> MovingDigits | MovingShapes | Skies:
    """The procedural set of a name like "shapes:500", "tbmg:holdout" or "skies:signed".

    `settings` are those of its class.
    """
    base, _, variant = name.partition(":")
    if base not in PROCEDURAL:
        raise UsageError(f"no procedural set is called '{base}'; {nearest(base, PROCEDURAL)}.")
    if base == "shapes":
        return _shapes(name, variant, **settings)
    if base == "skies":
        return _skies(name, variant, **settings)
    if variant and variant not in get_args(Scheme):
        raise UsageError(f"'{name}': after the colon comes one of {', '.join(get_args(Scheme))}.")
    return MovingDigits(digits=DIGITS[base], scheme=cast(Scheme, variant or "random"), **settings)


def _shapes(
    name: str, variant: str, n: int | None = None, split: Split = "train", **settings: Any
) -> MovingShapes:
    """`shapes:500` are the first 500 clips of training; other splits are whole, so that scores compare."""
    if variant and not (variant.isascii() and variant.isdigit() and 1 <= int(variant) <= MOST_SHAPES):
        raise UsageError(
            f"'{name}': after the colon comes how many clips to train on, as in shapes:500, "
            f"from 1 to {MOST_SHAPES:,}."
        )
    if variant and n is not None:
        raise UsageError(f"'{name}' and {n} are two numbers of clips; leave ':{variant}' out.")
    if variant and split == "train":
        n = int(variant)
    return MovingShapes(n, split=split, **settings)


def _skies(name: str, variant: str, channels: int = 3, **settings: Any) -> Skies:
    known = ("signed", "shuffled")
    words = variant.split(",") if variant else []
    if not set(words) <= set(known):
        raise UsageError(f"'{name}': after the colon come {' and '.join(known)}, with a comma between them.")
    if channels != 3:
        raise UsageError(f"skies are in colour, which is 3 channels, not {channels}.")
    return Skies(signed="signed" in words, shuffled="shuffled" in words, **settings)


def split_list(where: Path) -> tuple[Path, Path | None]:
    """`msvd:cooking.txt` -> the folder `msvd` and the list in it; a folder that exists stays whole."""
    folder, colon, listed = str(where).rpartition(":")
    if where.exists() or not colon or not Path(folder).is_dir():
        return where, None
    return Path(folder), Path(folder) / listed
