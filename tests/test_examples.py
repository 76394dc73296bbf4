"""Every example runs as it stands, is short, and prints what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def run(path: Path, where: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(path)], cwd=where, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 60


def test_a_photo_begins_to_move_as_it_says(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "photo_to_timelapse.py", tmp_path)
    psnr = dict(re.findall(r"(.+): PSNR ([\d.]+) dB", said))
    assert float(psnr["md-gan"]) > float(psnr["copy of the first frame"]) + 0.5
    assert float(re.findall(r"md-gan: direction right in ([\d.]+)", said)[0]) >= 0.8
    assert "(16, 256, 384, 3)" in said
    assert (tmp_path / "sky.mp4").stat().st_size > 0


def test_a_caption_says_where_the_digit_goes(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "caption_to_video.py", tmp_path)
    (across, down), (across_2, down_2) = re.findall(r"(\d+) px across, (\d+) px down", said)
    assert int(across) > 3 * int(down)
    assert int(down_2) > 3 * int(across_2)
    assert (tmp_path / "threes.gif").stat().st_size > 0
    assert "digit 7 is moving left and right ." in said


def test_rows_keep_an_appearance_and_columns_a_motion(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "appearance_and_motion.py", tmp_path)
    assert "the diagonal of the grid is the clips of the seed: True" in said
    assert "frames: [16, 20, 32]" in said
    assert all((tmp_path / name).stat().st_size > 0 for name in ("grid.gif", "longer.gif", "walk.gif"))


def test_a_recurrent_net_goes_on(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "content_and_motion.py", tmp_path)
    assert "frames: 16 48" in said
    assert "the longer clip begins as the shorter one: True" in said
    short, longer = map(float, re.findall(r"'([\d.]+)'", said))
    assert longer > 0.5 * short > 0  # it does not come to rest
    assert all((tmp_path / name).stat().st_size > 0 for name in ("contents.gif", "longer.gif"))


def test_parts_add_up_to_the_clip(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "foreground_and_background.py", tmp_path)
    assert "the background stands still: True" in said
    assert float(re.findall(r"add up to: ([\d.]+)", said)[0]) < 0.02


def test_a_walk_goes_from_clip_to_clip(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "from_clip_to_clip.py", tmp_path)
    assert "begins and ends at the clips of the seed: True" in said
    far, step = map(float, re.findall(r"are ([\d.]+) levels .* is ([\d.]+)", said)[0])
    assert 0 < step < far


def test_calibration_wins_back_what_another_norm_loses(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "another_norm.py", tmp_path)
    before, raw, calibrated = map(float, re.findall(r"error ([\d.]+)", said))
    assert before < 0.15
    assert raw - calibrated > 0.5 * (raw - before) > 0


def test_a_class_becomes_pictures(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "class_to_picture.py", tmp_path)
    assert "pictures of the sheet: 40 in rows of 4" in said
    assert "a picture depends on its own class and noise: True" in said
    assert "rows of truncations: 3" in said
    assert "frames of the walk: 8" in said
    assert "with the map beside it a picture is 64 pixels wide" in said
    names = ("classes.png", "truncations.png", "walk.gif", "looks.png")
    assert all((tmp_path / name).stat().st_size > 0 for name in names)


def test_a_face_follows_its_units(tmp_path: Path) -> None:
    said = run(Path(__file__).parents[1] / "examples" / "face_follows_units.py", tmp_path)
    read = re.findall(r"read ([\d.]+) before, ([\d.]+) after", said)
    assert len(read) == 3
    assert all(float(after) > float(before) + 0.2 for before, after in read)
    assert (tmp_path / "units.png").stat().st_size > 0
