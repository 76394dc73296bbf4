"""`make` writes what `open_clips` reads back; `check` says what training would meet."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kinema.core.errors import DataError, UsageError
from kinema.data import MovingDigits, check, make, open_clips
from kinema.media import read_provenance

Clip = Callable[..., Path]
Folder = Callable[..., Path]


@pytest.mark.parametrize("format", ["npz", "gif"])
@pytest.mark.parametrize("name", ["sbmg", "tbmg:holdout"])
def test_made_clips_read_back_exactly(name: str, format: str, tmp_path: Path) -> None:
    make(name, 12, tmp_path / "set", size=32, format=format, seed=3)
    for split, n in (("train", 10), ("val", 2)):
        read = open_clips(tmp_path / "set", size=32, split=split)
        scheme = "holdout" if "holdout" in name else "random"
        born = MovingDigits(n, 2 if "tbmg" in name else 1, size=32, split=split, scheme=scheme, seed=3)
        assert len(read) == n
        assert torch.equal(read.batch(range(n))["video"], born.batch(range(n))["video"])
        assert read.batch(range(n))["caption"] == born.batch(range(n))["caption"]


@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_lossy_formats_are_close(format: str, tmp_path: Path) -> None:
    make("sbmg", 2, tmp_path / "set", size=48, format=format, split="val")
    read, born = (
        open_clips(tmp_path / "set", split="all").pixels([0, 1]),
        MovingDigits(2, split="val").pixels([0, 1]),
    )
    assert np.abs(read.astype(float) - born).mean() < 3


def test_made_files_say_what_they_are(tmp_path: Path) -> None:
    make("sbmg", 1, tmp_path, size=16, split="val", seed=4)
    said = read_provenance(tmp_path / "val-000000.npz")
    assert said["synthetic"] is True
    assert (said["data"], said["split"], said["seed"], said["index"]) == ("sbmg", "val", 4, 0)


def test_make_refuses_to_mix_sets_and_unknown_requests(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(DataError, match="is not an empty folder"):
        make("sbmg", 2, tmp_path)
    with pytest.raises(UsageError, match="no procedural set is called 'sbmgg'; nearest: sbmg"):
        make("sbmgg", 2, tmp_path / "a")
    with pytest.raises(UsageError, match="one of npz, gif, mp4, webm, not 'avi'"):
        make("sbmg", 2, tmp_path / "a", format="avi")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least one clip, not 0"):
        make("sbmg", 0, tmp_path / "a")
    with pytest.raises(UsageError, match="and a frame, not 64 and 0"):
        make("skies", 2, tmp_path / "a", frames=0)
    with pytest.raises(UsageError, match="split is one of train, val, all"):
        make("sbmg", 2, tmp_path / "a", split="test")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="cannot be written"):
        make("sbmg", 2, tmp_path / "mine.txt" / "a")


def test_a_good_folder_passes_with_its_counts(folder: Folder) -> None:
    clips = folder(5)
    report = check(clips, size=32)
    assert report.ok
    assert (report.clips, report.captions, report.words) == (5, 5, 8)
    assert (report.sizes, report.lengths, report.problems) == ({"32x32": 5}, {16: 5}, [])
    assert any("5 clips are few" in line for line in report.advice)
    assert any("words occur once" in line for line in report.advice)
    unread = check(clips, captions=False)  # for systems that read none
    assert (unread.captions, unread.words) == (0, 0)
    assert not any("words" in line for line in unread.advice)


def test_everything_wrong_is_listed_at_once(folder: Folder, clip: Clip) -> None:
    clip("short.npz", frames=9)
    clip("wide.npz", width=64)
    clip("long.npz", frames=80)
    clip("bare.npz")
    rows = [{"file_name": f"{n}.npz", "text": f"{n} ."} for n in ("short", "wide", "long", "gone")]
    where = folder(4, [*rows, {"file_name": "bare.npz"}])
    (where / "clip1.npz").write_bytes(b"")
    report = check(where, size=48)
    assert not report.ok
    assert dict(report.problems).keys() == {"short.npz", "gone.npz", "bare.npz", "clip1.npz"}
    assert dict(report.problems)["short.npz"] == "has 9 frames; 16 are needed"
    assert report.clips == 5
    assert report.lengths == {9: 1, 16: 5, 80: 1}
    assert report.advice[0] == "4 of 9 clips cannot be used: mend them or take them out of metadata.jsonl."
    for part in ("2 sizes", "smaller than 48x48", "fewer than 16 frames", "over 64 frames"):
        assert any(part in line for line in report.advice), part


def test_clips_that_the_list_does_not_name_are_counted(folder: Folder, clip: Clip) -> None:
    for k in range(4):
        clip(f"more{k}.npz")
    report = check(where := folder(5), size=32)
    assert report.ok
    some = "more0.npz, more1.npz, more2.npz, …"
    told = f"4 clips are not named in metadata.jsonl and will not be used ({some})."
    assert report.advice[0] == told
    (where / "metadata.jsonl").unlink()
    assert not any("not named" in line for line in check(where, captions=False).advice)


def test_a_clip_that_is_named_with_a_wrong_split_is_named(folder: Folder, clip: Clip) -> None:
    clip("odd.npz")
    report = check(folder(5, [{"file_name": "odd.npz", "text": "a .", "split": "both"}]), size=32)
    assert not any("not named" in line for line in report.advice)


def test_nothing_usable_is_not_called_few(folder: Folder) -> None:
    report = check(folder(2), size=32, frames=99)
    assert (report.ok, report.clips) == (False, 0)
    assert not any("are few" in line for line in report.advice)


def test_check_agrees_with_opening(folder: Folder) -> None:
    bare = folder(3, captions=False)
    report = check(bare)
    assert not report.ok
    assert "has clips but no captions" in report.advice[0]
    assert check(bare, captions=False).ok
    (bare / "metadata.jsonl").write_text(
        "".join(f'{{"file_name": "clip{k}.npz", "text": "same"}}\n' for k in range(3))
    )
    assert "all captions say the same" in check(bare).advice[0].lower()
    with pytest.raises(DataError, match="does not exist"):
        check(bare / "none")
