"""One door to every set of clips: a name for the procedural ones, a path for a folder."""

from pathlib import Path
from typing import cast, get_args

from kinema.core.errors import DataError, UsageError, nearest
from kinema.data.captions import Scheme, Split
from kinema.data.clips import Clips
from kinema.data.moving import MovingDigits

PROCEDURAL = {"sbmg": 1, "tbmg": 2}
"""name -> digits in a clip"""


def open_clips(
    where: str | Path,
    *,
    frames: int = 16,
    size: int = 48,
    channels: int = 1,
    split: Split = "train",
    seed: int = 0,
    captions: bool = True,
) -> Clips:
    """Open a set of clips by name or folder.

    Args:
        where: "sbmg" or "tbmg", with ":holdout" appended to keep sentences back, or a folder.
        frames: frames a clip.
        size: side of the square frames in pixels.
        channels: 1 (grey) or 3.
        split: "train", "val" or "all".
        seed: of the procedural sets and of wrong captions.
        captions: whether clips of a folder must have captions.

    Example:
        >>> len(open_clips("sbmg:holdout", split="val"))
        2000
    """
    name, _, scheme = str(where).partition(":")
    if name in PROCEDURAL:
        if scheme and scheme not in get_args(Scheme):
            raise UsageError(f"'{where}': after the colon comes one of {', '.join(get_args(Scheme))}.")
        return MovingDigits(
            digits=PROCEDURAL[name],
            size=size,
            frames=frames,
            channels=channels,
            split=split,
            scheme=cast(Scheme, scheme or "random"),
            seed=seed,
        )
    raise DataError(f"no data set or folder is called '{where}'; nearest names: {nearest(name, PROCEDURAL)}.")
