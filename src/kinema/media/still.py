"""Pictures through Pillow: one picture, a GIF, APNG or WebP frame by frame, a folder of pictures."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from kinema.core.errors import MediaError
from kinema.core.results import Pixels
from kinema.media.chunks import Animation, walk_gif, walk_png, walk_webp
from kinema.media.film import Timed, over_black
from kinema.media.limits import Info, Limits, check_size
from kinema.media.provenance import MOST, Note, agreed_rate, simplest, unpack
from kinema.media.sniff import STILL, opened, sniff

if TYPE_CHECKING:
    from PIL import Image as Pillow

RATE = Fraction(8)
"""frames per second of pictures that state none"""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class Pictures:
    """One picture, or the frames of a GIF, APNG or WebP, being read."""

    def __init__(self, path: Path, kind: str, limits: Limits) -> None:
        self._path = path
        facts = walk_facts(path, kind, limits)
        if facts is not None:
            check_size(path, facts.width, facts.height, limits)
        self._file = opened(path)
        stream = self._file.__enter__()
        try:
            self._image = _open_image(stream, path, kind)
            width, height, turn = _oriented(self._image)
            check_size(path, width, height, limits)
        except BaseException:
            self.close()
            raise
        delays = (facts.delays if facts is not None else []) or [1 / RATE]
        self.note = unpack(facts.text if facts is not None else _comment(self._image))
        fps = agreed_rate(_rate(delays), self.note.fps, len(delays))
        self._delays = delays if len(delays) > 1 else [1 / fps]
        alpha = facts.has_alpha if facts is not None else "A" in self._image.getbands()
        self.info = Info(width, height, len(delays), fps, False, alpha, turn, kind)

    def frames(self) -> Iterator[Timed]:
        """The frames in order, composed over those before them, see-through parts over black."""
        start = Fraction(0)
        # an APNG may begin with a picture for old viewers that is not part of the animation
        first = int(getattr(self._image, "default_image", False))
        for k, delay in enumerate(self._delays):
            with decoding_picture(self._path):
                if k + first:
                    self._image.seek(k + first)
                pixels = _rgb(self._image)
            if pixels.shape[:2] != (self.info.height, self.info.width):
                raise MediaError(f"'{self._path}' is broken: frame {k} is larger than the canvas.")
            yield start, delay, pixels
            start += delay

    def close(self) -> None:
        """Let go of the file."""
        self._file.__exit__(None, None, None)


class Folder:
    """A folder of pictures of one size, in the order of the numbers in their names."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        try:
            self._files = sorted((p for p in path.iterdir() if p.suffix.lower() in SUFFIXES), key=_by_number)
        except OSError as error:
            raise MediaError(f"folder '{path}' cannot be opened: {error.strerror}.") from None
        if not self._files:
            raise MediaError(
                f"folder '{path}' holds no pictures; expected files such as 000000.png or 1.jpg."
            )
        self.note = read_folder_note(path)
        width, height, turn, alpha = self._look(self._files[0])
        self.info = Info(width, height, len(self._files), self.note.fps or RATE, False, alpha, turn, "folder")

    def frames(self) -> Iterator[Timed]:
        """The pictures in order."""
        for k, file in enumerate(self._files):
            pixels = read_picture(file, self._limits)
            if pixels.shape[:2] != (self.info.height, self.info.width):
                raise MediaError(
                    f"'{file}' is {pixels.shape[1]}x{pixels.shape[0]} and the first picture of its folder is "
                    f"{self.info.width}x{self.info.height}; all must have one size."
                )
            yield k / self.info.fps, 1 / self.info.fps, pixels

    def close(self) -> None:
        """Nothing is kept open."""

    def _look(self, file: Path) -> tuple[int, int, int, bool]:
        pictures = Pictures(file, sniff(file, self._limits), self._limits)
        pictures.close()
        info = pictures.info
        return info.width, info.height, info.rotation, info.has_alpha


