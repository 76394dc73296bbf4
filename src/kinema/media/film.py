"""Decoding of mp4, mov, webm, mkv and avi through PyAV, one frame at a time.

Only the demuxer that the file's bytes call for is allowed, it may open nothing but this file, and the decoder
refuses frames above the limit before it takes memory for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import MediaError
from kinema.core.results import Pixels
from kinema.media.limits import Info, Limits, check_size
from kinema.media.provenance import Note, agreed_rate, simplest, unpack
from kinema.media.sniff import VIDEO

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Timed = tuple[Fraction, Fraction, Pixels]
"""seconds at which a frame appears, seconds it stays, uint8 (H, W, 3)"""


class Film:
    """A video file being read; `frames` may be walked once."""

    def __init__(self, path: Path, kind: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._container = open_container(path, kind, limits)
        try:
            self._stream = self._first_video()
            self._decoder = self._choose_decoder()
            self._decoded = self._decode()
            with decoding(path):
                self._first = next(self._decoded, None)
            if self._first is None:
                raise MediaError(f"'{path}' holds no frame that can be decoded: it is truncated or broken.")
            self.note = read_tag(self._container)
            self.info = self._describe(kind, self._first)
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[Timed]:
        """The frames in the order shown, upright, see-through parts over black."""
        assert self._first is not None
        frame: VideoFrame | None = self._first
        size, start = (self._first.width, self._first.height), _seconds(self._first)
        usual = 1 / self.info.fps
        last = start - usual
        with decoding(self._path):
            while frame is not None:
                if (frame.width, frame.height) != size:
                    raise MediaError(
                        f"'{self._path}' changes its frame size midway; encode it anew at one size."
                    )
                seconds = _seconds(frame) if frame.pts is not None else last + usual
                time_base = frame.time_base or Fraction(0)
                yield seconds - start, frame.duration * time_base or usual, upright(frame, to_rgb(frame))
                last, frame = seconds, next(self._decoded, None)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def _first_video(self) -> VideoStream:
        from av.stream import Disposition

        cover = Disposition.attached_pic
        streams = [s for s in self._container.streams.video if not s.disposition & cover]
        if not streams:
            raise MediaError(f"'{self._path}' holds no video ({len(self._container.streams)} other streams).")
        stream = streams[0]
        if stream.codec_context is None:  # the annotation does not know of codecs that are not built in
            raise MediaError(f"'{self._path}' uses an unknown codec; encode it as H.264 or VP9.")
        check_size(self._path, stream.codec_context.width, stream.codec_context.height, self._limits)
        return stream

    def _choose_decoder(self) -> VideoCodecContext:
        from av.video.codeccontext import VideoCodecContext

        decoder = self._stream.codec_context
        if self._stream.metadata.get("alpha_mode", self._stream.metadata.get("ALPHA_MODE")) == "1":
            # FFmpeg's own VP8 and VP9 decoders drop the second picture that holds the alpha; libvpx keeps it
            found = VideoCodecContext.create({"vp8": "libvpx"}.get(decoder.name, "libvpx-vp9"), "r")
            assert isinstance(found, VideoCodecContext)
            decoder = found
        decoder.options = {**decoder.options, "max_pixels": str(self._limits.pixels)}
        if self._stream.codec_context.width * self._stream.codec_context.height > 2**19:
            decoder.thread_type = "AUTO"
        return decoder

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in self._container.demux(self._stream):
            yield from self._decoder.decode(packet)

    def _describe(self, kind: str, frame: VideoFrame) -> Info:
        stream = self._stream
        frames, measured = stream.frames or None, Fraction(stream.average_rate or stream.base_rate or 25)
        if kind == "webm":
            frames, measured = count_packets(self._path, stream.index, measured, self._limits)
        matrix = display_matrix(frame)
        turn = round(math.degrees(math.atan2(matrix[0, 1], matrix[0, 0])) / 90) * 90 % 360
        width, height = (frame.height, frame.width) if turn % 180 else (frame.width, frame.height)
        return Info(
            width=width,
            height=height,
            frames=frames,
            fps=agreed_rate(measured, self.note.fps, frames or 1),
            has_audio=bool(self._container.streams.audio),
            has_alpha=has_alpha(frame),
            rotation=turn,
            format=kind,
        )


def open_container(path: Path, kind: str, limits: Limits) -> InputContainer:
    """Open a video file with the demuxer of `kind` and no other."""
    import av

    options = {"protocol_whitelist": "file", "max_pixels": str(limits.pixels)}
    with decoding(path):
        # an absolute name cannot be mistaken for a protocol such as `concat:`
        return av.open(
            str(path.absolute()), "r", format=VIDEO[kind], options=options, metadata_errors="replace"
        )


def count_packets(path: Path, index: int, stated: Fraction, limits: Limits) -> tuple[int, Fraction]:
    """Number and average rate of the frames of a Matroska file, which may state a rate that it does not keep.

    The stated rate stands if by it no frame is half a frame off at the end; else it is the simplest that the
    times, rounded to milliseconds, allow. The whole file is read for it and nothing is decoded.
    """
    with open_container(path, "webm", limits) as container, decoding(path):
        packets = container.demux(container.streams[index])
        times = (packet.pts * packet.time_base for packet in packets if packet.pts is not None)
        count, first, last = 1, next(times, Fraction(0)), Fraction(0)
        for time in times:
            count, first, last = count + 1, min(first, time), max(last, time)
    span, step = last - first, Fraction(1, 1000)
    if count == 1 or span <= step or abs((count - 1) / stated - span) < 1 / (2 * stated):
        return count, stated
    return count, simplest((count - 1) / (span + step), (count - 1) / (span - step))


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever FFmpeg reports into one sentence."""
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise MediaError(
            f"'{path}' cannot be decoded ({error.strerror}): it is truncated or broken."
        ) from None
    except MemoryError:
        raise MediaError(f"'{path}' needs more memory to decode than there is.") from None


def read_tag(container: InputContainer) -> Note:
    """Our note from the comment of a container; Matroska writes its keys in capitals."""
    return unpack(container.metadata.get("comment", container.metadata.get("COMMENT")))


def has_alpha(frame: VideoFrame) -> bool:
    """Whether the pixel format has a fourth component."""
    return frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)


def to_rgb(frame: VideoFrame) -> Pixels:
    """uint8 (H, W, 3); see-through parts over black."""
    if not has_alpha(frame):
        return cast("Pixels", frame.to_ndarray(format="rgb24"))
    return over_black(cast("Pixels", frame.to_ndarray(format="rgba")))


def over_black(rgba: Pixels) -> Pixels:
    """Compose (..., 4) over black to (..., 3)."""
    return ((rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255).astype(np.uint8)


def display_matrix(frame: VideoFrame) -> NDArray[np.int32]:
    """[[a, b], [c, d]] that maps stored to shown coordinates: x' = a x + c y, y' = b x + d y."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return np.eye(2, dtype=np.int32)
    return np.frombuffer(bytes(cast("Any", data)), np.int32).reshape(3, 3)[:2, :2]


def upright(frame: VideoFrame, pixels: Pixels) -> Pixels:
    """Turn and mirror (H, W, 3) as the display matrix asks, to the nearest quarter turn."""
    (a, b), (c, d) = display_matrix(frame)
    if abs(b) > abs(a):  # x' follows y and y' follows x
        pixels, across, down = pixels.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def _seconds(frame: VideoFrame) -> Fraction:
    return (frame.pts or 0) * (frame.time_base or Fraction(0))
