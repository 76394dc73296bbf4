"""Writing is all or nothing, needs the same memory for any length, and says what is in its way."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Batch, Image, Result, Video
from kinema.media import Writer, check_sheet, read_image, read_provenance, read_video, save, stream

from .conftest import moving_square, write_clip

CLIPS = ["a.mp4", "a.mov", "a.webm", "a.gif", "a.apng", "a.npz", "folder"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What a full disk does, without one: writing beyond `size` bytes of a file fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def noise(frames: int = 8, side: int = 64) -> Video:
    return Video(np.random.default_rng(0).integers(0, 256, (frames, side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", [*CLIPS, "a.png", "a.jpg"])
@pytest.mark.parametrize("size", [0, 3000, 9000])
def test_full_disk_leaves_the_old_file_and_no_rubbish(tmp_path: Path, name: str, size: int) -> None:
    old = save(Video(moving_square(2, 16, 16), provenance={"n": 1}), tmp_path / name)
    with files_of_at_most(size), pytest.raises(MediaError, match="disk is full"):
        save(noise(), tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert read_provenance(old)["n"] == 1


def test_full_disk_at_the_very_end(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webm", "a.gif", "a.apng", "a.npz"):
        size = save(noise(), tmp_path / name).stat().st_size
        for missing in (1, 20, 300):
            with files_of_at_most(size - missing), pytest.raises(MediaError, match="disk is full"):
                save(noise(), tmp_path / name)


def test_folder_that_cannot_be_written(tmp_path: Path, clip: Video) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("a.mp4", "a.gif", "a.png", "sub"):
        with pytest.raises(MediaError, match="cannot be written"):
            save(clip, tmp_path / "file" / name)
    script = (
        "import os, sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from kinema.core.results import Video\n"
        "from kinema.core.errors import MediaError\n"
        "from kinema.media import save\n"
        "names, clip = ('a.mp4', 'a.gif', 'a.npz', 'a.png', 'sub'), Video(np.zeros((2, 8, 8, 3), np.uint8))\n"
        "for name in names: save(clip, Path(sys.argv[2]) / name)\n"  # all imports happen now
        "os.geteuid() or os.setuid(65534)\n"  # root may write anywhere
        "for name in names:\n"
        "    try: save(clip, Path(sys.argv[1]) / name)\n"
        "    except MediaError as error: print(error)\n"
    )
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    done = subprocess.run(
        [sys.executable, "-c", script, str(locked), str(tmp_path / "open")],
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("its folder is not writable. Choose another one.") == 5, done.stderr
    assert not list(locked.iterdir())


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    for name in CLIPS:
        with pytest.raises(KeyError), Writer(tmp_path / name, 8, 64, 48) as out:  # noqa: PT012
            out.write(moving_square(1)[0])
            raise KeyError
        with pytest.raises(MediaError, match="no frame was given"), Writer(tmp_path / name, 8, 64, 48):
            pass
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_only_if_all_in_it_is_ours(tmp_path: Path) -> None:
    path = save(Video(moving_square(9)), tmp_path / "out")
    save(Video(moving_square(4)), path)
    assert len(read_video(path).frames) == 4
    save(Batch([Video(moving_square(4))], ["a ."]), path)
    assert (path / "000.mp4").exists()
    (path / "holiday.jpg").write_text("mine")
    for result in (Video(moving_square(4)), Batch([Video(moving_square(4))])):
        with pytest.raises(MediaError, match=r"holiday\.jpg"):
            save(result, path)
    assert (path / "holiday.jpg").read_text() == "mine"
    assert (path / "000.mp4").exists()
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(MediaError, match="is a file"):
        save(Video(moving_square(4)), tmp_path / "taken")
    (tmp_path / "empty").mkdir()
    assert len(read_video(save(Video(moving_square(4)), tmp_path / "empty")).frames) == 4
    with pytest.raises(MediaError, match="cannot be written"):
        save(
            Video(moving_square(2)), save(Video(moving_square(2)), tmp_path / "f").rename(tmp_path / "f.mp4")
        )


@pytest.mark.parametrize(
    ("result", "name", "match"),
    [
        (Video(moving_square(2)), "a.txt", "ends in '.txt'"),
        (Image(moving_square(1)[0]), "a.mp4", "a picture is written as .png"),
        (Video(np.zeros((0, 8, 8, 3), np.uint8)), "a.mp4", r"expected \(T, H, W, 3\)"),
        (Video(np.zeros((8, 8, 3), np.uint8)), "a.mp4", r"expected \(T, H, W, 3\)"),
        (Video(np.zeros((0, 8, 8, 3), np.uint8)), "a.png", "expected"),
        (Video(np.zeros((2, 8, 8, 3), np.float32)), "a.mp4", "float32"),
        (Image(np.zeros((8, 8), np.uint8)), "a.png", r"expected uint8 \(H, W, 3\)"),
        (Image(np.zeros((1, 70_000, 3), np.uint8)), "a.jpg", "65,535"),
        (Image(np.zeros((8, 8, 3), np.uint8), provenance={"a": "x" * 70_000}), "a.jpg", "choose png"),
        (Batch([]), "a.mp4", "no clips"),
        (Result(), "a.mp4", "expected Image, Video or Batch"),
        (Video(moving_square(2), Fraction(60)), "a.gif", "at most 50"),
        (Video(moving_square(2), Fraction(0)), "a.mp4", "expected 1/1000 to 1000"),
        (Video(moving_square(2), Fraction(2000)), "a.mp4", "expected 1/1000 to 1000"),
        (Video(np.zeros((1, 1, 20_000, 3), np.uint8)), "a.mp4", "16,384"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, result: Result, name: str, match: str) -> None:
    with pytest.raises(MediaError, match=match):
        save(result, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("clips", [2, 3, 5, 12])
@pytest.mark.parametrize(("name", "limit"), [("a.gif", "MOST_SIDE"), ("a.jpg", "MOST_JPEG_SIDE")])
def test_a_sheet_is_refused_by_the_size_that_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: str, clips: int
) -> None:
    clip = noise(3, 16)
    if name == "a.gif":
        side = max(Batch([clip] * clips).sheet().frames.shape[1:3])
    else:
        save(Batch([clip] * clips), tmp_path / name)
        side = max(read_image(tmp_path / name).pixels.shape[:2])
    monkeypatch.setattr(f"kinema.media.write.{limit}", side)
    check_sheet(Path(name), clips, 3, 16, 16)
    monkeypatch.setattr(f"kinema.media.write.{limit}", side - 1)
    with pytest.raises(UsageError, match=f"{clips} clips make a sheet of .* name a folder"):
        check_sheet(Path(name), clips, 3, 16, 16)
    check_sheet(Path("folder"), clips, 3, 16, 16)
    check_sheet(Path(name), 1, 3, 16, 16)


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="frame 1"), Writer(tmp_path / "a.mp4", 8, 64, 48) as out:  # noqa: PT012
        out.write(moving_square(1)[0])
        out.write(moving_square(1, 48, 66)[0])
    assert not list(tmp_path.iterdir())


PEAK = """
import resource, sys
import numpy as np
from kinema.media import Writer, stream
name, frames = sys.argv[1], int(sys.argv[2])
ramp = np.arange(128 * 128 * 3, dtype=np.uint32).reshape(128, 128, 3)
for length in (frames, 3 * frames):
    with Writer(f"{length}{name}", 25, 128, 128) as out:
        for t in range(length):
            out.write((ramp // 97 + 3 * t).astype(np.uint8) & 0xF0)
    with stream(f"{length}{name}") as clip:
        assert sum(1 for _ in clip) == length
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.apng", "a.npz", "folder"])
def test_peak_memory_does_not_grow_with_length(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, name, "100"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path("src").absolute())},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    short, long = map(int, done.stdout.split())
    assert long - short < 4_000  # kB; 200 frames more are 9,800 kB of pixels


def test_streaming_a_long_clip_holds_one_frame_at_a_time(tmp_path: Path) -> None:
    import tracemalloc

    path = write_clip(tmp_path / "a.npz", np.zeros((400, 64, 64, 3), np.uint8))
    tracemalloc.start()
    with stream(path) as frames:
        assert sum(1 for _ in frames) == 400
    assert tracemalloc.get_traced_memory()[1] < 1_000_000  # of 4.9 MB decoded
    tracemalloc.stop()


def test_importing_the_room_is_light() -> None:
    code = "import sys, kinema.media; print([m for m in ('av', 'PIL', 'torch') if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
