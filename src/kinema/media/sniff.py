"""Which format a file really has, by its first bytes and never by its name, and whether all of it is there.

A name proves nothing: a text file called clip.mp4 could be a playlist that makes a decoder open other files.
So the demuxer is always chosen from the list below.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kinema.core.errors import MediaError
from kinema.media.limits import Limits

VIDEO = {"mp4": "mov", "webm": "matroska", "avi": "avi"}
"""format -> FFmpeg demuxer"""
STILL = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "apng": "PNG"}
"""format -> Pillow plugin"""

_MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")


READ = "mp4, mov, webm, mkv, avi, gif, png, apng, jpg, webp, bmp, npz or a folder of pictures"


def sniff(path: Path, limits: Limits, expected: str = READ) -> str:
    """The format of `path`, once it is known to be readable, not empty, not too big and not cut off."""
    status = _status(path)
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    with opened(path) as file:
        if status.st_size == 0:
            raise MediaError(f"'{path}' is empty (0 bytes).")
        if status.st_size > limits.bytes:
            raise MediaError(
                f"'{path}' is {status.st_size:,} bytes; the limit is {limits.bytes:,} (Limits.bytes). "
                "Cut it into shorter clips or raise the limit."
            )
        kind = _kind(file)
        if kind is None:
            raise MediaError(
                f"'{path}' is nothing that kinema reads, whatever its name says; expected {expected}."
            )
        end = {"mp4": _mp4_end, "webm": _webm_end, "avi": _avi_end}.get(kind, lambda _: 0)(file)
        if end > status.st_size:
            raise MediaError(
                f"'{path}' is truncated: it has {status.st_size:,} of {end:,} bytes. Copy it again."
            )
        return kind


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for reading bytes; missing, a loop of links, a device or a pipe is a `MediaError`."""
    if not stat.S_ISREG(_status(path).st_mode):
        raise MediaError(f"'{path}' is not a regular file.")
    try:
        file = path.open("rb")
    except OSError as error:
        raise MediaError(f"'{path}' cannot be opened: {error.strerror}.") from None
    with file:
        yield file


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        raise MediaError(f"'{path}' does not exist.") from None
    except (OSError, ValueError) as error:
        raise MediaError(f"'{path}' cannot be opened: {getattr(error, 'strerror', None) or error}.") from None


def _kind(file: BinaryIO) -> str | None:
    head = file.read(16)
    if head[4:8] in _MP4_FIRST_BOXES:
        return "mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if head[:4] == b"RIFF":
        return {b"AVI ": "avi", b"WEBP": "webp"}.get(head[8:12])
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "apng" if _is_apng(file) else "png"
    if head[:3] == b"\xff\xd8\xff":
        return "jpg"
    if head[:2] == b"BM":
        return "bmp"
    return "npz" if head[:4] == b"PK\x03\x04" else None


def _is_apng(file: BinaryIO) -> bool:
    """An animation announces itself by a chunk acTL before the first IDAT."""
    file.seek(8)
    for _ in range(1000):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IDAT":
            return False
        if head[4:] == b"acTL":
            return True
        file.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)
    return False


def _mp4_end(file: BinaryIO) -> int:
    """Walk the outer boxes; returns where the last one ends (ISO/IEC 14496-12, 4.2)."""
    position, size = 0, os.fstat(file.fileno()).st_size
    while position < size:
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return position + 8
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        elif length == 0:
            return size  # this box reaches to the end of the file, wherever that is
        if length < 8:
            return size  # padding after the last box; a real fault shows when the file is decoded
        position += length
    return position


def _webm_end(file: BinaryIO) -> int:
    """The end of the Segment after the EBML header, 0 where a live recording left it open (RFC 8794)."""
    file.seek(4)
    header = _ebml_size(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    segment = _ebml_size(file)
    return 0 if segment is None else file.tell() + segment


def _ebml_size(file: BinaryIO) -> int | None:
    """A variable-length number whose leading zeros tell its length; all ones means unknown."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1)) - (1 << (7 * length))
    return None if value == (1 << (7 * length)) - 1 else value


def _avi_end(file: BinaryIO) -> int:
    """The end of the outer RIFF chunk; recorders that were cut off leave 0."""
    file.seek(4)
    return 8 + int.from_bytes(file.read(4), "little")
