"""Encoders: each takes frames one by one and writes one file or folder, in constant memory.

mp4, mov  H.264, crf 12, yuv420p so that everything plays it; yuv444p where width or height is odd, because
          4:2:0 H.264 cannot hold an odd size (VLC, mpv and FFmpeg play that, some browsers do not)
webm      VP9, crf 16, yuv420p
gif       one palette per frame; exact where a frame has at most 256 colours; times rounded to 1/100 s
apng, png without loss
npz       arrays frames uint8 (T, H, W, 3), fps int64 (numerator, denominator), provenance (JSON text)
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinema.core.errors import MediaError
from kinema.core.results import Pixels
from kinema.media.audio import AudioTrack
from kinema.media.chunks import append_gif_comment, png_chunk, png_data, png_text

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("mp4", "libx264", {"crf": "12", "preset": "medium"}),
    ".mov": ("mov", "libx264", {"crf": "12", "preset": "medium"}),
    ".webm": ("webm", "libvpx-vp9", {"crf": "16", "b": "0", "cpu-used": "4", "row-mt": "1"}),
}
"""suffix -> FFmpeg muxer, encoder, its options"""


class FilmEncoder:
    """mp4, mov or webm, with the sound of another file if asked."""

    def __init__(
        self, path: Path, suffix: str, fps: Fraction, width: int, height: int, text: str, audio: Path | None
    ) -> None:
        import av
        from av.video.stream import VideoStream

        muxer, codec, options = CODECS[suffix]
        self._fps, self._count = fps, 0
        mux = {"movflags": "+faststart"} if suffix != ".webm" else {}
        self._container = av.open(str(path), "w", format=muxer, options=mux)
        self._audio = None
        try:
            if text:
                self._container.metadata["comment"] = text
            odd = (width % 2 or height % 2) and suffix != ".webm"
            stream = self._container.add_stream(codec, rate=fps, options=dict(options))
            assert isinstance(stream, VideoStream)
            self._stream = stream
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv444p" if odd else "yuv420p"
            self._stream.codec_context.time_base = 1 / fps
            # BT.709, limited range, said in the stream: players guess by the height otherwise
            self._stream.codec_context.colorspace = self._stream.codec_context.color_primaries = 1
            self._stream.codec_context.color_trc = self._stream.codec_context.color_range = 1
            if audio is not None:
                self._audio = AudioTrack(audio, self._container)
        except BaseException:
            self.abort()
            raise

    def write(self, frame: Pixels) -> None:
        """Encode one frame and the sound up to it."""
        from av import VideoFrame

        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture = picture.reformat(
            format=self._stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        picture.pts, picture.time_base = self._count, 1 / self._fps
        for packet in self._stream.encode(picture):
            self._container.mux(packet)
        self._count += 1
        if self._audio is not None:
            self._audio.write(self._count / self._fps)

    def close(self) -> None:
        """Finish the file; the sound ends with the pictures."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        if self._audio is not None:
            self._audio.close()
        self._container.close()

    def abort(self) -> None:
        """Let go of an unfinished file."""
        if self._audio is not None:
            self._audio.close()
        with suppress(Exception):  # on a full disk this fails again, and the file is thrown away anyhow
            self._container.close()


