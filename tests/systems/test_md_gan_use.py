"""MD-GAN in use: photos of every kind, lengths, loops, wrong requests, scores."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kinema
from kinema.apps.cli import main
from kinema.core.config import to_dict
from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Batch, Image, Video
from kinema.data import open_clips
from kinema.engine import train
from kinema.media import read_image, read_video
from kinema.metrics.photo_motion import photo_motion, wind
from kinema.systems.md_gan import convert
from kinema.systems.md_gan.config import PRESETS, Request
from kinema.systems.md_gan.photo import fade, paste, to_tensor, to_uint8
from kinema.systems.md_gan.system import MDGAN

TINY = PRESETS["tiny"]().config


@pytest.fixture(scope="module")
def data() -> Any:
    return open_clips("skies", frames=TINY.frames, size=TINY.size, channels=3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, data: Any) -> Path:
    """Both stages, hardly trained."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    config = replace(TINY, stage="refine")
    about = {"system": "md-gan", "version": "0", "config": to_dict(config), "data": {"where": "skies"}}
    settings = replace(PRESETS["tiny"]().settings, steps=1, device="cpu")
    train(MDGAN(config), data, settings, folder, write_config=about)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 3), np.uint8).repeat(11, 0).repeat(13, 1)
    return Image(pixels).save(tmp_path / "photo.png")


def test_a_photo_of_any_size_comes_back_at_its_size(weights: Path, photo: Path) -> None:
    loaded = kinema.load(weights)
    made = loaded.run(image=str(photo))
    assert isinstance(made, Video)
    assert (made.frames.shape, made.fps) == ((16, 55, 117, 3), Fraction(25))
    np.testing.assert_array_equal(made.frames[0], read_image(photo).pixels)
    assert (made.frames[-1] != made.frames[0]).any()
    again = loaded.run(image=str(photo))
    np.testing.assert_array_equal(made.frames, again.frames)
    first = loaded.run(image=str(photo), stage=1, size="net", fps=10)
    assert (first.frames.shape, first.fps) == ((16, 64, 64, 3), Fraction(10))
    assert (first.frames != loaded.run(image=str(photo), size="net").frames).any()


