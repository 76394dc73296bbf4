"""Strips: clips whose frames stand side by side in one picture, in a folder for each category."""

from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import DataError, MediaError
from kinema.core.results import Image, Video
from kinema.data import check, open_clips
from kinema.data.strips import cut
from kinema.media import save


def strip(path: Path, *, frames: int = 32, side: int = 16, stacked: bool = False, level: int = 0) -> None:
    """Frame t is filled with 5·t + level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (np.arange(frames) * 5 + level).astype(np.uint8)
    clip = np.broadcast_to(values[:, None, None, None], (frames, side, side, 3))
    whole = clip.reshape(-1, side, 3) if stacked else clip.transpose(1, 0, 2, 3).reshape(side, -1, 3)
    save(Image(np.ascontiguousarray(whole)), path)


@pytest.fixture
def actions(tmp_path: Path) -> Path:
    for k in range(10):
        strip(tmp_path / ("walk" if k % 2 else "wave") / f"{k}.png", stacked=k % 3 == 0, level=k)
    return tmp_path


def test_a_strip_is_a_clip_and_its_folder_the_caption(actions: Path) -> None:
    clips = open_clips(actions, size=16, channels=3, split="all")
    assert len(clips) == 10
    assert clips.captions == ["walk", "wave"]
    batch = clips.batch(range(10))
    assert batch["video"].shape == (10, 3, 16, 16, 16)
    assert batch["caption"] == ["walk"] * 5 + ["wave"] * 5
    first = clips.pixels([0])[0]  # walk/1.png, 16 of 32 frames evenly, both ends
    wanted = np.rint(np.linspace(0, 31, 16)).astype(int) * 5 + 1
    assert np.array_equal(first, np.broadcast_to(wanted[:, None, None, None], first.shape))
    stacked = clips.pixels([1])[0]  # walk/3.png
    assert np.array_equal(stacked[:, 0, 0, 0], wanted + 2)


def test_every_second_frame_from_any_start(actions: Path) -> None:
    clips = open_clips(actions, size=16, channels=3, frame_steps=(2,))
    shown = clips.pixels(range(64))[:, :, 0, 0, 0].astype(int)
    assert (np.diff(shown) == 10).all()
    assert {int(row[0]) % 5 for row in shown} <= set(range(5))


def test_strips_need_no_categories(tmp_path: Path) -> None:
    for k in range(3):
        strip(tmp_path / f"{k}.png", frames=16)
    clips = open_clips(tmp_path, size=16, channels=3, split="all", captions=False)
    assert clips.batch([0])["caption"] == [""]
    with pytest.raises(DataError, match="no captions"):
        open_clips(tmp_path, size=16, channels=3, split="all")


def test_a_list_says_more_than_the_folders(actions: Path) -> None:
    rows = ["file_name,text", *(f"walk/{k}.png,thing {k}" for k in (1, 3, 5))]
    (actions / "metadata.csv").write_text("\n".join(rows))
    assert open_clips(actions, size=16, channels=3, split="all").captions == ["thing 1", "thing 3", "thing 5"]


def test_the_check_names_what_is_no_strip_or_too_short(actions: Path) -> None:
    good = check(actions, size=16, channels=3, frame_steps=(2,))
    assert good.ok
    assert (good.clips, good.sizes, good.lengths, good.captions) == (10, {"16x16": 10}, {32: 10}, 2)
    strip(actions / "wave" / "short.png", frames=8)
    save(Image(np.zeros((16, 70, 3), np.uint8)), actions / "wave" / "odd.png")
    (actions / "wave" / "torn.png").write_bytes((actions / "wave" / "0.png").read_bytes()[:60])
    report = check(actions, size=16, channels=3)
    assert not report.ok
    reasons = {problem.file: problem.reason for problem in report.problems}
    assert set(reasons) == {"wave/odd.png", "wave/short.png", "wave/torn.png"}
    assert "70x16, which is no row of squares" in reasons["wave/odd.png"]
    assert reasons["wave/short.png"] == "has 8 frames; 16 are needed"


def test_folders_of_frames_stay_clips(tmp_path: Path) -> None:
    for k in range(2):
        for t in range(16):
            (tmp_path / str(k)).mkdir(exist_ok=True)
            save(Image(np.full((16, 32, 3), 9 * t, np.uint8)), tmp_path / str(k) / f"{t:02d}.png")
    assert len(open_clips(tmp_path, size=16, channels=3, split="all", captions=False)) == 2


def test_a_long_picture_among_clips_is_no_strip(actions: Path) -> None:
    save(Video(np.zeros((16, 16, 16, 3), np.uint8)), actions / "a.npz")
    found = check(actions, size=16, channels=3, captions=False)
    assert {problem.file for problem in found.problems} == {"walk", "wave"}  # folders of frames of their own
    assert found.clips == 1


def test_only_whole_squares_are_cut() -> None:
    assert [frame.shape for frame in cut(Path("a.png"), np.zeros((24, 8, 3), np.uint8))] == [(8, 8, 3)] * 3
    with pytest.raises(MediaError, match=r"'a.png' is 9x24"):
        cut(Path("a.png"), np.zeros((24, 9, 3), np.uint8))
