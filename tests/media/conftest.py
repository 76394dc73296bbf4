"""Clips and files that the tests of the media room share."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kinema.core.results import Pixels, Video
from kinema.media import Writer

PROVENANCE = {"system": "tgans-c", "weights": "abc", "request": {"caption": "digit 7 è", "seed": 1}}


def moving_square(frames: int = 12, height: int = 48, width: int = 64, colour: bool = True) -> Pixels:
    """A square that walks to the right over a grey ramp: no two frames and no two corners are alike."""
    clip = np.empty((frames, height, width, 3), np.uint8)
    clip[:] = np.linspace(20, 90, width, dtype=np.uint8)[None, None, :, None]
    for t in range(frames):
        x = 2 + t * (width - 18) // max(1, frames - 1)
        clip[t, 4:16, x : x + 14] = (240, 200, 60) if colour else 230
    return clip


@pytest.fixture
def clip() -> Video:
    return Video(moving_square(), Fraction(8), provenance=dict(PROVENANCE))


def write_with_sound(path: Path, seconds: int = 2, codec: str = "aac") -> Path:
    """A clip of 8 frames per second with a tone, made with PyAV directly."""
    import av

    with av.open(str(path), "w") as out:
        video = out.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=8)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream(codec, rate=48_000)
        sound.codec_context.layout = "stereo"
        for pixels in moving_square(8 * seconds):
            out.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(video.encode(None))
        tone = np.sin(np.arange(48_000 * seconds) * 2 * np.pi * 440 / 48_000).astype(np.float32)
        for start in range(0, len(tone), 960):
            part = np.stack([tone[start : start + 960]] * 2)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
            if codec == "libopus":
                frame = av.AudioResampler("flt", "stereo", 48_000).resample(frame)[0]
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return path


def write_clip(path: Path, frames: Pixels, fps: Fraction | int = 8) -> Path:
    with Writer(path, Fraction(fps), frames.shape[2], frames.shape[1]) as out:
        for frame in frames:
            out.write(frame)
    return path