def test_a_photo_larger_than_the_network_is_told_how_coarse_its_motion_is(
    weights: Path, photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = kinema.load(weights)
    loaded.run(image=(str(photo),), size="net")
    assert not caplog.messages
    loaded.run(image=(str(photo),))
    assert "works at 64x64" in caplog.text


def test_odd_photos(weights: Path, tmp_path: Path) -> None:
    loaded = kinema.load(weights)
    for shape in ((1, 1, 3), (2, 301, 3), (64, 64, 3)):
        path = Image(np.full(shape, 90, np.uint8)).save(tmp_path / f"{shape[1]}.png")
        assert loaded.run(image=str(path)).frames.shape == (16, *shape)


def test_longer_clips_go_on_from_their_last_frame(weights: Path, photo: Path) -> None:
    loaded = kinema.load(weights, precision="fp32")
    short, long = (loaded.run(image=str(photo), size="net", length=n).frames for n in (16, 40))
    assert long.shape[0] == 40
    np.testing.assert_array_equal(long[:16], short)
    path = Image(long[15]).save(photo.with_name("last.png"))
    on = loaded.run(image=str(path), size="net").frames
    assert np.abs(long[16:31].astype(int) - on[1:]).max() <= 2  # the photo on disk is rounded
    assert loaded.run(image=str(photo), size="net", length=5).frames.shape[0] == 5


def test_a_loop_ends_where_it_begins(weights: Path, photo: Path) -> None:
    ramp = torch.arange(10.0).view(1, 10, 1, 1).expand(3, -1, 2, 2)
    faded = fade(ramp, 8)[0, :, 0, 0]
    assert faded[2:].tolist() == [2, 3, 4, 5, 6, 7]
    assert faded[:2].tolist() == pytest.approx([8 * 2 / 3, 9 / 3 + 1 * 2 / 3])
    loaded = kinema.load(weights)
    assert loaded.run(image=str(photo), loop=True).frames.shape[0] == 12
    assert loaded.run(image=str(photo), loop=True, length=24).frames.shape[0] == 24


def test_pasting_adds_the_change_and_nothing_else() -> None:
    photo = np.random.default_rng(0).integers(60, 190, (40, 30, 3), np.uint8)
    still = torch.rand(3, 8, 8)
    clip = torch.stack([still, still + 20 / 127.5], 1)
    out = paste(photo, clip, still)
    np.testing.assert_array_equal(out[0], photo)
    np.testing.assert_array_equal(out[1], photo + 20)
    same = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    exact = to_tensor(same).unsqueeze(1)
    np.testing.assert_array_equal(paste(same, exact, exact[:, 0])[0], same)
    np.testing.assert_array_equal(to_uint8(exact)[0], same)


def test_several_photos_and_folders(
    weights: Path, photo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "many").mkdir()
    for k, shape in enumerate(((20, 30, 3), (64, 64, 3))):
        Image(np.full(shape, 40 * k, np.uint8)).save(tmp_path / "many" / f"{k}.jpg")
    (tmp_path / "many" / "notes.txt").write_text("not a photo")
    (tmp_path / "many" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    loaded = kinema.load(weights)
    with caplog.at_level("WARNING", "kinema"):
        made = loaded.run(image=(str(photo), str(tmp_path / "many"), str(photo)))
    assert "skipped" in caplog.text
    assert "broken.png" in caplog.text
    assert isinstance(made, Batch)
    assert [v.frames.shape[1:3] for v in made] == [(55, 117), (20, 30), (64, 64), (55, 117)]
    np.testing.assert_array_equal(made[0].frames, loaded.run(image=str(photo)).frames)
    made.save(tmp_path / "sheet.gif")
    assert read_video(tmp_path / "sheet.gif").frames.shape[0] == 16


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        ({"image": ()}, UsageError, "no photo was given"),
        ({"image": "gone.jpg"}, MediaError, r"gone\.jpg"),
        ({"image": "words.jpg"}, MediaError, r"words\.jpg"),
        ({"image": "cut.jpg"}, MediaError, "truncated or broken"),
        ({"image": "empty"}, UsageError, "folder 'empty' holds no photos"),
        ({"image": "ok.jpg", "length": 0}, UsageError, "from 2 to 1000 frames, not 0"),
        ({"image": "ok.jpg", "length": 1001}, UsageError, "from 2 to 1000 frames, not 1001"),
        ({"image": "ok.jpg", "fps": 0}, UsageError, "fps is from 1 to 240, not 0"),
        ({"image": "ok.jpg", "stage": 3}, UsageError, "stage is one of 1, 2, not '3'"),
        ({"image": "huge.png", "length": 1000}, UsageError, r"need 7\.7 GB, more than 2\.1; .* size=net"),
    ],
)
def test_bad_requests_get_one_clear_sentence(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request_: dict[str, Any],
    error: type,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = Image(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = picture.save("ok.jpg").read_bytes()
    Path("cut.jpg").write_bytes(whole[: len(whole) // 2])
    Path("words.jpg").write_text("this is no photo")
    Path("empty").mkdir()
    if request_["image"] == "huge.png":
        Image(np.zeros((1600, 1600, 3), np.uint8)).save("huge.png")
    with pytest.raises(error, match=words):
        kinema.load(weights).run(**request_)


def test_a_stage_that_is_not_there_is_named(photo: Path) -> None:
    with pytest.raises(UsageError, match="hold stage 1, not 2; `--preset refine` trains the second"):
        MDGAN(TINY).run(Request((str(photo),), stage=2))
    with pytest.raises(UsageError, match="hold stage 2, not 1"):
        MDGAN(replace(TINY, stage="one-stage")).run(Request((str(photo),), stage=1))


def test_scores_stand_beside_the_still_copy(weights: Path) -> None:
    loaded = kinema.load(weights)
    clips = open_clips("skies:signed", frames=16, size=64, channels=3, split="val")
    rows = {row.name: row for row in photo_motion(loaded, clips, n=21, seed=0, log=print)}
    assert set(rows) == {
        "md-gan, stage 1",
        "md-gan",
        "copy of the first frame",
        "first frame at the true wind",
    }
    assert rows["md-gan"].samples == 21
    assert len(rows["md-gan"].protocol["by frame"]["PSNR"]) == 15
    winds = {row.name: row.metrics for row in wind(loaded, clips, n=21, seed=0, log=print)}
    assert set(winds) == {"md-gan, stage 1", "md-gan", "copy of the first frame", "real, held out"}


def test_released_files_are_told_apart_by_their_names(tmp_path: Path, photo: Path) -> None:
    torch.manual_seed(0)
    born = MDGAN(replace(TINY, stage="refine"))
    for name, state in convert.write(born.state_dict()).items():
        torch.save(state, tmp_path / f"{name}_030.pth")
    files = [str(tmp_path / f"netG_{stage}_030.pth") for stage in ("S1", "S2")]
    assert main(["convert", "md-gan", *files, "--out", str(tmp_path / "ours")]) == 0
    loaded = kinema.load(tmp_path / "ours", precision="fp32")
    assert loaded.about["source"]["file"] == "netG_S1_030.pth + netG_S2_030.pth"
    assert loaded.system.config.stage == "refine"
    state = loaded.system.state_dict()
    kept = born.state_dict()
    assert all(torch.equal(state[key], kept[key]) for key in kept if key.startswith("generator."))
    assert loaded.run(image=str(photo), size="net").frames.shape == (16, 64, 64, 3)


@pytest.mark.slow
def test_it_reads_the_wind_from_the_photo(tmp_path: Path) -> None:
    """Two minutes on one core; direction 0.5 is chance, a still picture has 0 and gains 0 dB."""
    preset = PRESETS["small"]()
    clips = open_clips("skies:signed", frames=32, size=64, channels=3)
    about = {"system": "md-gan", "version": "0", "config": to_dict(preset.config), "data": {}}
    torch.manual_seed(0)
    train(MDGAN(preset.config), clips, replace(preset.settings, steps=300), tmp_path, write_config=about)
    held = open_clips("skies:signed", frames=32, size=64, channels=3, split="val")
    loaded = kinema.load(tmp_path)
    rows = {row.name: row.metrics for row in photo_motion(loaded, held, n=40, seed=0, log=print)}
    assert rows["md-gan"]["PSNR"] > rows["copy of the first frame"]["PSNR"] + 1.5
    assert rows["md-gan"]["PSNR last"] > rows["copy of the first frame"]["PSNR last"] + 1.5
    winds = {row.name: row.metrics for row in wind(loaded, held, n=40, seed=0, log=print)}
    assert winds["md-gan"]["direction"] >= 0.9
    assert winds["md-gan"]["correlation"] >= 0.7