class GifEncoder:
    """GIF through FFmpeg's encoder, every frame whole; the note is put in afterwards."""

    def __init__(self, path: Path, fps: Fraction, width: int, height: int, text: str) -> None:
        import av

        if fps > 50:
            raise MediaError(f"a GIF shows at most 50 frames per second, not {fps}; choose mp4 or webm.")
        self._path, self._fps, self._text, self._count = path, fps, text, 0
        self._container = av.open(str(path), "w", format="gif")
        # FFmpeg finds what changed by comparing palette indices, which lie when every frame has its palette
        self._stream = self._container.add_stream("gif", rate=fps, options={"gifflags": "0"})
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "pal8"
        self._stream.codec_context.time_base = Fraction(1, 100)

    def write(self, frame: Pixels) -> None:
        """Encode one frame; its time is the nearest hundredth of a second."""
        picture = _paletted(frame)
        picture.pts, picture.time_base = self._tick(self._count), Fraction(1, 100)
        self._count += 1
        for packet in self._stream.encode(picture):
            packet.duration = self._tick(self._count) - self._tick(self._count - 1)
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file and put the note into it."""
        self._container.close()
        with self._path.open("r+b") as file:
            append_gif_comment(file, self._text)

    def abort(self) -> None:
        """Let go of an unfinished file."""
        with suppress(Exception):
            self._container.close()

    def _tick(self, k: int) -> int:
        return round(100 * k / self._fps)


class ApngEncoder:
    """APNG: every frame a full picture, its delay an exact fraction; their number is filled in at the end."""

    def __init__(self, path: Path, fps: Fraction, width: int, height: int, text: str) -> None:
        delay = (1 / fps).limit_denominator(2**16 - 1)
        if not 0 < delay.numerator < 2**16:
            raise MediaError(f"an APNG cannot show {fps} frames per second; choose another rate or mp4.")
        size = width.to_bytes(4) + height.to_bytes(4)
        self._control = (
            size + bytes(8) + delay.numerator.to_bytes(2) + delay.denominator.to_bytes(2) + bytes(2)
        )
        self._text, self._count, self._sequence = text, 0, 0
        self._file = path.open("wb")
        self._file.write(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", size + b"\x08\x02\0\0\0"))
        self._at = self._file.tell()
        self._file.write(png_chunk(b"acTL", bytes(8)))

    def write(self, frame: Pixels) -> None:
        """Encode one frame."""
        self._file.write(png_chunk(b"fcTL", self._next() + self._control))
        for data in png_data(png_bytes(frame)):
            first = self._count == 0
            self._file.write(png_chunk(b"IDAT", data) if first else png_chunk(b"fdAT", self._next() + data))
        self._count += 1

    def close(self) -> None:
        """Finish the file."""
        self._file.write((png_text(self._text) if self._text else b"") + png_chunk(b"IEND", b""))
        self._file.seek(self._at)
        self._file.write(png_chunk(b"acTL", self._count.to_bytes(4) + bytes(4)))
        self._file.close()

    def abort(self) -> None:
        """Let go of an unfinished file."""
        with suppress(OSError):
            self._file.close()

    def _next(self) -> bytes:
        self._sequence += 1
        return (self._sequence - 1).to_bytes(4)


class FolderEncoder:
    """A folder of PNG pictures 000000.png … and provenance.json."""

    def __init__(self, path: Path, text: str) -> None:
        path.mkdir()
        self._path, self._text, self._count = path, text, 0

    def write(self, frame: Pixels) -> None:
        """Write one picture."""
        (self._path / f"{self._count:06d}.png").write_bytes(png_bytes(frame))
        self._count += 1

    def close(self) -> None:
        """Write the note."""
        (self._path / "provenance.json").write_text(self._text + "\n", encoding="utf-8")

    def abort(self) -> None:
        """Nothing is kept open."""


class NpzEncoder:
    """npz: frames wait in an unnamed temporary file, because the header before them states their number."""

    def __init__(self, path: Path, fps: Fraction, width: int, height: int, text: str) -> None:
        self._path, self._fps, self._text, self._shape, self._count = path, fps, text, (height, width, 3), 0
        self._frames = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - lives as long as the encoder

    def write(self, frame: Pixels) -> None:
        """Keep one frame."""
        self._frames.write(np.ascontiguousarray(frame).data)
        self._count += 1

    def close(self) -> None:
        """Write the arrays."""
        header = {"descr": "|u1", "fortran_order": False, "shape": (self._count, *self._shape)}
        rate = np.array([self._fps.numerator, self._fps.denominator])
        self._frames.seek(0)
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open(_member("fps.npy"), "w") as file:
                np.lib.format.write_array(file, rate)
            with archive.open(_member("provenance.npy"), "w") as file:
                np.lib.format.write_array(file, np.array(self._text))
            with archive.open(_member("frames.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                while block := self._frames.read(2**20):
                    file.write(block)
        self._frames.close()

    def abort(self) -> None:
        """Throw the waiting frames away."""
        with suppress(OSError):
            self._frames.close()


Encoder = FilmEncoder | GifEncoder | ApngEncoder | FolderEncoder | NpzEncoder


def png_bytes(frame: Pixels, text: str = "") -> bytes:
    """A picture (H, W, 3) as PNG, with our note."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:-12] + png_text(text) + data[-12:] if text else data


def jpg_bytes(frame: Pixels, text: str = "") -> bytes:
    """A picture (H, W, 3) as JPEG of high quality, with our note as its comment."""
    from PIL import Image

    if len(text) > 65_000:
        raise MediaError(
            f"a JPEG has room for 65,000 characters of provenance, not {len(text):,}; choose png."
        )
    options: dict[str, Any] = {"comment": text.encode()} if text else {}
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(buffer, "JPEG", quality=95, subsampling=0, **options)
    return buffer.getvalue()


def _member(name: str) -> zipfile.ZipInfo:
    """An entry without the time of day: the same clip gives the same bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _paletted(frame: Pixels) -> VideoFrame:
    """A frame with its own palette: its own colours if they are at most 256, else a median cut."""
    from av import VideoFrame
    from PIL import Image

    packed = (frame.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(-1, dtype=np.uint32)
    colours, index = np.unique(packed, return_inverse=True)
    palette = np.zeros((256, 4), np.uint8)  # alpha, red, green, blue
    palette[:, 0] = 255
    if len(colours) <= 256:
        palette[: len(colours), 1:] = colours[:, None] >> np.array([16, 8, 0]) & 255
        index = index.reshape(frame.shape[:2]).astype(np.uint8)
    else:
        image = Image.fromarray(np.ascontiguousarray(frame)).quantize(256)
        found = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        palette[: len(found), 1:] = found
        index = np.asarray(image)
    pair: Any = (np.ascontiguousarray(index), palette)  # PyAV takes the pair, its annotation forgot it
    return VideoFrame.from_ndarray(pair, format="pal8")
