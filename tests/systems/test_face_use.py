from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Batch, Image, Video
from kinema.data.action_units import UNITS
from kinema.data.face_crop import Place
from kinema.data.heads import Heads
from kinema.media.mark import marked
from kinema.systems import load_class, load_presets
from kinema.systems.shared.face_asking import on_the_way, swept, wanted
from kinema.systems.shared.face_film import chosen, smoothed, steadied
from kinema.systems.shared.face_use import Face, edit

SIZE = 32
HEADS = Heads(8, SIZE, "val")


@pytest.fixture(scope="module", params=["ganimation", "stargan"])
def system(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    return load_class(request.param)(load_presets(request.param)["tiny"]().config).eval()


@pytest.fixture
def file(tmp_path: Path) -> str:
    image = Image(HEADS.pixels([0])[0, 0], provenance={"data": "heads"})
    return str(image.save(tmp_path / "face.png"))


def ask(system, **fields):
    return system.run(system.Request(**{"cropped": True, "label": False, **fields}))


def test_a_crop_becomes_a_picture_of_the_networks_size(system, file) -> None:
    one = ask(system, image=(file,), expression=("happy=0.8",))
    assert isinstance(one, Image)
    assert one.pixels.shape == (SIZE, SIZE, 3)
    units = np.zeros(17, np.float32)
    units[[UNITS.index(name) for name in ("AU06", "AU12", "AU25")]] = 0.8
    made, _ = system.edited(HEADS.pixels([0])[0], units[None])
    assert np.array_equal(one.pixels, made[0])


def test_a_clip_ends_with_the_picture(system, file) -> None:
    one = ask(system, image=(file,), expression=("sad",))
    clip = ask(system, image=(file,), expression=("sad",), frames=5)
    assert isinstance(clip, Video)
    assert clip.frames.shape == (5, SIZE, SIZE, 3)
    assert np.array_equal(clip.frames[-1], one.pixels)
    assert not np.array_equal(clip.frames[0], one.pixels)


def test_several_pictures_a_folder_a_sweep_a_strip_and_masks(system, file, tmp_path) -> None:
    Image(HEADS.pixels([3])[0, 0], provenance={"data": "heads"}).save(tmp_path / "other.png")
    both = ask(system, image=(str(tmp_path),), action_units=("AU12=0.9",))
    assert isinstance(both, Batch)
    assert both.labels == [file, str(tmp_path / "other.png")]
    assert np.array_equal(both[0].frames[0], ask(system, image=(file,), action_units=("AU12=0.9",)).pixels)
    sweep = ask(system, image=(file,), sweep="au12")
    assert sweep.frames.shape == (4, SIZE, SIZE, 3)
    strip = ask(system, image=(file,), strip=True)
    assert (len(strip), strip.labels, strip.columns) == (17, list(UNITS), 1)
    assert np.array_equal(strip[UNITS.index("AU12")].frames, sweep.frames)
    masks = ask(system, image=(file,), expression=("happy",), masks=True)
    assert masks.pixels.shape == (SIZE, 4 * SIZE, 3)
    assert np.array_equal(masks.pixels[:, :SIZE], HEADS.pixels([0])[0, 0])


def test_expressions_are_of_the_whole_face_and_units_of_themselves() -> None:
    request = load_class("ganimation").Request(image=("a.png",), action_units=("AU26=0.5",))
    own = np.linspace(0, 1, 17, dtype=np.float32)
    changed = wanted(request)(own)
    assert changed[UNITS.index("AU26")] == 0.5
    assert np.array_equal(np.delete(changed, UNITS.index("AU26")), np.delete(own, UNITS.index("AU26")))
    happy = wanted(replace(request, expression=("happy",)))(own)
    assert happy.sum() == pytest.approx(3.5)
    middle = on_the_way(lambda own: own + 1, 3)[1](own)
    assert np.allclose(middle, own + 0.5)
    assert [one(own)[UNITS.index("AU12")] for one in swept("AU12", 3)] == [0, 0.5, 1]


def test_only_the_face_of_a_photograph_changes(system) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    place = Place(60, 40, 40, 0.1)
    face = Face(place, HEADS.pixels([0])[0, 0], np.zeros(17, np.float32))
    out = edit(system, photo, [face], lambda own: own + 1)
    changed = (out != photo).any(-1)
    assert changed.any()
    assert not changed[:, :25].any()
    assert not changed[75:].any()


def test_a_face_that_was_lost_is_found_again_where_it_was() -> None:
    left, right = (SimpleNamespace(place=Place(x, 50, 40, 0.0)) for x in (30, 90))
    assert chosen([left, right], None, 1) is right
    assert chosen([left], None, 1) is None
    assert chosen([right, left], SimpleNamespace(place=Place(35, 48, 40, 0.0)), 0) is left
    assert chosen([], left, 0) is None


def test_all_clips_of_a_request_together_are_bounded(system, file, monkeypatch) -> None:
    monkeypatch.setattr("kinema.systems.shared.face_asking.MOST_BYTES", 20 * SIZE * SIZE * 3)
    ask(system, image=(file,) * 2, expression=("sad",), frames=10)
    with pytest.raises(UsageError, match="30 frames of 32x32 need"):
        ask(system, image=(file,) * 3, expression=("sad",), frames=10)


def test_a_place_is_steadied_unless_it_jumps() -> None:
    before = Place(50, 50, 40, 0.0)
    near = steadied(before, Place(52, 50, 44, 0.1))
    assert 50 < near.x < 52
    assert 40 < near.side < 44
    assert 0 < near.angle < 0.1
    assert steadied(before, Place(90, 50, 40, 0.0)).x == 90
    assert steadied(None, before) == before


def test_smoothing_keeps_what_is_constant_and_its_place_in_time() -> None:
    still = np.full((6, 17), 0.3, np.float32)
    assert np.allclose(smoothed(still), still)
    peak = np.zeros((9, 17), np.float32)
    peak[4] = 1
    assert smoothed(peak)[:, 0].argmax() == 4
    assert np.allclose(smoothed(peak)[:, 0].sum(), 1)


def test_a_label_is_written_into_a_corner_and_nowhere_else() -> None:
    grey = np.full((2, 120, 160, 3), 99, np.uint8)
    out = marked(grey)
    assert (out[:, -8:, :20] != 99).any()
    assert np.array_equal(out[:, :100], grey[:, :100])
    assert marked(np.zeros((6, 6, 3), np.uint8)).shape == (6, 6, 3)


def test_photographs_need_consent_and_rendered_heads_do_not(system, tmp_path) -> None:
    photo = str(Image(HEADS.pixels([0])[0, 0]).save(tmp_path / "photo.png"))
    with pytest.raises(UsageError, match="say who agreed with --consent"):
        ask(system, image=(photo,), expression=("happy",))
    assert isinstance(ask(system, image=(photo,), expression=("happy",), consent="myself"), Image)
    odd = Image(HEADS.pixels([0])[0, 0], provenance={"request": "none"}).save(tmp_path / "odd.png")
    with pytest.raises(UsageError, match="say who agreed with --consent"):
        ask(system, image=(str(odd),), expression=("happy",))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "given was nothing"),
        ({"expression": ("happy",), "sweep": "AU12"}, "given was --expression or --action-units and --sweep"),
        ({"expression": ("hapy",)}, "no expression is called 'hapy'"),
        ({"action_units": ("AU99=1",)}, "no action unit is called 'AU99'"),
        ({"action_units": ("AU12=1.5",)}, "a number from 0 to 1"),
        ({"expression": ("happy",), "frames": 0}, "frames are from 1 to 1000, not 0"),
        ({"expression": ("happy",), "face": (-1,)}, "numbered from 0"),
        ({"expression": ("happy",), "face": (1,)}, "searched for no face"),
        ({"strip": True, "frames": 5}, "a strip, masks and videos have their own"),
        ({"strip": True, "masks": True}, "masks show one edit"),
        ({"strip": True, "face": (0, 1)}, "of one face at a time"),
        (
            {"expression": ("happy",), "masks": True, "image": (), "video": "a.mp4", "cropped": False},
            "not of a",
        ),
        ({"expression": ("happy",), "image": ()}, "either photographs with --image or one film"),
        ({"sweep": "AU12", "video": "a.mp4"}, "either photographs with --image or one film"),
    ],
)
def test_what_contradicts_itself_is_refused(system, file, fields, says) -> None:
    with pytest.raises(UsageError, match=says):
        ask(system, **{"image": (file,), **fields})
    with pytest.raises(UsageError, match=says):  # as the command line asks first
        system.extent(system.Request(**{"image": (file,), "cropped": True, **fields}))


def test_a_missing_picture_and_an_empty_folder_are_named(system, tmp_path) -> None:
    with pytest.raises(MediaError, match=r"gone\.png"):
        ask(system, image=(str(tmp_path / "gone.png"),), expression=("happy",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no pictures"):
        ask(system, image=(str(tmp_path / "empty"),), expression=("happy",))
