"""The Sky Time-lapse layout, and the cutting of one's own videos."""

import json
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import DataError, UsageError
from kinema.core.results import Image, Video
from kinema.data import TimeLapse, check, cut, open_clips
from kinema.media import save


def frame(level: int, height: int = 36, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def write_short(folder: Path, frames: int, base: int) -> None:
    """Pictures whose grey level is their number plus `base`."""
    folder.mkdir(parents=True)
    for k in range(frames):
        save(Image(frame(base + k)), folder / f"{folder.name}_frames_{k + 1:08d}.jpg")


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    root = tmp_path / "sky_timelapse"
    write_short(root / "sky_train" / "aaa" / "aaa_1", 13, 0)
    write_short(root / "sky_train" / "aaa" / "aaa_2", 3, 100)
    write_short(root / "sky_train" / "bbb" / "bbb_1", 4, 60)
    write_short(root / "sky_test" / "ccc" / "ccc_1", 9, 120)
    return root


def test_every_run_of_every_short_video_is_a_clip(sky: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="kinema"):
        clips = open_clips(sky, frames=4, size=32, channels=3)
    assert isinstance(clips, TimeLapse)
    assert len(clips) == 3 + 1
    levels = clips.pixels(range(4)).mean((2, 3, 4))
    np.testing.assert_allclose(levels, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [60, 61, 62, 63]], atol=1)
    assert [p.file for p in clips.problems] == ["sky_train/aaa/aaa_2"]
    assert "skipped 1 short videos with fewer than 4 frames" in caplog.text
    assert "4 clips of" in clips.describe
    assert "2 short videos, 1 shorter ones skipped" in clips.describe
    assert len(open_clips(sky, frames=4, size=32, channels=3, split="val")) == 2
    assert len(open_clips(sky, frames=4, size=32, channels=3, split="all")) == 6


def test_batches_are_what_systems_expect(sky: Path) -> None:
    clips = TimeLapse(sky, frames=4, size=32, memory_bytes=4 * 32 * 32 * 3)
    batch = clips.batch([3, 0])
    assert batch["video"].shape == (2, 3, 4, 32, 32)
    assert batch["video"][0].mean() > batch["video"][1].mean()
    assert batch["index"].tolist() == [3, 0]
    np.testing.assert_array_equal(clips.pixels([0]), clips.pixels([0]))  # decoded anew: only one is kept


def test_pictures_are_squashed_not_cropped(tmp_path: Path) -> None:
    wide = frame(0, 20, 80)
    wide[:, 60:] = 200
    folder = tmp_path / "sky_train" / "a" / "a_1"
    folder.mkdir(parents=True)
    for k in range(2):
        save(Image(wide), folder / f"{k}.png")
    clip = TimeLapse(tmp_path, frames=2, size=16).pixels([0])[0, 0]
    assert (clip[:, :12] == 0).all()
    assert (clip[:, 12:] == 200).all()


