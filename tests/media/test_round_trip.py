"""What is written reads back: pixels, exact rate, length and provenance, in every format."""

from __future__ import annotations

import gc
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinema.core.results import Batch, Image, Video
from kinema.media import probe, read_image, read_provenance, read_video, save, stream
from kinema.media.provenance import pack, unpack

from .conftest import PROVENANCE, moving_square, write_clip

CLIPS = ["a.mp4", "a.mov", "a.webm", "a.gif", "a.apng", "a.npz", "folder"]
EXACT = ["a.gif", "a.apng", "a.npz", "folder"]
RATES = [
    Fraction(8),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(24000, 1001),
    Fraction(1, 2),
    Fraction(50),
]


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("fps", RATES, ids=str)
def test_length_and_rate_are_exact(tmp_path: Path, name: str, fps: Fraction) -> None:
    frames = moving_square(13)
    back = read_video(write_clip(tmp_path / name, frames, fps))
    assert back.fps == fps
    assert back.frames.shape == frames.shape
    error = np.abs(back.frames.astype(int) - frames).reshape(13, -1)
    assert error.max() == 0 if name in EXACT else error.mean(axis=1).max() < 3  # every frame in its place


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_shortest_clips(tmp_path: Path, name: str, length: int) -> None:
    back = read_video(write_clip(tmp_path / name, moving_square(length), Fraction(30000, 1001)))
    assert len(back.frames) == length
    assert back.fps == Fraction(30000, 1001)


@pytest.mark.parametrize("name", [*CLIPS, "a.png", "a.jpg"])
def test_provenance_reads_back(tmp_path: Path, clip: Video, name: str) -> None:
    path = save(clip, tmp_path / name)
    assert path == tmp_path / name
    assert read_provenance(path) == {"synthetic": True, **PROVENANCE}


@pytest.mark.parametrize("name", CLIPS)
def test_probe_tells_what_reading_gives(tmp_path: Path, clip: Video, name: str) -> None:
    path = save(clip, tmp_path / name)
    info, video = probe(path), read_video(path)
    assert (info.height, info.width) == video.frames.shape[1:3]
    assert info.frames in (None, len(video.frames))
    assert info.fps == video.fps
    assert (info.has_audio, info.has_alpha, info.rotation) == (False, False, 0)
    assert video.provenance == {"synthetic": True, **PROVENANCE}


