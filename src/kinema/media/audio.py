"""The sound of another file, carried along while a video is written.

Packets are copied as they are where the new container can hold the codec, and encoded anew where it cannot:
to Opus in webm, to AAC in mp4 and mov. They go in together with the pictures of the same moment, so that
nothing piles up.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.core.errors import MediaError
from kinema.media.film import decoding, open_container
from kinema.media.limits import Limits
from kinema.media.sniff import VIDEO, sniff

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

COPIED = {
    "mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"},
    "webm": {"opus", "vorbis"},
}
"""muxer -> codecs that go in unchanged"""


class AudioTrack:
    """The first sound track of `path`, on its way into `target`; a file without sound adds none."""

    def __init__(self, path: Path, target: OutputContainer) -> None:
        limits = Limits()
        kind = sniff(path, limits)
        if kind not in VIDEO:
            raise MediaError(f"'{path}' is {kind}, which holds no sound; expected mp4, webm or avi.")
        self._path, self._target = path, target
        self._source = open_container(path, kind, limits)
        self._packets: Iterator[Packet[Any]] = iter(())
        if self._source.streams.audio and self._source.streams.audio[0].codec_context is not None:
            known = COPIED[target.format.name]
            copied = self._source.streams.audio[0].codec_context.name in known
            self._packets = self._copied() if copied else self._encoded()
        self._waiting = self._next()

    def write(self, until: Fraction) -> None:
        """Put in all packets that begin before `until` seconds; what sounds later is left out."""
        while self._waiting is not None and _begin(self._waiting) < until:
            self._target.mux(self._waiting)
            self._waiting = self._next()

    def close(self) -> None:
        """Let go of the source."""
        self._waiting = None
        self._source.close()

    def _next(self) -> Packet[Any] | None:
        with decoding(self._path):
            return next(self._packets, None)

    def _copied(self) -> Iterator[Packet[Any]]:
        source = self._source.streams.audio[0]
        stream = self._target.add_stream_from_template(source)
        for packet in self._source.demux(source):
            if packet.dts is not None:
                packet.stream = stream
                yield packet

    def _encoded(self) -> Iterator[Packet[Any]]:
        from av import AudioResampler
        from av.audio.stream import AudioStream

        source = self._source.streams.audio[0]
        codec = "libopus" if self._target.format.name == "webm" else "aac"
        stream = self._target.add_stream(codec, rate=48_000)
        assert isinstance(stream, AudioStream)
        layout = "mono" if source.codec_context.channels == 1 else "stereo"
        stream.codec_context.layout = layout
        resampler = AudioResampler(stream.codec_context.format, layout, 48_000)
        for frame in self._source.decode(source):
            for part in resampler.resample(frame):
                yield from stream.encode(part)
        for part in resampler.resample(None):
            yield from stream.encode(part)
        yield from stream.encode(None)


def _begin(packet: Packet[Any]) -> Fraction:
    return (packet.pts or 0) * packet.time_base