def read_picture(path: Path, limits: Limits, still: bool = False) -> Pixels:
    """One picture as uint8 (H, W, 3), upright by its EXIF orientation, over black; `still` refuses others."""
    expected = "png, jpg, webp or bmp"
    kind = sniff(path, limits, expected)
    if kind not in STILL:
        raise MediaError(f"'{path}' is {kind}, not a picture; expected {expected}.")
    pictures = Pictures(path, kind, limits)
    try:
        if still and pictures.info.frames != 1:
            raise MediaError(f"'{path}' is an animation of {pictures.info.frames} frames, not one picture.")
        return next(pictures.frames())[2]
    finally:
        pictures.close()


def walk_facts(path: Path, kind: str, limits: Limits) -> Animation | None:
    """Size, delays and note from the blocks of a GIF, PNG or animated WebP; None for other formats."""
    if kind == "gif":
        return walk_gif(path, limits)
    if kind == "webp":
        return walk_webp(path, limits)
    return walk_png(path, limits) if kind in ("png", "apng") else None


def read_folder_note(path: Path) -> Note:
    """The note of a folder, from its provenance.json."""
    file = path / "provenance.json"
    if not file.is_file() or file.stat().st_size > MOST:
        return Note()
    with opened(file) as stream:
        return unpack(stream.read().decode("utf-8", "replace"))


def picture_note(path: Path, kind: str, limits: Limits) -> Note:
    """The note of a picture without decoding it."""
    pictures = Pictures(path, kind, limits)
    pictures.close()
    return pictures.note


def _open_image(file: IO[bytes], path: Path, kind: str) -> Pillow.Image:
    from PIL import Image

    with decoding_picture(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes and broken animations, which are checked right after
        return Image.open(file, formats=[STILL[kind]])


@contextmanager
def decoding_picture(path: Path) -> Iterator[None]:
    """Turn whatever Pillow, zlib and numpy report into one sentence."""
    from PIL import Image

    try:
        yield
    except MediaError:
        raise
    except Image.DecompressionBombError:
        raise MediaError(f"'{path}' would decompress to more pixels than is safe; scale it down.") from None
    except MemoryError:
        raise MediaError(f"'{path}' needs more memory to decode than there is.") from None
    except Exception as error:  # decoders of hostile files raise nearly anything
        raise MediaError(f"'{path}' cannot be decoded ({error}): it is truncated or broken.") from None


def _oriented(image: Pillow.Image) -> tuple[int, int, int]:
    """Width, height and clockwise turn after the EXIF orientation (values 1 to 8)."""
    turn = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}.get(_orientation(image), 0)
    width, height = image.size
    return (height, width, turn) if turn % 180 else (width, height, turn)


def _orientation(image: Pillow.Image) -> int:
    if image.format not in ("JPEG", "WEBP"):
        return 1
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF raises nearly anything, and the picture beside it is whole
        return 1


def _comment(image: Pillow.Image) -> str | None:
    comment = image.info.get("comment")
    return comment.decode("utf-8", "replace") if isinstance(comment, bytes) else None


def _rgb(image: Pillow.Image) -> Pixels:
    """The current frame as uint8 (H, W, 3)."""
    from PIL import ImageOps

    if image.mode.startswith("I"):  # 16 bits: Pillow would clip instead of scale
        grey = (np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)
        return three(grey[..., None])
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return over_black(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def three(pixels: Pixels) -> Pixels:
    """(H, W, 1 | 3 | 4) to (H, W, 3)."""
    if pixels.shape[2] == 4:
        return over_black(pixels)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _by_number(path: Path) -> list[tuple[int, str]]:
    """img2 before img10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _rate(delays: list[Fraction]) -> Fraction:
    """The simplest rate whose times, rounded to hundredths of a second, give the total of these delays."""
    total = sum(delays, Fraction(0))
    measured = len(delays) / total
    if all((100 * d).denominator == 1 for d in delays) and len(set(delays)) > 1:
        return simplest(len(delays) / (total + Fraction(1, 200)), len(delays) / (total - Fraction(1, 200)))
    return measured
