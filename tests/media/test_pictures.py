"""Clips of one frame are pictures: a sheet is a picture, a folder holds pictures. Animated WebP is a clip."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Batch, Pixels, Video
from kinema.media import check_sheet, probe, read_image, read_provenance, read_video, save


def pictures(n: int = 6) -> Batch:
    """Pictures of one colour each, asked for in rows of three."""
    colours = np.arange(n, dtype=np.uint8)[:, None] * np.array([30, 20, 10], np.uint8)
    items = [Video(np.full((1, 8, 8, 3), colour)) for colour in colours]
    return Batch(items, [f"class {k}" for k in range(n)], columns=3, provenance={"system": "biggan"})


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_sheet_has_the_rows_that_were_asked_for(name: str, tmp_path: Path) -> None:
    read = read_image(save(pictures(), tmp_path / name)).pixels
    assert read.shape == (18, 28, 3)
    for k in range(6):
        y, x = k // 3 * 10 + 4, k % 3 * 10 + 4
        assert np.abs(read[y, x].astype(int) - [30 * k, 20 * k, 10 * k]).max() <= 8
    assert read_provenance(tmp_path / name)["system"] == "biggan"


def test_a_folder_holds_a_picture_for_each(tmp_path: Path) -> None:
    folder = save(pictures(), tmp_path / "out")
    assert sorted(p.name for p in folder.glob("*.png")) == [f"{k:03d}.png" for k in range(6)]
    assert not list(folder.glob("*.mp4"))
    assert (read_image(folder / "004.png").pixels == [120, 80, 40]).all()
    assert read_provenance(folder / "004.png")["item"] == 4
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert rows[4] == {"file_name": "004.png", "text": "class 4"}
    assert len(list(save(pictures(2), folder).glob("*.png"))) == 2  # what was there is replaced


def test_clips_beside_pictures_stay_clips(tmp_path: Path) -> None:
    mixed = Batch([pictures(1)[0], Video(np.zeros((3, 16, 16, 3), np.uint8))])
    assert sorted(p.name for p in save(mixed, tmp_path / "out").iterdir() if p.suffix != ".json") == [
        "000.png",
        "001.mp4",
    ]


def test_many_pictures_fit_on_a_sheet_that_clips_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.media.write.MOST_JPEG_SIDE", 98)
    check_sheet(Path("a.jpg"), 100, 1, 8, 8)  # ten rows of ten
    for count, columns in ((101, None), (12, 11)):
        with pytest.raises(UsageError, match="make a sheet"):
            check_sheet(Path("a.jpg"), count, 1, 8, 8, columns)


def animation(path: Path, delays: list[int]) -> Pixels:
    frames = [Pillow.new("RGB", (20, 12), (40 * k, 0, 0)) for k in range(len(delays))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=delays, lossless=True)
    return np.stack([np.asarray(frame) for frame in frames])


def test_an_animated_webp_is_a_clip(tmp_path: Path) -> None:
    frames = animation(tmp_path / "a.webp", [125] * 5)
    info = probe(tmp_path / "a.webp")
    assert (info.width, info.height, info.frames, info.fps) == (20, 12, 5, 8)
    assert np.array_equal(read_video(tmp_path / "a.webp").frames, frames)
    animation(tmp_path / "b.webp", [200, 400])
    read = read_video(tmp_path / "b.webp")
    assert read.fps == Fraction(10, 3)
    assert read.frames[:, 0, 0, 0].tolist() == [0, 40]


def test_the_smallest_webp_is_read(tmp_path: Path) -> None:
    Pillow.new("RGB", (1, 1), (9, 9, 9)).save(tmp_path / "a.webp", lossless=True)
    assert read_image(tmp_path / "a.webp", still=True).pixels.tolist() == [[[9, 9, 9]]]


@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_an_animated_webp_that_is_cut_off(part: float, tmp_path: Path) -> None:
    animation(tmp_path / "a.webp", [100] * 4)
    whole = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "a.webp").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(MediaError, match="truncated"):
        read_video(tmp_path / "a.webp")


def test_an_animation_is_refused_where_one_picture_is_wanted(tmp_path: Path) -> None:
    frames = animation(tmp_path / "a.webp", [100] * 3)
    assert np.array_equal(read_image(tmp_path / "a.webp").pixels, frames[0])
    with pytest.raises(MediaError, match="is an animation of 3 frames, not one picture"):
        read_image(tmp_path / "a.webp", still=True)
