"""The frames of an npz file, one at a time: the header is read first and nothing in it is trusted."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np

from kinema.core.errors import MediaError
from kinema.media.film import Timed
from kinema.media.limits import Info, Limits, check_size
from kinema.media.provenance import MOST, Note, unpack
from kinema.media.still import RATE, decoding_picture, three


class Arrays:
    """The array `frames` of an npz being read: uint8 (T, H, W), or (T, H, W, C) with 1, 3 or 4 channels."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise MediaError(f"'{path}' is not a complete npz file ({error}).") from None
        try:
            names = [n for n in self._zip.namelist() if n.endswith(".npy")]
            name = "frames.npy" if "frames.npy" in names else names[0] if len(names) == 1 else None
            if name is None:
                raise MediaError(
                    f"'{path}' needs an array called 'frames'; it has {', '.join(names[:9]) or 'none'}."
                )
            self.note = Note(unpack(self._text("provenance.npy")).provenance, self._rate())
            self._array, self._shape = self._open(name)
            check_size(path, self._shape[2], self._shape[1], limits)
        except BaseException:
            self.close()
            raise
        t, h, w, c = self._shape
        self.info = Info(w, h, t, self.note.fps or RATE, False, c == 4, 0, "npz")

    def frames(self) -> Iterator[Timed]:
        """The frames in order, each read when it is asked for."""
        t, h, w, c = self._shape
        for k in range(t):
            with decoding_picture(self._path):
                data = self._array.read(h * w * c)
            if len(data) < h * w * c:
                raise MediaError(f"'{self._path}' is truncated: frame {k} of {t} is not complete.")
            pixels = np.frombuffer(data, np.uint8).reshape(h, w, c)
            yield k / self.info.fps, 1 / self.info.fps, three(pixels)

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()

    def _open(self, name: str) -> tuple[IO[bytes], tuple[int, int, int, int]]:
        """Open one array after its header, without trusting it: type, order and size are checked first."""
        with decoding_picture(self._path):
            array = self._zip.open(name)
            shape, fortran, dtype = _npy_header(array, self._path)
        t, h, w, c = (*shape, 1) if len(shape) == 3 else shape if len(shape) == 4 else (0, 0, 0, 0)
        if dtype != np.uint8 or fortran or c not in (1, 3, 4):
            raise MediaError(
                f"'{self._path}' holds {dtype} of shape {shape} in '{name}'; "
                "expected uint8 (T, H, W, 3) in C order."
            )
        if 0 in shape:
            raise MediaError(f"'{self._path}' holds no frames: '{name}' has shape {shape}.")
        return array, (t, h, w, c)

    def _small(self, name: str) -> Any:
        """A small array by name, never one with pickled objects; None if it is not there."""
        if name not in self._zip.namelist() or self._zip.getinfo(name).file_size > 8 * MOST:
            return None
        with decoding_picture(self._path), self._zip.open(name) as file:
            shape, fortran, dtype = _npy_header(file, self._path)
            values = np.frombuffer(file.read(), dtype)
            return values.reshape(shape, order="F" if fortran else "C")

    def _text(self, name: str) -> str | None:
        value = self._small(name)
        return str(value) if value is not None and value.dtype.kind == "U" and value.ndim == 0 else None

    def _rate(self) -> Fraction | None:
        value = self._small("fps.npy")
        if value is None or value.size not in (1, 2) or value.dtype.kind not in "iuf":
            return None
        top, bottom = [*value.ravel().tolist(), 1][:2]
        finite = np.isfinite([top, bottom]).all() and top > 0 and bottom > 0
        return Fraction(top).limit_denominator(2**20) / Fraction(bottom) if finite else None


_HEADERS = Lock()
"""numpy parses a header with `ast`, whose parser in Python 3.11 fails now and then in two threads at once"""


def _npy_header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with _HEADERS:  # https://github.com/python/cpython/issues/106905
        shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise MediaError(
            f"'{path}' holds Python objects, which could run code and are refused; store uint8 arrays."
        )
    return shape, fortran, dtype