@pytest.mark.parametrize(("height", "width"), [(48, 48), (47, 48), (48, 33), (31, 17), (2, 2), (1, 1)])
@pytest.mark.parametrize("name", CLIPS)
def test_any_size(tmp_path: Path, name: str, height: int, width: int) -> None:
    frames = np.full((3, height, width, 3), 100, np.uint8)
    frames[1] = 200
    back = read_video(write_clip(tmp_path / name, frames)).frames
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).max() <= 3


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_small_clips_stay_crisp_and_colours_true(tmp_path: Path, name: str) -> None:
    grey = moving_square(12, 48, 48, colour=False)
    back = read_video(write_clip(tmp_path / name, grey)).frames.astype(int)
    assert 10 * np.log10(255**2 / np.mean((back - grey) ** 2)) > 38  # dB
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 250, 250), (0, 0, 0)):
        flat = np.full((2, 32, 32, 3), colour, np.uint8)
        back = read_video(write_clip(tmp_path / name, flat)).frames.astype(int)
        assert np.abs(back - flat).max() <= 4, colour


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**20), frames=st.integers(1, 5), height=st.integers(1, 9), width=st.integers(1, 9)
)
def test_lossless_formats_keep_noise(
    tmp_path_factory: pytest.TempPathFactory, seed: int, frames: int, height: int, width: int
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    noise = np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    for name in EXACT:
        assert np.array_equal(read_video(write_clip(folder / name, noise)).frames, noise), name


def test_gif_of_many_colours_stays_close(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :64]
    frame = np.stack([x * 4, y * 4, (x + y) * 2], -1).astype(np.uint8)
    back = read_video(write_clip(tmp_path / "a.gif", frame[None])).frames[0]
    assert np.abs(back.astype(int) - frame).mean() < 8


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.npz"])
def test_pictures(tmp_path: Path, name: str) -> None:
    pixels = moving_square(1)[0]
    path = save(Image(pixels, provenance=dict(PROVENANCE)), tmp_path / "new" / "folders" / name)
    back = read_video(path).frames[0] if name == "a.npz" else read_image(path).pixels
    assert np.abs(back.astype(int) - pixels).max() <= (0 if name in ("a.png", "a.npz") else 12)
    assert read_provenance(path)["system"] == "tgans-c"


def test_batch_to_a_folder_has_one_file_per_clip_and_captions(tmp_path: Path) -> None:
    clips = [Video(np.roll(moving_square(), 5 * i, axis=2), Fraction(8)) for i in range(3)]
    path = save(Batch(clips, ["one .", "two .", "three ."], provenance=dict(PROVENANCE)), tmp_path / "out")
    assert sorted(p.name for p in path.iterdir()) == [
        "000.mp4", "001.mp4", "002.mp4", "metadata.jsonl", "provenance.json",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (path / "metadata.jsonl").read_text().splitlines()]
    assert lines[1] == {"file_name": "001.mp4", "text": "two ."}
    assert read_provenance(path / "002.mp4") == {"synthetic": True, **PROVENANCE, "item": 2}
    assert read_provenance(path)["system"] == "tgans-c"
    assert np.abs(read_video(path / "001.mp4").frames.astype(int) - clips[1].frames).mean() < 3


def test_a_sheet_of_clips_of_several_sizes_has_grey_margins(tmp_path: Path) -> None:
    clips = [Video(np.full((2, *size, 3), 200, np.uint8)) for size in ((4, 10), (8, 6))]
    sheet = Batch(clips).sheet(columns=2).frames
    assert sheet.shape == (2, 8, 10 + 2 + 10, 3)
    assert (sheet[:, 2:6, :10] == 200).all()
    assert (sheet[:, :, 14:20] == 200).all()
    assert (sheet == 200).sum() == 2 * 3 * (40 + 48)


def test_batch_to_one_file_is_its_sheet(tmp_path: Path) -> None:
    batch = Batch([Video(moving_square()) for _ in range(3)], provenance=dict(PROVENANCE))
    assert probe(save(batch, tmp_path / "a.mp4")).width == 2 * 64 + 2
    strips = read_image(save(batch, tmp_path / "a.png")).pixels
    assert strips.shape == (3 * 48 + 2 * 2, 12 * 64, 3)
    assert np.array_equal(strips[50:98, 64:128], batch[1].frames[1])


def test_a_sheet_has_the_columns_of_its_batch_and_holds_the_end_of_short_clips(tmp_path: Path) -> None:
    long, short = moving_square(), moving_square()[:5]
    batch = Batch([Video(long), Video(short), Video(long)], columns=3)
    sheet = batch.sheet().frames
    assert sheet.shape == (12, 48, 3 * 64 + 2 * 2, 3)
    assert np.array_equal(sheet[:5, :, 66:130], short)
    assert all(np.array_equal(frame[:, 66:130], short[-1]) for frame in sheet[5:])
    assert batch.sheet(columns=1).frames.shape[1] == 3 * 48 + 2 * 2
    assert read_image(save(batch, tmp_path / "a.png")).pixels.shape == (3 * 48 + 2 * 2, 12 * 64, 3)


def test_same_clip_same_bytes(tmp_path: Path, clip: Video) -> None:
    for name in ("a.mp4", "a.webm", "a.gif", "a.apng", "a.npz"):
        (tmp_path / "b").mkdir(exist_ok=True)
        first, second = save(clip, tmp_path / name), save(clip, tmp_path / "b" / name)
        assert name == "a.webm" or first.read_bytes() == second.read_bytes(), name  # webm has a random number


def test_stream_gives_what_read_video_gives(tmp_path: Path, clip: Video) -> None:
    with stream(save(clip, tmp_path / "a.gif")) as frames:
        first = next(frames)
        rest = list(frames)
    assert np.array_equal(np.stack([first, *rest]), clip.frames)


def test_note_survives_odd_values_and_ignores_strangers() -> None:
    assert unpack(pack({"path": Path("x"), "n": 3})).provenance == {"synthetic": True, "path": "x", "n": 3}
    assert pack({}) == ""
    for text in ("", "hello", "{", '{"provenance": 3}', "[" * 10**5, '{"fps": "1/0"}', '{"a":' * 10**5, "{}"):
        assert unpack(text).provenance is None
    assert unpack('{"fps": "-3"}').fps is None


def test_npz_files_are_read_in_several_threads(tmp_path: Path) -> None:
    """Python 3.11 parses numpy's headers wrongly now and then when threads change places in the middle."""
    path = save(Video(np.zeros((2, 4, 4, 3), np.uint8), Fraction(8)), tmp_path / "clip.npz")

    def give_way(*_: object) -> None:
        time.sleep(0)

    before = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(7)
    gc.callbacks.append(give_way)
    sys.setswitchinterval(1e-7)
    try:
        with ThreadPoolExecutor(8) as pool:
            lengths = list(pool.map(lambda _: len(read_video(path).frames), range(3000)))
    finally:
        gc.callbacks.remove(give_way)
        gc.set_threshold(*before[0])
        sys.setswitchinterval(before[1])
    assert set(lengths) == {2}
