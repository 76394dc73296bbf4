"""Pictures in folders of their classes and in packed files: found, decoded rightly, checked and packed."""

import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from kinema.core.errors import DataError, UsageError
from kinema.data import check_pictures, make, open_pictures
from kinema.data.mirrored import SHAPES, mirrored
from kinema.data.picture_folder import decoded, listed, pack, read_folder, unpacked
from kinema.media.chunks import png_chunk

Folder = Callable[..., Path]
RED = np.zeros((8, 8, 3), np.uint8)
RED[:, :4] = (220, 30, 10)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write pictures: folder(**{"cat": 3, "train/dog": 2}); each has its own colour."""

    def write(side: int = 8, **counts: int) -> Path:
        where = tmp_path / "set"
        for name, count in counts.items():
            (where / name).mkdir(parents=True, exist_ok=True)
            for k in range(count):
                Pillow.new("RGB", (side, side), (k, zlib.crc32(name.encode()) % 256, 9)).save(
                    where / name / f"{k:03d}.png"
                )
        return where

    return write


def test_a_tenth_of_each_class_is_held_out(folder: Folder) -> None:
    where = folder(cat=40, dog=12, ant=2)
    sets = {split: open_pictures(where, size=8, split=split) for split in ("train", "val", "all")}
    assert sets["train"].captions == sets["val"].captions == ["ant", "cat", "dog"]
    assert np.bincount(sets["val"].labels).tolist() == [1, 4, 1]
    assert np.bincount(sets["train"].labels).tolist() == [1, 36, 11]
    seen = [{bytes(p) for p in sets[split].pixels(range(len(sets[split])))} for split in ("train", "val")]
    assert not seen[0] & seen[1]
    assert len(sets["all"]) == 54
    assert sets["train"].describe == f"48 pictures of '{where}' as 8×8×3, split train, 3 classes."


def test_the_folder_may_say_which_are_for_validation(folder: Folder) -> None:
    where = folder(**{"train/cat": 3, "Train/dog": 2, "test/cat": 1, "val/dog/deep": 2})
    train, val = (open_pictures(where, size=8, split=split) for split in ("train", "val"))
    assert [train.captions[k] for k in train.labels] == ["dog", "dog", "cat", "cat", "cat"]
    assert np.bincount(val.labels).tolist() == [1, 2]


def test_a_class_may_be_called_train(folder: Folder) -> None:
    assert open_pictures(folder(train=3, plane=3), size=8).captions == ["plane", "train"]


def test_what_lies_elsewhere_is_not_taken(folder: Folder) -> None:
    where = folder(**{"cat": 3, "dog": 3, ".hidden/cat": 2})
    Pillow.new("RGB", (8, 8)).save(where / "loose.png")
    (where / "cat" / "notes.txt").write_text("mine")
    found = listed(where)
    assert len(found.pictures) == 6
    assert (found.loose, found.unread) == (["loose.png"], ["cat/notes.txt"])


def png16(pixels: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16 bits a sample, which Pillow cannot write in colour."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize(
    "kind", ["cmyk.jpg", "rgb16.png", "rgba16.png", "palette.png", "still.webp", "upright.jpg"]
)
def test_every_kind_of_picture_is_read_rightly(kind: str, tmp_path: Path) -> None:
    path, deep = tmp_path / kind, RED.astype(np.uint16) * 257
    picture = Pillow.fromarray(RED)
    if kind == "cmyk.jpg":
        picture.convert("CMYK").save(path, quality=100)
    elif kind == "rgb16.png":
        path.write_bytes(png16(deep, 2))
    elif kind == "rgba16.png":  # the right half is see-through, and so black
        deep = np.concatenate([np.full_like(deep, deep[0, 0]), 65535 * (deep[..., :1] > 9000)], 2)
        path.write_bytes(png16(deep, 6))
    elif kind == "palette.png":
        picture.quantize(4).save(path)
    elif kind == "still.webp":
        picture.save(path, lossless=True)
    else:
        turned = Pillow.Exif()
        turned[0x0112] = 6  # stored on its side
        picture.rotate(90).save(path, quality=100, subsampling=0, exif=turned)
    pixels, seen, reason = decoded(path, 8, 3)
    assert pixels is not None, reason
    assert seen == (8, 8, 1)
    assert np.abs(pixels.astype(int) - RED).max() <= 12


def test_grey_of_16_bits_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8, 1) * 4
    (tmp_path / "a.png").write_bytes(png16(ramp.astype(np.uint16) * 257, 0))
    assert np.array_equal(decoded(tmp_path / "a.png", 8, 1)[0], ramp)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_animations_are_named(suffix: str, tmp_path: Path) -> None:
    frames = [Pillow.new("RGB", (8, 8), (80 * k, 0, 0)) for k in range(3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], duration=100)
    assert "is an animation of 3 frames, not one picture" in decoded(tmp_path / f"a{suffix}", 8, 3)[2]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_broken_pictures_are_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    for content, why in (
        (whole[: len(whole) // 2], "truncated"),
        (b"", "is empty"),
        (b"text", "nothing that"),
    ):
        path.write_bytes(content)
        pixels, _, reason = decoded(path, 8, 3)
        assert pixels is None
        assert why in reason


def test_some_broken_pictures_are_skipped_and_many_stop(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    where = folder(cat=120, dog=120)
    chosen = [p for p in listed(where).pictures if not p.val]
    for picture in chosen[:2]:
        picture.path.write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING, "kinema"):
        found = open_pictures(where, size=8)
    assert len(found) == len(chosen) - 2
    assert found.describe.endswith("2 classes, 2 skipped.")
    assert chosen[0].name in caplog.text
    chosen[2].path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"3 of 216 pictures .* cannot be used \(cat/"):
        open_pictures(where, size=8)
    report = check_pictures(where, size=8)
    assert not report.ok
    assert report.advice[0] == "3 of 216 pictures for training cannot be used: mend or remove them."
    assert [p.file for p in report.problems] == [p.name for p in chosen[:3]]


def test_the_check_counts_and_advises(folder: Folder) -> None:
    where = folder(cat=80, dog=5)
    Pillow.new("RGB", (30, 20)).save(where / "cat" / "wide.png")
    Pillow.new("RGB", (9, 9)).save(where / "loose.png")
    (where / "dog" / "x.gif").write_bytes(b"GIF89a")
    report = check_pictures(where, size=16)
    assert report.ok
    assert (report.pictures, report.problems) == (86, [])
    assert report.classes == {"cat": {"train": 73, "val": 8}, "dog": {"train": 4, "val": 1}}
    assert report.sizes == {"8x8": 85, "30x20": 1}
    for part in (
        "1 pictures lie in no folder of a class (loose.png)",
        "1 files are not png, jpg, webp or bmp (dog/x.gif)",
        "1 classes have fewer than 50 pictures to train on (dog)",
        "cat has 73 pictures and dog 4",
        "the middle square of each becomes 16x16",
        "85 pictures are smaller than 16x16",
    ):
        assert any(part in line for line in report.advice), part


def test_a_good_folder_gets_no_advice(folder: Folder) -> None:
    assert check_pictures(folder(cat=60, dog=70), size=8).advice == []


def test_one_class_and_untaught_classes_stop(folder: Folder) -> None:
    where = folder(cat=60)
    report = check_pictures(where, size=8)
    assert not report.ok
    assert "one class only" in report.advice[0]
    assert check_pictures(where, size=8, conditional=False).ok
    where = folder(**{"train/cat": 2, "val/dog": 2})
    report = check_pictures(where, size=8)
    assert not report.ok
    assert "No pictures to train on of dog." in report.advice
    with pytest.raises(DataError, match="no pictures to train on of dog"):
        open_pictures(where, size=8)


def test_packed_pictures_are_those_of_the_folder(folder: Folder, tmp_path: Path) -> None:
    where, file = folder(16, cat=12, dog=20), tmp_path / "new" / "set.npz"
    pack(read_folder(where, 8, 3, "train"), read_folder(where, 8, 3, "val"), file)
    for split in ("train", "val"):
        a, b = (open_pictures(place, size=8, split=split) for place in (where, file))
        assert a.hash == b.hash
        assert a.captions == b.captions
    report = check_pictures(file, size=8)
    assert report.ok
    assert report.classes == check_pictures(where, size=8).classes
    assert report.sizes == {"8x8": 32}
    assert open_pictures(file, size=4, channels=1).batch([0])["image"].shape == (1, 1, 4, 4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pixels": None}, "pixels is not a file"),
        ({"labels": None}, "labels is not a file"),
        ({"pixels": np.zeros((4, 8, 8, 3), np.float32)}, "not float32"),
        ({"pixels": np.zeros((4, 8, 8, 4), np.uint8)}, r"not uint8 \(4, 8, 8, 4\)"),
        ({"pixels": np.zeros((0, 8, 8, 3), np.uint8)}, r"\(0, 8, 8, 3\)"),
        ({"labels": np.arange(3)}, "needs 4 whole numbers"),
        ({"labels": np.array([0, 1, 0, 0.5])}, "needs 4 whole numbers"),
        ({"labels": np.array([0, 1, 2, 0])}, "labels from 0 to 2 for 2 classes"),
        ({"labels": np.array([0, -1, 1, 0])}, "labels from -1 to 1"),
        ({"classes": np.array(["a", "a"])}, "of which 1 differ"),
        ({"classes": np.array(["a", None])}, "allow_pickle=False"),
        ({"val": np.ones(3, bool)}, "as many of val"),
        ({"val": np.ones(4, bool)}, "no pictures to train on of a, b"),
        ({"labels": np.zeros(4, int)}, "no pictures to train on of b"),
    ],
)
def test_packed_files_that_do_not_fit_together(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    parts = {"pixels": np.zeros((4, 8, 8, 3), np.uint8), "labels": np.arange(4) % 2, "classes": ["a", "b"]}
    parts = {name: part for name, part in (parts | change).items() if part is not None}
    np.savez(tmp_path / "a.npz", **parts)
    with pytest.raises(DataError, match=says):
        open_pictures(tmp_path / "a.npz", size=8)


def test_a_packed_file_that_is_cut_off_or_text(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", pixels=np.zeros((4, 8, 8, 3), np.uint8), labels=[0, 1, 0, 1], classes=["a", "b"]
    )
    whole = (tmp_path / "a.npz").read_bytes()
    for content in (b"text", b"", whole[:-30], whole[:300] + b"\xff" * 100 + whole[400:]):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as a packed set"):
            unpacked(tmp_path / "b.npz")


def test_made_pictures_are_those_of_the_set(tmp_path: Path) -> None:
    make("mirrored", 120, tmp_path / "set", size=32, seed=3)
    for split, n in (("train", 100), ("val", 20)):
        born, read = mirrored(n, 32, split, 3), open_pictures(tmp_path / "set", split=split)
        assert len(read) == n
        names = [read.captions[k] for k in read.labels]
        assert sorted(names) == sorted(SHAPES[k] for k in born.shapes)
        assert {bytes(p) for p in read.pixels(range(n))} == {bytes(p) for p in born.pixels}


def test_pictures_are_not_made_as_clips(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belong to clips"):
        make("mirrored", 2, tmp_path / "a", frames=4)
    with pytest.raises(UsageError, match="nearest: mirrored"):
        make("mirrors", 2, tmp_path / "a")
    assert not list(tmp_path.iterdir())
