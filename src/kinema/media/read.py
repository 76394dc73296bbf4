"""Reading: what a file is (`probe`), its frames one by one (`stream`), or all (`read_video`, `read_image`).

Frames always come at one constant rate, the file's average. Where a file's own timing varies, each frame is
shown from the tick nearest to its time until the next one takes over: frames are repeated or left out so that
the duration and every moment in it stay right. Rotation is applied; what is see-through lies over black.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from kinema.core.errors import MediaError
from kinema.core.results import Image, Pixels, Video
from kinema.media.arrays import Arrays
from kinema.media.film import Film, Timed, open_container, read_tag
from kinema.media.limits import Info, Limits, check_length, check_memory
from kinema.media.provenance import Note
from kinema.media.sniff import VIDEO, sniff
from kinema.media.still import Folder, Pictures, picture_note, read_folder_note, read_picture

Source = Film | Pictures | Folder | Arrays


class stream:  # noqa: N801 - used like the built-in `open`
    """The frames of a clip, one at a time, uint8 (H, W, 3), in memory that does not grow with its length.

    Args:
        path: mp4, mov, webm, mkv, avi, gif, apng, webp, a picture, npz, or a folder of pictures.
        limits: what is refused.

    Example:
        >>> with stream("clip.mp4") as frames:  # doctest: +SKIP
        ...     print(frames.info.fps, sum(1 for _ in frames))
    """

    def __init__(self, path: str | Path, limits: Limits | None = None) -> None:
        self.path, self.limits = Path(path), limits or Limits()
        self._source = _open(self.path, self.limits)
        self.info: Info = self._source.info
        self._frames: Iterator[Pixels] | None = None
        try:
            check_length(self.path, self.info.frames or 1, self.info.fps, self.limits)
        except MediaError:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Nothing more to do: the file is open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def __iter__(self) -> Iterator[Pixels]:
        """The frames not yet read."""
        if self._frames is None:
            self._frames = self._checked()
        return self._frames

    def __next__(self) -> Pixels:
        """The next frame."""
        return next(iter(self))

    def close(self) -> None:
        """Close the file; a `with` block does it."""
        self._source.close()

    def _checked(self) -> Iterator[Pixels]:
        for count, frame in enumerate(steady(self._source.frames(), self.info.fps), 1):
            check_length(self.path, count, self.info.fps, self.limits)
            yield frame


def steady(timed: Iterator[Timed], fps: Fraction) -> Iterator[Pixels]:
    """Put frames with times of their own onto the ticks of a constant rate.

    Example:
        >>> second = Fraction(1)
        >>> list(steady(iter([(0 * second, second, "a"), (second, second, "b")]), Fraction(2)))
        ['a', 'a', 'b', 'b']
    """
    count, held, end = 0, None, Fraction(0)
    for start, duration, frame in timed:
        while held is not None and count < round(start * fps):
            yield held
            count += 1
        held, end = frame, start + duration
    last = max(count + 1, round(end * fps))
    while held is not None and count < last:
        yield held
        count += 1


def probe(path: str | Path, limits: Limits | None = None) -> Info:
    """Size, rate, length and kind of a file, decoding at most one frame."""
    with stream(path, limits) as frames:
        return frames.info


def read_video(path: str | Path, limits: Limits | None = None) -> Video:
    """A whole clip in memory: uint8 (T, H, W, 3), its exact rate, and its provenance if it has one.

    Example:
        >>> read_video("clip.mp4").frames.shape  # doctest: +SKIP
        (16, 48, 48, 3)
    """
    kept: list[Pixels] = []
    with stream(path, limits) as frames:
        info, size = frames.info, frames.info.height * frames.info.width * 3
        check_memory(frames.path, size * (info.frames or 1), frames.limits)
        for frame in frames:
            kept.append(frame)
            check_memory(frames.path, size * len(kept), frames.limits)
        note = frames._source.note
    try:
        return Video(np.stack(kept), info.fps, provenance=note.provenance or {})
    except MemoryError:
        raise MediaError(
            f"'{path}' needs more memory than there is; read it with kinema.media.stream."
        ) from None


def read_image(path: str | Path, limits: Limits | None = None, *, still: bool = False) -> Image:
    """One picture (png, jpg, webp, bmp, or the first frame of an animation), upright, over black.

    With `still` an animation is refused.
    """
    path, limits = Path(path), limits or Limits()
    pixels = read_picture(path, limits, still)
    return Image(pixels, provenance=_note(path, limits).provenance or {})


def read_provenance(path: str | Path, limits: Limits | None = None) -> dict[str, Any]:
    """What `save` recorded in a file: system, weights, request, seed; always with `synthetic`."""
    note = _note(Path(path), limits or Limits())
    if note.provenance is None:
        raise MediaError(
            f"'{path}' carries no provenance; only files written by kinema do, until they are re-encoded."
        )
    return note.provenance


def _note(path: Path, limits: Limits) -> Note:
    kind = sniff(path, limits)
    if kind in VIDEO:
        with open_container(path, kind, limits) as container:
            return read_tag(container)
    if kind == "folder":
        return read_folder_note(path)
    if kind == "npz":
        arrays = Arrays(path, limits)
        arrays.close()
        return arrays.note
    return picture_note(path, kind, limits)


def _open(path: Path, limits: Limits) -> Source:
    kind = sniff(path, limits)
    if kind in VIDEO:
        return Film(path, kind, limits)
    if kind == "folder":
        return Folder(path, limits)
    return Arrays(path, limits) if kind == "npz" else Pictures(path, kind, limits)
