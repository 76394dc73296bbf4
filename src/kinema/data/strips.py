"""Clips as strips: one picture holds all frames of a clip, squares side by side or one below the other.

So are the sets of MoCoGAN (Tulyakov et al. 2018, arXiv:1707.04993) laid out, one folder for each category.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import MediaError
from kinema.media import probe

LEAST = 4
"""frames of a picture that counts as a strip: photos are hardly four times as long as wide"""


def are_strips(folder: Path, pictures: Sequence[Path]) -> bool:
    """Whether the pictures of a folder are strips; the first that can be read decides for all.

    Strips lie in the folder, or in folders of it whose names are their categories, not deeper.
    """
    if any(len(path.relative_to(folder).parts) > 2 for path in pictures):
        return False
    for path in pictures:
        try:
            info = probe(path)
        except MediaError:
            continue
        short, long = sorted((info.width, info.height))
        return long % short == 0 and long >= LEAST * short
    return False


def category(folder: Path, strip: Path) -> list[str]:
    """The name of the strip's folder; nothing for one that lies in the data's own folder."""
    return [] if strip.parent == folder else [strip.parent.name]


def cut(path: Path, strip: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The frames (S, S, C) of a strip (S, T·S, C) or (T·S, S, C).

    Raises:
        MediaError: no whole number of squares makes the picture.
    """
    height, width, _ = strip.shape
    short, long = sorted((height, width))
    if long % short:
        raise MediaError(f"'{path}' is {width}x{height}, which is no row of squares; strips are needed here.")
    return np.split(strip, long // short, axis=int(width > height))
