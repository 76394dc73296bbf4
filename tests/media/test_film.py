"""Rotation, timing of its own, see-through parts, sound: what real recordings bring along."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from kinema.core.errors import MediaError
from kinema.core.results import Pixels, Video
from kinema.media import Writer, probe, read_image, read_provenance, read_video
from kinema.media.provenance import simplest
from kinema.media.read import steady

from .conftest import moving_square, write_clip, write_with_sound


def write_timed(path: Path, frames: Pixels, milliseconds: list[int]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pixels, when in zip(frames, milliseconds, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = when, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def close(a: Pixels, b: Pixels) -> bool:
    return a.shape == b.shape and bool(np.abs(a.astype(int) - b).mean() < 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_rotation_and_mirror(tmp_path: Path, name: str, turn: int, mirror: bool) -> None:
    frames = moving_square(4)
    with av.open(str(tmp_path / name), "w") as out:
        stream = out.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(-turn, hflip=mirror)  # PyAV counts against the clock
        for pixels in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    expected = np.rot90(frames, -turn // 90, axes=(1, 2))
    expected = expected[:, :, ::-1] if mirror else expected
    video, info = read_video(tmp_path / name), probe(tmp_path / name)
    assert close(video.frames, expected)
    assert (info.width, info.height) == (expected.shape[2], expected.shape[1])
    assert mirror or info.rotation == turn


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_photos(tmp_path: Path, orientation: int) -> None:
    pixels = moving_square(1)[0]
    ways = {2: Pillow.Transpose.FLIP_LEFT_RIGHT, 3: Pillow.Transpose.ROTATE_180,
            4: Pillow.Transpose.FLIP_TOP_BOTTOM, 5: Pillow.Transpose.TRANSPOSE, 6: Pillow.Transpose.ROTATE_90,
            7: Pillow.Transpose.TRANSVERSE, 8: Pillow.Transpose.ROTATE_270}  # fmt: skip
    image = Pillow.fromarray(pixels)
    stored = image.transpose(ways[orientation]) if orientation in ways else image
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", quality=95, exif=exif)
    assert close(read_image(tmp_path / "a.jpg").pixels, pixels)
    info = probe(tmp_path / "a.jpg")
    assert (info.width, info.height) == (64, 48)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_variable_rate_keeps_duration_and_moments(tmp_path: Path, name: str) -> None:
    when = [0, 40, 80, 120, 1000, 1040, 1080, 2000]  # a recording that paused twice
    frames = np.stack([np.full((32, 32, 3), 20 + 25 * k, np.uint8) for k in range(8)])
    video = read_video(write_timed(tmp_path / name, frames, when))
    duration = len(video.frames) / video.fps
    assert 2.0 <= duration <= 2.3
    for moment in (0.5, 0.9, 1.5, 1.9):
        shown = video.frames[int(moment * video.fps)].mean()
        expected = [k for k, start in enumerate(when) if start <= 1000 * moment][-1]
        assert round((shown - 20) / 25) == expected, moment


def test_gif_with_a_delay_of_its_own_for_every_frame(tmp_path: Path) -> None:
    pictures = [Pillow.new("RGB", (8, 8), (40 * k, 0, 0)) for k in range(4)]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 300, 100, 100]
    )
    video = read_video(tmp_path / "a.gif")
    assert video.fps == Fraction(20, 3)  # four frames in 0.6 s
    assert [int(f[0, 0, 0]) // 40 for f in video.frames] == [0, 1, 1, 3] or len(video.frames) == 4


def test_jitter_of_rounded_times_neither_repeats_nor_drops(tmp_path: Path) -> None:
    frames = np.stack([np.full((16, 16, 3), 8 * k, np.uint8) for k in range(30)])
    when = [round(1000 * k * 1001 / 30000) for k in range(30)]
    video = read_video(write_timed(tmp_path / "a.webm", frames, when))
    assert [round(f.mean() / 8) for f in video.frames] == list(range(30))


@settings(max_examples=40, deadline=None)
@given(
    delays=st.lists(st.fractions(Fraction(1, 50), Fraction(2), max_denominator=100), min_size=1, max_size=20),
    fps=st.fractions(Fraction(1), Fraction(60), max_denominator=100),
)
def test_steady_keeps_order_and_duration(delays: list[Fraction], fps: Fraction) -> None:
    starts = [sum(delays[:k], Fraction(0)) for k in range(len(delays))]
    timed = [
        (s, d, np.full((1, 1, 3), k, np.uint8)) for k, (s, d) in enumerate(zip(starts, delays, strict=True))
    ]
    shown = [int(f[0, 0, 0]) for f in steady(iter(timed), fps)]
    assert shown == sorted(shown)
    assert shown[-1] == len(delays) - 1
    assert abs(len(shown) - sum(delays) * fps) <= Fraction(3, 2)  # the last frame is shown at least once
    for tick, k in enumerate(shown[:-1]):  # never further than half a tick from what plays at that time
        assert starts[k] * fps <= tick + Fraction(1, 2)


@given(st.fractions(Fraction(1, 100), Fraction(100)), st.fractions(0, Fraction(1, 2)))
def test_simplest_fraction(low: Fraction, width: Fraction) -> None:
    found = simplest(low, low + width)
    assert low <= found <= low + width
    for denominator in range(1, min(found.denominator, 200)):
        assert -(-low.numerator * denominator // low.denominator) > (low + width) * denominator


def test_alpha_lies_over_black(tmp_path: Path) -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, :] = (200, 100, 50, 255)
    rgba[:8, :, 3] = 0
    rgba[8:, 8:, 3] = 128
    Pillow.fromarray(rgba).save(tmp_path / "a.png")
    expected = (rgba[..., :3].astype(int) * rgba[..., 3:] + 127) // 255
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, expected)
    assert probe(tmp_path / "a.png").has_alpha
    np.savez(tmp_path / "a.npz", frames=rgba[None])
    assert np.array_equal(read_video(tmp_path / "a.npz").frames[0], expected)
    Pillow.fromarray(rgba).save(
        tmp_path / "b.png", save_all=True, append_images=[Pillow.fromarray(rgba[::-1])]
    )
    video = read_video(tmp_path / "b.png")
    assert len(video.frames) == 2
    assert np.array_equal(video.frames[0], expected)
    for path, codec, layout in (("a.mov", "qtrle", "argb"), ("a.webm", "libvpx-vp9", "yuva420p")):
        with av.open(str(tmp_path / path), "w") as out:
            stream = out.add_stream(codec, rate=8, options={"auto-alt-ref": "0"} if codec != "qtrle" else {})
            stream.width, stream.height, stream.pix_fmt = 16, 16, layout
            for _ in range(3):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
            out.mux(stream.encode(None))
        assert probe(tmp_path / path).has_alpha, path
        shown = read_video(tmp_path / path).frames[0].astype(int)
        assert shown[:6].max() <= 6, path
        assert np.abs(shown[11:, 11:] - expected[11:, 11:]).max() <= 12, path


def test_apng_with_a_picture_for_old_viewers(tmp_path: Path) -> None:
    pictures = [Pillow.new("RGB", (8, 8), (50 * k, 0, 0)) for k in range(4)]
    pictures[0].save(
        tmp_path / "a.png", save_all=True, append_images=pictures[1:], default_image=True, duration=100
    )
    video = read_video(tmp_path / "a.png")
    assert [int(f[0, 0, 0]) for f in video.frames] == [50, 100, 150]
    assert video.fps == 10


def test_transparent_gif(tmp_path: Path) -> None:
    image = Pillow.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(0, (0, 0, 4, 8))
    image.save(tmp_path / "a.gif", transparency=0)
    pixels = read_video(tmp_path / "a.gif").frames[0]
    assert probe(tmp_path / "a.gif").has_alpha
    assert tuple(pixels[0, 0]) == (0, 0, 0)
    assert tuple(pixels[0, 7]) == (0, 255, 0)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    Pillow.fromarray(np.full((4, 4), 32768, np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").pixels[0, 0, 0] in (127, 128)


@pytest.mark.parametrize(
    ("source", "codec", "target", "expected"),
    [
        ("s.mp4", "aac", "t.mp4", "aac"),
        ("s.mp4", "aac", "t.mov", "aac"),
        ("s.mp4", "aac", "t.webm", "opus"),
        ("s.webm", "libopus", "t.webm", "opus"),
        ("s.webm", "libopus", "t.mp4", "opus"),
        ("s.webm", "libopus", "t.mov", "aac"),
    ],
)
def test_sound_is_kept_on_rewrite(
    tmp_path: Path, source: str, codec: str, target: str, expected: str
) -> None:
    path = write_with_sound(tmp_path / source, codec=codec)
    assert probe(path).has_audio
    video = read_video(path)
    with Writer(tmp_path / target, video.fps, 64, 48, {"system": "x"}, audio_from=path) as out:
        for frame in video.frames:
            out.write(255 - frame)
    assert close(255 - read_video(tmp_path / target).frames, video.frames)
    assert read_provenance(tmp_path / target)["system"] == "x"
    with av.open(str(tmp_path / target)) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name.removeprefix("lib") == expected
        parts = [(f.to_ndarray(), f.time) for f in container.decode(sound)]
    wave = np.concatenate([p.reshape(-1) if p.shape[0] == 1 else p[0] for p, _ in parts])
    assert 1.8 <= parts[-1][1] <= 2.1
    assert np.abs(wave).max() > 0.5  # the tone, not silence


def test_sound_needs_a_film_on_both_sides(tmp_path: Path) -> None:
    silent = write_clip(tmp_path / "silent.mp4", moving_square(3))
    with pytest.raises(MediaError, match="cannot hold sound"):
        Writer(tmp_path / "a.gif", 8, 64, 48, audio_from=silent)
    gif = write_clip(tmp_path / "b.gif", moving_square(3))
    with pytest.raises(MediaError, match="holds no sound"):
        Writer(tmp_path / "a.mp4", 8, 64, 48, audio_from=gif)
    with Writer(tmp_path / "a.mp4", 8, 64, 48, audio_from=silent) as out:
        out.write(moving_square(1)[0])
    assert not probe(tmp_path / "a.mp4").has_audio


def test_folder_of_pictures_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for k in (10, 2, 1):
        Pillow.new("RGB", (8, 6), (k, k, k)).save(tmp_path / f"img{k}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    video = read_video(tmp_path)
    assert [int(f[0, 0, 0]) for f in video.frames] == [1, 2, 10]
    assert video.fps == 8


def test_avi_as_in_msvd_and_grey_arrays(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as out:
        stream = out.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for pixels in moving_square(6):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    video = read_video(tmp_path / "a.avi")
    assert video.frames.shape == (6, 48, 64, 3)
    assert video.fps == 15
    np.savez(tmp_path / "grey.npz", moving_square(3)[..., 0])
    assert np.array_equal(read_video(tmp_path / "grey.npz").frames[..., 2], moving_square(3)[..., 0])


def test_a_clip_takes_the_sound_of_its_video_along(tmp_path: Path) -> None:
    source = write_with_sound(tmp_path / "source.mp4")
    clip = Video(np.zeros((8, 32, 32, 3), np.uint8), Fraction(8), sound=source)
    assert probe(clip.save(tmp_path / "a.mp4")).has_audio
    assert not probe(clip.save(tmp_path / "a.gif")).has_audio
    assert not probe(Video(clip.frames).save(tmp_path / "silent.mp4")).has_audio
