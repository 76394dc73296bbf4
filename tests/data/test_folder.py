"""Folders of clips: what is read, how it is prepared, and what happens to what cannot be read."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from kinema.core.errors import DataError, UsageError
from kinema.core.results import Video
from kinema.data import FolderClips, check, meaning, open_clips
from kinema.data.prepare import fit
from kinema.media import save

Clip = Callable[..., Path]
Folder = Callable[..., Path]


def metadata(folder: Path, rows: list[dict[str, object]]) -> Path:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("name", ["a.npz", "a.mp4", "a.gif", "a.webm", "a.apng", "a"])
def test_every_kind_of_clip_is_read(name: str, tmp_path: Path, clip: Clip) -> None:
    clip(name)
    clip("b.npz")
    metadata(tmp_path, [{"file_name": name, "text": "one ."}, {"file_name": "b.npz", "caption": "two ."}])
    clips = open_clips(tmp_path, size=16, split="all")
    np.testing.assert_allclose(clips.pixels([0])[0, :, 8, 8, 0], np.arange(16) * 10, atol=4)
    assert clips.batch([0])["caption"] == ["one ."]


def test_a_batch_is_what_the_contract_says(folder: Folder) -> None:
    clips = open_clips(folder(20), size=16, frames=8, channels=3, split="all")
    batch = clips.batch([3, 0])
    assert batch["video"].shape == (2, 3, 8, 16, 16)
    assert batch["video"].dtype == torch.float32
    assert batch["video"].is_contiguous()
    assert batch["caption"] == ["thing 3 moves .", "thing 0 moves ."]
    assert batch["index"].tolist() == [3, 0]
    torch.testing.assert_close(batch["video"][0, :, 0], torch.full((3, 16, 16), 3 / 127.5 - 1))
    assert torch.equal(clips.batch([0])["video"][0], batch["video"][1])
    assert clips.batch([0])["wrong"][0] == batch["wrong"][1]


def test_longer_clips_are_sampled_evenly_with_both_ends(tmp_path: Path, clip: Clip) -> None:
    clip("a.npz", frames=22)
    clip("b.npz", frames=8)
    metadata(tmp_path, [{"file_name": "a.npz", "text": "one"}, {"file_name": "b.npz", "text": "two"}])
    shown = open_clips(tmp_path, size=32, frames=8, split="all").pixels([0, 1])[:, :, 0, 0, 0] // 10
    assert shown.tolist() == [[0, 3, 6, 9, 12, 15, 18, 21], list(range(8))]


def test_frame_steps_show_windows_of_every_nth_frame(tmp_path: Path, clip: Clip) -> None:
    for k in range(10):
        clip(f"{k}.npz", frames=22)
    settings = {"size": 32, "frames": 8, "captions": False, "frame_steps": (2, 3)}
    train = open_clips(tmp_path, split="train", **settings)
    assert len(train) == 9 * 32
    shown = train.pixels(range(len(train)))[:, :, 0, 0, 0].astype(int) // 10  # (items, frames): which frame
    steps = shown[:, 1] - shown[:, 0]
    assert (np.diff(shown) == steps[:, None]).all()
    assert set(shown[steps == 2, 0]) == set(range(8))  # all starts that fit
    assert set(shown[steps == 3, 0]) == {0}
    assert 0.4 < (steps == 2).mean() < 0.6
    assert np.array_equal(train.pixels([5, 40]), train.pixels([40, 5])[::-1])
    small = FolderClips(tmp_path, split="train", memory_bytes=0, **settings)
    assert np.array_equal(small.pixels(range(12)), train.pixels(range(12)))
    held = open_clips(tmp_path, split="val", **settings)
    assert len(held) == 1
    assert held.pixels([0])[0, :, 0, 0, 0].tolist() == [10 * k for k in range(0, 22, 3)]  # the middle
    assert held.hash != open_clips(tmp_path, split="val", **settings | {"frame_steps": ()}).hash


def test_clips_too_short_for_frame_steps_are_named(tmp_path: Path, clip: Clip) -> None:
    clip("long.npz", frames=15)
    clip("short.npz", frames=14)
    settings = {"size": 16, "frames": 8, "captions": False, "frame_steps": (2, 3)}
    with pytest.raises(DataError, match=r"short.npz: has 14 frames; 15 are needed \(8, 2 apart\)"):
        open_clips(tmp_path, split="all", **settings)
    report = check(tmp_path, **settings)
    assert not report.ok
    assert report.problems == [("short.npz", "has 14 frames; 15 are needed (8, 2 apart)")]
    assert any("fewer than 15 frames" in line and "frame_steps=1" in line for line in report.advice)
    with pytest.raises(UsageError, match="frame_steps are at least 1, not 0"):
        open_clips(tmp_path, **settings | {"frame_steps": (0,)})


def test_mixed_sizes_are_cropped_to_the_middle_averaged_and_reported(
    tmp_path: Path, clip: Clip, caplog: pytest.LogCaptureFixture
) -> None:
    frames = np.zeros((16, 40, 80, 3), np.uint8)
    frames[:, :20, 20:60] = 200  # upper half of the middle square
    frames[:, :, :20] = frames[:, :, 60:] = 77  # outside of it
    save(Video(frames, Fraction(8)), tmp_path / "wide.npz")
    clip("square.npz")
    metadata(tmp_path, [{"file_name": f"{n}.npz", "text": n} for n in ("wide", "square")])
    with caplog.at_level("INFO", "kinema"):
        clips = open_clips(tmp_path, size=8, split="all")
    assert clips.pixels([0])[0, 0, :, :, 0].tolist() == [[200] * 8] * 4 + [[0] * 8] * 4
    assert "2 different sizes" in clips.describe
    assert "2 sizes" in caplog.text


def test_fitting_is_the_exact_area_mean_with_luma_weights() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    blocks = frame.repeat(2, 0).repeat(2, 1).reshape(8, 3, 8, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(fit(frame, 8, 3), blocks, atol=0.51)
    np.testing.assert_allclose(fit(frame, 8, 1)[..., 0], blocks @ [0.299, 0.587, 0.114], atol=0.51)
    grey = frame[..., :1].repeat(3, axis=2)
    np.testing.assert_array_equal(fit(grey, 12, 1), grey[..., :1])  # grey stays what it is


def test_every_sentence_of_a_clip_is_an_item_and_clips_come_before_second_sentences(
    tmp_path: Path, clip: Clip
) -> None:
    for name in "abc":
        clip(f"{name}.npz")
    rows = [{"file_name": "a.npz", "text": ["a dog runs .", "an animal runs ."]},
            {"file_name": "b.npz", "text": "a cat sits ."},
            {"file_name": "c.npz", "text": "a bird flies ."},
            {"file_name": "b.npz", "text": "a pet sits ."}]  # fmt: skip
    clips = open_clips(metadata(tmp_path, rows), size=16, split="all")
    assert clips.batch(range(len(clips)))["caption"] == [
        "a dog runs .", "a cat sits .", "a bird flies .", "an animal runs .", "a pet sits ."
    ]  # fmt: skip
    assert clips.captions == sorted(clips.batch(range(5))["caption"])


def test_wrong_captions_belong_to_another_clip_and_say_something_else(tmp_path: Path, clip: Clip) -> None:
    texts = ["digit 1 is moving up and down and digit 2 is moving left and right .",
             "digit 2 is moving left and right and digit 1 is moving up and down .",
             "A dog runs.", "a dog runs .", "a cat sits ."]  # fmt: skip
    for k in range(5):
        clip(f"{k}.npz")
    rows = [{"file_name": f"{k}.npz", "text": text} for k, text in enumerate(texts)]
    metadata(tmp_path, rows)
    drawn = set()
    for seed in range(20):
        batch = open_clips(tmp_path, size=8, split="all", seed=seed).batch(range(5))
        drawn |= set(zip(batch["caption"], batch["wrong"], strict=True))
    assert drawn == {(a, b) for a in texts for b in texts if meaning(a) != meaning(b)}


def test_a_tenth_is_kept_for_validation_unless_the_folder_says_which(tmp_path: Path, folder: Folder) -> None:
    where = folder(30)
    train, val, whole = (open_clips(where, size=8, split=s) for s in ("train", "val", "all"))
    assert (len(train), len(val), len(whole)) == (27, 3, 30)
    assert not set(train.captions) & set(val.captions)
    assert train.vocabulary == val.vocabulary == whole.vocabulary
    rows = [
        {"file_name": f"clip{k}.npz", "text": f"thing {k} .", "split": "test" if k < 4 else "train"}
        for k in range(30)
    ]
    assert len(open_clips(metadata(tmp_path, rows), size=8, split="val")) == 4
    metadata(tmp_path, [row | {"split": "train"} for row in rows])
    with pytest.raises(DataError, match="no clips for split 'val'"):
        open_clips(tmp_path, size=8, split="val")


def test_swapped_directions_of_the_older_script_are_put_right(tmp_path: Path, clip: Clip) -> None:
    for name in ("a.npz", "b.npz"):
        clip(name)
    metadata(
        tmp_path,
        [{"file_name": f"{n}.npz", "text": f"digit {k} is moving up and down ."} for k, n in enumerate("ab")],
    )
    assert open_clips(tmp_path, size=8, split="all", swap_axes=True).captions == [
        "digit 0 is moving left and right .", "digit 1 is moving left and right ."
    ]  # fmt: skip


def test_clips_that_do_not_fit_into_memory_are_the_same(folder: Folder) -> None:
    where = folder(12)
    small = FolderClips(where, size=16, split="all", memory_bytes=0)
    large = FolderClips(where, size=16, split="all")
    assert torch.equal(small.batch([5, 1])["video"], large.batch([5, 1])["video"])
    assert small.hash == large.hash
    (where / "clip5.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"clip5.npz can no longer be read .*kinema data check"):
        small.batch([5])


def test_the_hash_follows_clips_captions_and_settings(folder: Folder, clip: Clip) -> None:
    where = folder(12)
    before = open_clips(where, size=8, split="all").hash
    assert open_clips(where, size=8, split="all").hash == before
    assert open_clips(where, size=16, split="all").hash != before
    clip("clip3.npz", level=99)
    assert open_clips(where, size=8, split="all").hash != before


def test_one_split_knows_the_hash_of_another(folder: Folder) -> None:
    where = folder(100)
    (where / "clip9.npz").write_bytes(b"")  # skipped
    train, val = (FolderClips(where, size=8, split=split) for split in ("train", "val"))
    assert len(train.problems) == 1
    assert val.split_hash("train") == train.hash != val.hash


def test_a_few_broken_clips_are_skipped_named_and_counted(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    where = folder(100)
    (where / "clip7.npz").write_bytes(b"PK\x03\x04 and no more")
    clips = open_clips(where, size=8, split="all")
    assert len(clips) == 99
    assert [file for file, _ in clips.problems] == ["clip7.npz"]  # type: ignore[attr-defined]
    assert "skipped clip7.npz" in caplog.text
    assert "1 skipped" in clips.describe


def test_more_than_one_broken_clip_in_a_hundred_stops(folder: Folder) -> None:
    where = folder(100)
    for k in (7, 8):
        (where / f"clip{k}.npz").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"2 of 100 clips .* cannot be used \(clip7.npz: .*; clip8.npz: .*kinema data check"
    ):
        open_clips(where, size=8, split="all")


def test_a_clip_shorter_than_asked_is_named_with_both_lengths(folder: Folder, clip: Clip) -> None:
    where = folder(5)
    clip("clip2.npz", frames=9)
    with pytest.raises(DataError, match=r"clip2.npz: has 9 frames; 16 are needed"):
        open_clips(where, size=8, split="all")
    assert len(open_clips(where, size=8, frames=9, split="all")) == 5


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"file_name": "none.npz", "text": "x"},
            r"none.npz: is named in metadata.jsonl line 6 but is not in the folder",
        ),
        ({"file_name": "../other/a.npz", "text": "x"}, "is not in the folder"),
        ({"file_name": "/etc/passwd", "text": "x"}, "is not in the folder"),
        ({"text": "x"}, r"metadata.jsonl line 6: names no file"),
        (
            {"file_name": "clip0.npz", "text": "x", "split": "tset"},
            "has the split 'tset'; expected train or val",
        ),
    ],
)
def test_rows_that_cannot_be_used_are_named(row: dict[str, str], reason: str, folder: Folder) -> None:
    with pytest.raises(DataError, match=reason):
        open_clips(folder(5, [row]), size=8, split="all")


def test_a_line_that_is_not_json_is_named(folder: Folder) -> None:
    where = folder(5)
    for line, reason in (("{broken", "line 6: is not JSON"), ("[1]", "line 6: is not a JSON object")):
        text = "\n".join((where / "metadata.jsonl").read_text().splitlines()[:5])
        (where / "metadata.jsonl").write_text(f"{text}\n{line}\n")
        with pytest.raises(DataError, match=reason):
            open_clips(where, size=8, split="all")


def test_a_clip_without_caption_among_others_is_named(folder: Folder, clip: Clip) -> None:
    clip("bare.npz")
    where = folder(5, [{"file_name": "bare.npz", "text": ["", 3]}])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"bare.npz: has no caption"):
        open_clips(where, size=8, split="all")
    assert open_clips(where, size=8, split="all", captions=False).batch([5])["caption"] == [""]


def test_folders_that_hold_nothing_useful(tmp_path: Path, folder: Folder) -> None:
    with pytest.raises(DataError, match=r"the folder '.*none' does not exist"):
        open_clips(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty' holds no clips; expected mp4"):
        open_clips(tmp_path / "empty")
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(DataError, match="is a file; give the folder"):
        open_clips(tmp_path / "file.txt")
    bare = folder(4, captions=False)
    (bare / "metadata.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"metadata.jsonl' names no clips"):
        open_clips(bare)
    (bare / "metadata.jsonl").unlink()
    with pytest.raises(DataError, match=r'has clips but no captions; write a metadata.jsonl .*"file_name"'):
        open_clips(bare, size=8)
    assert len(open_clips(bare, size=8, captions=False, split="all")) == 4


def test_captions_that_all_say_the_same_are_refused(tmp_path: Path, clip: Clip) -> None:
    for name in ("a.npz", "b.npz"):
        clip(name)
    metadata(
        tmp_path, [{"file_name": "a.npz", "text": "It moves."}, {"file_name": "b.npz", "text": "it moves ."}]
    )
    with pytest.raises(DataError, match="all say the same; at least two must differ"):
        open_clips(tmp_path, size=8, split="all")
