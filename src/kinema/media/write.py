"""Writing: frame by frame (`Writer`) or a whole result (`save`); the name's ending chooses the format.

Nothing is seen under the name until all of it is on the disk. Every file carries the provenance it was given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Batch, Image, Pixels, Result, Video, tile
from kinema.media.encode import (
    CODECS,
    ApngEncoder,
    Encoder,
    FilmEncoder,
    FolderEncoder,
    GifEncoder,
    NpzEncoder,
    jpg_bytes,
    png_bytes,
)
from kinema.media.place import check_replaceable, discard, settle, temporary, writing
from kinema.media.provenance import pack

CLIPS = (".mp4", ".mov", ".webm", ".gif", ".apng", ".npz", "")
PICTURES = (".png", ".jpg", ".jpeg")
MOST_SIDE, MOST_JPEG_SIDE = 16_384, 65_535
"""pixels of a clip and of a JPEG, each way"""
GAP = 2
"""pixels between the clips of a sheet, as `tile` leaves them"""


class Writer:
    """One clip, written frame by frame in constant memory; the file appears when the `with` block ends well.

    Args:
        path: ends in .mp4, .mov, .webm, .gif, .apng or .npz; no ending makes a folder of PNG pictures.
        fps: frames per second, exact (`Fraction(30000, 1001)`); gif and webm round the times and state the
            exact rate beside, all others hold it as it is.
        width: of every frame.
        height: of every frame.
        provenance: recorded in the file, with `synthetic`.
        audio_from: a video whose sound is kept (mp4, mov and webm).

    Example:
        >>> with Writer("out.mp4", Fraction(8), 48, 48) as out:  # doctest: +SKIP
        ...     out.write(frame)
    """

    def __init__(
        self,
        path: str | Path,
        fps: Fraction | int,
        width: int,
        height: int,
        provenance: Mapping[str, Any] | None = None,
        audio_from: str | Path | None = None,
    ) -> None:
        self.path, self.fps = Path(path), Fraction(fps)
        self._shape, self._count = (height, width, 3), 0
        suffix = _suffix(self.path, CLIPS, "a clip")
        _check_clip(self.path, self.fps, width, height)
        audio = Path(audio_from) if audio_from is not None else None
        if audio is not None and suffix not in CODECS:
            raise MediaError(f"'{path}' cannot hold sound; write mp4, mov or webm to keep that of '{audio}'.")
        text = pack(provenance, self.fps)
        with writing(self.path):
            self._written = temporary(self.path)
            if not suffix:
                check_replaceable(self.path)
            try:
                self._encoder = _encoder(self._written, suffix, self.fps, width, height, text, audio)
            except BaseException:
                discard(self._written)
                raise

    def __enter__(self) -> Self:
        """Nothing more to do: the encoder is ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the finished file in its place, or remove all traces after an error."""
        if kind is not None:
            self._abort()
        else:
            self.close()

    def write(self, frame: Pixels) -> None:
        """Add one frame, uint8 (H, W, 3)."""
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise MediaError(
                f"frame {self._count} for '{self.path}' is {frame.dtype} {frame.shape}; "
                f"expected uint8 {self._shape}."
            )
        with writing(self.path):
            self._encoder.write(frame)
        self._count += 1

    def close(self) -> None:
        """Finish the file and put it in its place; a `with` block does it."""
        try:
            if self._count == 0:
                raise MediaError(f"no frame was given for '{self.path}', so nothing was written.")
            with writing(self.path):
                self._encoder.close()
                settle(self._written, self.path)
        except BaseException:
            self._abort()
            raise

    def _abort(self) -> None:
        self._encoder.abort()
        discard(self._written)


def save(result: Result, path: str | Path) -> Path:
    """Write an `Image`, `Video` or `Batch`; returns the path written.

    A `Video` goes to mp4, mov, webm, gif, apng or npz, without ending to a folder of PNG pictures, and to png
    or jpg as a strip of its frames. A `Batch` goes to one file as its `sheet`, without ending to a folder of
    mp4 files with metadata.jsonl (its labels as captions), and to png or jpg as strips one below the other.
    Of clips of one frame, which are pictures, a folder holds png files, and a png or jpg is their sheet.
    An `Image` goes to png, jpg or npz. The sound of a `Video` goes along into mp4, mov and webm.
    """
    path = Path(path)
    if isinstance(result, Image):
        return _save_image(result, path)
    suffix = _suffix(path, (*CLIPS, *PICTURES), "a clip")
    if isinstance(result, Batch):
        if not result.items:
            raise MediaError(f"there are no clips to write to '{path}'.")
        if not suffix:
            return _save_clips(result, path)
        if suffix in PICTURES and all(len(clip.frames) == 1 for clip in result):
            sheet = result.sheet()
            return _save_image(Image(sheet.frames[0], provenance=result.provenance), path)
        if suffix in PICTURES:
            strips = np.stack([Video(frames).strip().pixels for frames in result.even()])[:, None]
            return _save_image(Image(tile(strips, 1, GAP)[0], provenance=result.provenance), path)
        result = result.sheet()
    if not isinstance(result, Video):
        raise MediaError(f"a {type(result).__name__} cannot be written; expected Image, Video or Batch.")
    if suffix in PICTURES:
        return _save_image(result.strip(), path)
    _write_clip(result, path)
    return path


def check_sheet(
    path: Path, clips: int, frames: int, height: int, width: int, columns: int | None = None
) -> None:
    """Refuse to tile more clips into the one file `path` than it holds, before they are made.

    Args:
        path: where `save` will write the `Batch`; without an ending that is a folder, which holds any number.
        clips: in the batch.
        frames: of each clip.
        height: of each clip in pixels.
        width: of each clip in pixels.
        columns: clips in a row; None makes the sheet about square.
    """
    suffix = path.suffix.lower()
    columns, most = columns or math.ceil(math.sqrt(clips)), MOST_SIDE
    if suffix in PICTURES and frames == 1:
        most = MOST_JPEG_SIDE if suffix != ".png" else 2**31 - 1
    elif suffix in PICTURES:
        columns, width, most = 1, frames * width, MOST_JPEG_SIDE if suffix != ".png" else 2**31 - 1
    rows = -(-clips // columns)
    wide, high = columns * (width + GAP) - GAP, rows * (height + GAP) - GAP
    if clips > 1 and suffix and max(wide, high) > most:
        raise UsageError(
            f"{clips} clips make a sheet of {wide}x{high} pixels, and {suffix} holds {most} each way; "
            "ask for fewer, or name a folder (without an ending), which gets a file for each clip."
        )


def _write_clip(video: Video, path: Path) -> None:
    if video.frames.ndim != 4 or len(video.frames) == 0:
        raise MediaError(
            f"a clip for '{path}' has shape {video.frames.shape}; expected (T, H, W, 3) with T > 0."
        )
    _, height, width, _ = video.frames.shape
    sound = video.sound if path.suffix.lower() in CODECS else None
    with Writer(path, video.fps, width, height, video.provenance, sound) as out:
        for frame in video.frames:
            out.write(frame)


def _save_image(image: Image, path: Path) -> Path:
    suffix = _suffix(path, (*PICTURES, ".npz"), "a picture")
    pixels = image.pixels
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise MediaError(f"picture '{path}' is {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 3).")
    if suffix == ".npz":
        _write_clip(Video(pixels[None], provenance=image.provenance), path)
        return path
    if suffix != ".png" and max(pixels.shape) > MOST_JPEG_SIDE:
        raise MediaError(f"a JPEG is at most 65,535 pixels wide, not {max(pixels.shape)}; choose png.")
    data = (png_bytes if suffix == ".png" else jpg_bytes)(pixels, pack(image.provenance))
    with writing(path):
        written = temporary(path)
        try:
            written.write_bytes(data)
            settle(written, path)
        except BaseException:
            discard(written)
            raise
    return path


def _save_clips(batch: Batch, path: Path) -> Path:
    """A folder 000.mp4, 001.mp4 … with the labels in metadata.jsonl: it reads back as a data set.

    A clip of one frame becomes 000.png.
    """
    with writing(path):
        written = temporary(path)
        check_replaceable(path)
        try:
            written.mkdir()
            lines = []
            for i, clip in enumerate(batch):
                name = f"{i:03d}.mp4" if len(clip.frames) > 1 else f"{i:03d}.png"
                provenance = clip.provenance or ({**batch.provenance, "item": i} if batch.provenance else {})
                if len(clip.frames) > 1:
                    _write_clip(Video(clip.frames, clip.fps, provenance=provenance), written / name)
                else:
                    _save_image(Image(clip.frames[0], provenance=provenance), written / name)
                if i < len(batch.labels):
                    lines.append(json.dumps({"file_name": name, "text": batch.labels[i]}) + "\n")
            if lines:
                (written / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
            (written / "provenance.json").write_text(
                pack(batch.provenance, batch[0].fps) + "\n", encoding="utf-8"
            )
            settle(written, path)
        except BaseException:
            discard(written)
            raise
    return path


def _encoder(
    path: Path, suffix: str, fps: Fraction, width: int, height: int, text: str, audio: Path | None
) -> Encoder:
    if suffix in CODECS:
        return FilmEncoder(path, suffix, fps, width, height, text, audio)
    if suffix == "":
        return FolderEncoder(path, text)
    kinds: dict[str, type[GifEncoder | ApngEncoder | NpzEncoder]] = {
        ".gif": GifEncoder,
        ".apng": ApngEncoder,
        ".npz": NpzEncoder,
    }
    return kinds[suffix](path, fps, width, height, text)


def _suffix(path: Path, known: tuple[str, ...], what: str) -> str:
    suffix = path.suffix.lower()
    if suffix not in known:
        endings = ", ".join(k for k in known if k)
        folder = ", or no ending for a folder" if "" in known else ""
        raise MediaError(f"'{path}' ends in '{suffix}'; {what} is written as {endings}{folder}.")
    return suffix


def _check_clip(path: Path, fps: Fraction, width: int, height: int) -> None:
    if not Fraction(1, 1000) <= fps <= 1000 or fps.denominator > 2**20:
        raise MediaError(f"'{path}' cannot be shown at {fps} frames per second; expected 1/1000 to 1000.")
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE):
        raise MediaError(f"'{path}' cannot have frames of {width}x{height}; expected 1 to 16,384 each way.")
