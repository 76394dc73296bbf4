"""What a file may cost before it is refused, and what is known about a file without decoding all of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from kinema.core.errors import MediaError


@dataclass(frozen=True)
class Limits:
    """The most that reading one file may take; beyond it is a `MediaError` before the memory is spent."""

    pixels: int = 2**26
    """pixels of one frame (8192 x 8192)"""
    frames: int = 100_000
    """frames of one clip"""
    seconds: float = 3600.0
    """duration of one clip"""
    bytes: int = 2**32
    """size of the file, and of the decoded clip where `read_video` keeps it in memory whole"""


@dataclass(frozen=True)
class Info:
    """What a clip is, as it will be read: width and height after rotation, the rate after resampling."""

    width: int
    height: int
    frames: int | None
    """None where the file does not say"""
    fps: Fraction
    """the file's average rate; pictures without a rate count as 8 per second"""
    has_audio: bool
    has_alpha: bool
    rotation: int
    """degrees clockwise that reading turns the stored picture by: 0, 90, 180 or 270"""
    format: str
    """mp4, webm, avi, gif, apng, png, jpg, webp, bmp, npz or folder"""


def check_size(path: Path, width: int, height: int, limits: Limits) -> None:
    """Refuse a frame that is empty or has more pixels than allowed."""
    if width < 1 or height < 1:
        raise MediaError(
            f"'{path}' gives no frame size: it is broken, or its frames are above the limit of "
            f"{limits.pixels:,} pixels (Limits.pixels)."
        )
    if width * height > limits.pixels:
        raise MediaError(
            f"'{path}' has frames of {width}x{height} pixels; the limit is {limits.pixels:,} pixels "
            "(Limits.pixels). Scale it down or raise the limit."
        )


def check_length(path: Path, frames: int, fps: Fraction, limits: Limits) -> None:
    """Refuse a clip of more frames or seconds than allowed."""
    if frames > limits.frames:
        raise MediaError(
            f"'{path}' has more than {limits.frames:,} frames, the limit (Limits.frames). "
            "Cut it into shorter clips or raise the limit."
        )
    if frames / fps > limits.seconds:
        raise MediaError(
            f"'{path}' lasts more than {limits.seconds:g} seconds, the limit (Limits.seconds). "
            "Cut it into shorter clips or raise the limit."
        )


def check_memory(path: Path, size: int, limits: Limits) -> None:
    """Refuse to hold more decoded bytes in memory than allowed."""
    if size > limits.bytes:
        raise MediaError(
            f"'{path}' needs more than {limits.bytes:,} bytes when decoded, the limit (Limits.bytes). "
            "Read it frame by frame with kinema.media.stream, or raise the limit."
        )
