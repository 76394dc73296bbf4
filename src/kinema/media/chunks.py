"""The blocks of GIF (GIF89a), PNG with its animations (PNG 3rd edition, 11.3), and WebP: size, delays, words.

They are walked without decoding a pixel, so that a hostile canvas is refused before memory is taken, exact
delays survive, and a note can be put into a finished file.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from kinema.core.errors import MediaError
from kinema.media.limits import Limits
from kinema.media.provenance import MOST
from kinema.media.sniff import opened

KEYWORD = b"kinema"


@dataclass
class Animation:
    """What the blocks say: canvas, seconds each frame is shown, whether anything is see-through, our note."""

    width: int
    height: int
    delays: list[Fraction] = field(default_factory=list)
    has_alpha: bool = False
    text: str | None = None


def walk_gif(path: Path, limits: Limits) -> Animation:
    """Read the blocks of a GIF; a file that ends inside a block is truncated."""
    with opened(path) as file:
        head = _take(file, 13, path)
        found = Animation(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))
        _skip_palette(file, head[10])
        delay = Fraction(1, 10)
        while (mark := _take(file, 1, path)) != b"\x3b":
            if mark == b"\x2c":
                _skip_palette(file, _take(file, 9, path)[8])
                _take(file, 1, path)
                _sub_blocks(file, path, keep=False)
                found.delays.append(delay)
                if len(found.delays) > limits.frames:
                    break
            elif mark == b"\x21":
                label = _take(file, 1, path)
                data = _sub_blocks(file, path, keep=label in (b"\xf9", b"\xfe"))
                if label == b"\xf9" and len(data) >= 4:
                    hundredths = int.from_bytes(data[1:3], "little")
                    # every browser shows delays of 0 and 1 as a tenth of a second
                    delay = Fraction(hundredths if hundredths > 1 else 10, 100)
                    # later frames use transparency to leave pixels as they were; only these show through
                    cleared = data[0] >> 2 & 7 == 2
                    found.has_alpha |= bool(data[0] & 1) and (cleared or not found.delays)
                elif label == b"\xfe" and data.lstrip().startswith(b"{"):
                    found.text = data.decode("utf-8", "replace")
            else:
                raise MediaError(f"'{path}' is a broken GIF: unknown block {mark!r}.")
        return found


def _skip_palette(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << ((flags & 7) + 1), os.SEEK_CUR)


def _sub_blocks(file: BinaryIO, path: Path, keep: bool) -> bytes:
    parts: list[bytes] = []
    total = 0
    while size := _take(file, 1, path)[0]:
        data = _take(file, size, path)
        total += size
        if keep and total <= MOST:
            parts.append(data)
    return b"".join(parts)


def _take(file: BinaryIO, count: int, path: Path) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise MediaError(f"'{path}' is truncated: it ends in the middle. Copy it again.")
    return data


def append_gif_comment(file: BinaryIO, text: str) -> None:
    """Put a comment block before the trailer of the finished GIF opened as `file` (r+b)."""
    data = text.encode()
    file.seek(-1, os.SEEK_END)
    file.write(b"\x21\xfe")
    for i in range(0, len(data), 255):
        part = data[i : i + 255]
        file.write(bytes([len(part)]) + part)
    file.write(b"\x00\x3b")


def walk_png(path: Path, limits: Limits) -> Animation:
    """Read the chunks of a PNG or APNG; a still picture has no delays."""
    with opened(path) as file:
        _take(file, 8, path)
        found = Animation(0, 0)
        name = b""
        while name != b"IEND":
            head = _take(file, 8, path)
            size, name = int.from_bytes(head[:4]), head[4:]
            if name in (b"IHDR", b"fcTL", b"iTXt") and size <= MOST:
                _png_fact(found, name, _take(file, size, path))
            else:
                file.seek(size, os.SEEK_CUR)
                found.has_alpha |= name == b"tRNS"
            _take(file, 4, path)
            if len(found.delays) > limits.frames:
                break
        return found


def _png_fact(found: Animation, name: bytes, data: bytes) -> None:
    if name == b"IHDR" and len(data) == 13:
        found.width, found.height = int.from_bytes(data[:4]), int.from_bytes(data[4:8])
        found.has_alpha = data[9] in (4, 6)
    elif name == b"fcTL" and len(data) == 26:
        numerator, denominator = int.from_bytes(data[20:22]), int.from_bytes(data[22:24]) or 100
        found.delays.append(Fraction(numerator or 1, denominator))
    elif name == b"iTXt" and data.startswith(KEYWORD + b"\0\0"):
        found.text = data.split(b"\0", 5)[-1].decode("utf-8", "replace")


def walk_webp(path: Path, limits: Limits) -> Animation | None:
    """Read the chunks of an animated WebP (RFC 9649, 2.7); None for a still picture."""
    with opened(path) as file:
        head = file.read(30)
        if len(head) < 30 or head[12:16] != b"VP8X" or not head[20] & 2:
            return None
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
        found = Animation(width, height, has_alpha=bool(head[20] & 16))
        while len(start := file.read(8)) == 8 and len(found.delays) <= limits.frames:
            size = int.from_bytes(start[4:], "little")
            if start[:4] == b"ANMF":
                milliseconds = int.from_bytes(_take(file, 16, path)[12:15], "little")
                # every browser shows delays of up to 10 ms as a tenth of a second
                found.delays.append(Fraction(milliseconds if milliseconds > 10 else 100, 1000))
                size -= 16
            file.seek(size + size % 2, os.SEEK_CUR)
        return found


def png_chunk(name: bytes, data: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)


def png_text(text: str) -> bytes:
    """Our note as an iTXt chunk: keyword, not compressed, no language, no translated keyword."""
    return png_chunk(b"iTXt", KEYWORD + b"\0\0\0\0\0" + text.encode())


def png_data(png: bytes) -> list[bytes]:
    """The contents of all IDAT chunks of a PNG held in memory."""
    parts, position = [], 8
    while position < len(png):
        size, name = int.from_bytes(png[position : position + 4]), png[position + 4 : position + 8]
        if name == b"IDAT":
            parts.append(png[position + 8 : position + 8 + size])
        position += 12 + size
    return parts