def test_a_neighbour_stands_for_a_truncated_picture(sky: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures = sorted((sky / "sky_train" / "bbb" / "bbb_1").iterdir())
    for k in (0, 2):
        pictures[k].write_bytes(pictures[k].read_bytes()[:300])
    clips = TimeLapse(sky, frames=4, size=32)
    with caplog.at_level(logging.WARNING, logger="kinema"):
        levels = clips.pixels([3]).mean((0, 2, 3, 4))
    np.testing.assert_allclose(levels, [61, 61, 61, 63], atol=1)
    assert caplog.text.count("stands for a broken one") == 2
    for picture in pictures:
        picture.write_bytes(b"")
    with pytest.raises(DataError, match="none of the 4 pictures from"):
        TimeLapse(sky, frames=4, size=32).pixels([3])


def test_the_hash_sees_files_and_settings(sky: Path) -> None:
    before = TimeLapse(sky, frames=4, size=32).hash
    assert before == TimeLapse(sky, frames=4, size=32).hash
    assert before != TimeLapse(sky, frames=4, size=64).hash
    write_short(sky / "sky_train" / "ddd" / "ddd_1", 4, 0)
    assert before != TimeLapse(sky, frames=4, size=32).hash


def test_folders_without_clips_are_explained(sky: Path) -> None:
    with pytest.raises(DataError, match="no short video with 32 frames in sky_train"):
        open_clips(sky, frames=32, size=32, channels=3)
    with pytest.raises(DataError, match="is one half of the set"):
        open_clips(sky / "sky_train", frames=4, size=32, channels=3)


def test_settings_that_a_timelapse_does_not_know_are_refused(sky: Path) -> None:
    for settings, said in (({"channels": 1}, "3 channels, not 1"), ({"frame_steps": (2,)}, "frame by frame")):
        with pytest.raises(UsageError, match=said):
            open_clips(sky, **{"frames": 4, "size": 16, "channels": 3} | settings)
    assert not check(sky, frames=4, captions=True).ok


def test_check_counts_what_training_would_see(sky: Path) -> None:
    report = check(sky, frames=4, size=32, channels=3, captions=False)
    assert (report.ok, report.clips, report.sizes) == (True, 6, {"64x36": 3})
    assert report.lengths == {3: 1, 4: 1, 9: 1, 13: 1}
    assert report.problems == [("sky_train/aaa/aaa_2", "has 3 frames; 4 are needed")]
    report = check(sky, frames=32, size=32, channels=3, captions=False)
    assert not report.ok
    assert report.advice[0].startswith("No short video has 32 frames")
    for path in (sky / "sky_test").rglob("*.jpg"):
        path.unlink()
    (sky / "sky_test/ccc/ccc_1").rmdir()
    assert any("sky_test is missing or empty" in line for line in check(sky, frames=4, captions=False).advice)


# ---- cutting ----


def film(path: Path, levels: list[int]) -> Path:
    return save(Video(np.stack([frame(level) for level in levels]), Fraction(25)), path)


def test_videos_become_clips_that_training_reads(tmp_path: Path) -> None:
    one = film(tmp_path / "one.npz", list(range(10)))
    two = film(tmp_path / "two.gif", list(range(100, 109)))
    report = cut([one, two], tmp_path / "out", frames=4, size=32)
    assert (report.clips, report.shots, report.lost, report.problems) == (4, 2, 3, [])
    train, held = (
        open_clips(tmp_path / "out", frames=4, size=32, channels=3, captions=False, split=split)
        for split in ("train", "val")
    )
    assert (len(train), len(held)) == (2, 2)
    np.testing.assert_allclose(train.pixels(range(2)).mean((2, 3, 4)), [[0, 1, 2, 3], [4, 5, 6, 7]], atol=1)
    rows = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    assert [(row["video"], row["first_frame"], row["split"]) for row in rows] == [
        ("one.npz", 0, "train"),
        ("one.npz", 4, "train"),
        ("two.gif", 0, "val"),
        ("two.gif", 4, "val"),
    ]


def test_no_clip_spans_two_shots(tmp_path: Path) -> None:
    levels = [10, 11, 12, 13, 14, 15, 150, 151, 152, 153, 40, 41]
    report = cut([film(tmp_path / "a.npz", levels)], tmp_path / "out", frames=4, size=16)
    assert (report.clips, report.shots, report.lost) == (2, 3, 4)
    rows = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    assert [row["first_frame"] for row in rows] == [0, 6]
    assert [row["split"] for row in rows] == ["train", "val"]
    whole = cut([tmp_path / "a.npz"], tmp_path / "all", frames=4, size=16, jump=1.0)
    assert (whole.clips, whole.shots) == (3, 1)


def test_footage_can_be_sped_up(tmp_path: Path) -> None:
    cut([film(tmp_path / "a.npz", list(range(16)))], tmp_path / "out", frames=4, size=16, every=3)
    clips = open_clips(tmp_path / "out", frames=4, size=16, channels=3, captions=False, split="train")
    np.testing.assert_allclose(clips.pixels([0]).mean((0, 2, 3, 4)), [0, 3, 6, 9], atol=1)


def test_what_gives_no_clip_is_named(tmp_path: Path) -> None:
    good, short = film(tmp_path / "good.npz", list(range(8))), film(tmp_path / "short.npz", [1, 2])
    (tmp_path / "words.mp4").write_text("no film")
    report = cut([good, short, tmp_path / "words.mp4"], tmp_path / "out", frames=4, size=16)
    assert report.clips == 2
    problems = {Path(problem.file).name: problem.reason for problem in report.problems}
    assert problems["short.npz"] == "its longest shot has 2 frames; 4 are needed"
    assert "words.mp4" in problems["words.mp4"]
    with pytest.raises(
        DataError, match=r"no clip of 4 frames could be cut .*short\.npz: its longest shot has 2"
    ):
        cut([short], tmp_path / "none", frames=4)
    with pytest.raises(DataError, match="is not an empty folder"):
        cut([good], tmp_path / "out", frames=4)
    with pytest.raises(UsageError, match="no video was given"):
        cut([], tmp_path / "x")
    with pytest.raises(UsageError, match="given: frames=0"):
        cut([good], tmp_path / "x", frames=0)
