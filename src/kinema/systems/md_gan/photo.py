"""From photos on the disk to what the network reads, and from its small clip back to the photo's own size."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Pixels
from kinema.data.layout import STILL
from kinema.media import probe, read_image
from kinema.nn.sampling import to_uint8

log = logging.getLogger("kinema")
MOST_BYTES = 2**31
"""of all frames of a request together"""


def photo_files(images: Sequence[str]) -> list[Path]:
    """Every photo named, those of folders in the order of their names; one named twice stands there twice."""
    if not images:
        raise UsageError("no photo was given; name one, several, or a folder of photos.")
    paths: list[Path] = []
    for image in map(Path, images):
        inside = (
            sorted(p for p in image.iterdir() if p.suffix.lower() in STILL) if image.is_dir() else [image]
        )
        if not inside:
            raise UsageError(f"folder '{image}' holds no photos; expected {', '.join(sorted(STILL))}.")
        paths += inside
    return paths


def read_photos(images: Sequence[str]) -> tuple[list[str], list[Pixels]]:
    """Names and pixels uint8 (H, W, 3) of all photos named; in a folder those that are broken are skipped."""
    names, photos = [], []
    for file in photo_files(images):
        try:
            photos.append(read_image(file).pixels)
            names.append(str(file))
        except MediaError as error:
            if any(file == Path(image) for image in images):
                raise
            log.warning("skipped %s", error)
    if not photos:
        raise MediaError(f"no photo of {', '.join(map(repr, images))} can be read.")
    return names, photos


def largest(images: Sequence[str]) -> tuple[int, int, int]:
    """How many photos are named, and the height and width that hold any of them that can be read."""
    files, sizes = photo_files(images), [(1, 1)]
    for file in files:
        with suppress(MediaError):  # reading it will say so
            sizes.append(((info := probe(file)).height, info.width))
    return len(files), max(h for h, _ in sizes), max(w for _, w in sizes)


def check_memory(photos: Sequence[Pixels], length: int) -> None:
    """Refuse a request whose frames at the photos' sizes would fill the memory."""
    total = sum(photo.size for photo in photos) * length
    if total > MOST_BYTES:
        raise UsageError(
            f"{length} frames of {len(photos)} photos of this size need {total / 1e9:.1f} GB, more than "
            f"{MOST_BYTES / 1e9:.1f}; ask for fewer at a time, a shorter clip, or size=net."
        )


def to_tensor(photo: Pixels) -> Tensor:
    """uint8 (..., S, S, 3) -> float (..., 3, S, S) in [-1, 1]."""
    return torch.from_numpy(photo.astype(np.float32) / 127.5 - 1).movedim(-1, -3)


def fade(clip: Tensor, frames: int) -> Tensor:
    """Blend what comes after `frames` frames into the beginning: (3, M, S, S) -> (3, frames, S, S).

    The first frame then follows the last as every frame follows the one before.
    """
    more = clip.shape[1] - frames
    weight = torch.arange(1, more + 1, device=clip.device).view(-1, 1, 1) / (more + 1)
    start = weight * clip[:, :more] + (1 - weight) * clip[:, frames:]
    return torch.cat([start, clip[:, more:frames]], 1)


def paste(photo: Pixels, clip: Tensor, still: Tensor) -> Pixels:
    """Add the change that a small clip shows to the photo itself.

    The change of a frame is its difference from `still`, enlarged; the photo keeps all its detail, also where
    something coarse has moved away from under it.

    Args:
        photo: uint8 (H, W, 3).
        clip: (3, T, S, S) in [-1, 1].
        still: (3, S, S), the frame that stands for the photo.

    Returns:
        uint8 (T, H, W, 3).
    """
    height, width, _ = photo.shape
    sharp, out = to_tensor(photo), np.empty((clip.shape[1], height, width, 3), np.uint8)
    for t, frame in enumerate(clip.float().cpu().unbind(1)):
        change = (frame - still.float().cpu())[None]
        large = F.interpolate(change, (height, width), mode="bicubic", align_corners=False)[0]
        out[t] = to_uint8((sharp + large).unsqueeze(1))[0]
    return out
