"""Faces are found upright, turned, small and cut; these tests need the extra `face` and its networks."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from skimage.data import astronaut, lfw_subset

from kinema.core.errors import KinemaError
from kinema.data.action_units import UNITS
from kinema.data.face_crop import in_picture, in_square
from kinema.data.face_finding import AGREEMENT, SHAPES, Face, Finder, mark, units_of

CENTRE = np.array([223.0, 127.0])
"""of the astronaut's face"""


@pytest.fixture(scope="module")
def finder(face_task: Path) -> Finder:
    return Finder(face_task)


def only(faces: list[Face]) -> Face:
    (face,) = faces
    return face


def middle(face: Face) -> np.ndarray:
    return in_picture(face.place, np.array([[0.5, 0.5]]))[0]


def test_every_unit_has_a_score_and_a_mark() -> None:
    assert tuple(SHAPES) == tuple(AGREEMENT) == UNITS
    marks = {unit: mark(unit) for unit in UNITS}
    assert marks["AU12"] == marks["AU45"] == "reliable"
    assert (marks["AU26"], marks["AU06"], marks["AU14"], marks["AU04"]) == (
        "doubtful",
        "poor",
        "poor",
        "unmeasured",
    )
    scores = dict.fromkeys(SHAPES.values(), 0.25) | {"mouthSmileLeft": 1.0, "mouthSmileRight": 0.5}
    scores.pop("mouthSmile")
    assert units_of(scores).tolist() == [0.75 if unit == "AU12" else 0.25 for unit in UNITS]


def test_a_smiling_face(finder: Finder) -> None:
    face = only(finder.find(astronaut()))
    assert face.confidence > 0.88
    assert abs(middle(face) - CENTRE).max() < 6
    assert abs(face.place.angle) < 0.1
    assert face.points.shape == (478, 2)
    assert face.box.left < 221 < face.box.left + face.box.width
    units = dict(zip(UNITS, face.units, strict=True))
    assert units["AU12"] > 0.7
    assert units["AU26"] < 0.2
    assert units["AU45"] < 0.3
    inside = in_square(face.place, face.points[[107, 336, 152]])  # above both brows, chin
    assert ((inside > 0) & (inside < 1)).all()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_pictures(finder: Finder, quarters: int) -> None:
    face = only(finder.find(np.rot90(astronaut(), quarters)))
    expected = {1: (127, 512 - 223), 2: (512 - 223, 512 - 127), 3: (512 - 127, 223)}[quarters]
    assert abs(middle(face) - expected).max() < 8
    turned = (face.place.angle + quarters * np.pi / 2 + np.pi) % (2 * np.pi) - np.pi
    assert abs(turned) < 0.2


@pytest.mark.parametrize("degrees", [30, 70, 130, -100])
def test_tilted_heads(finder: Finder, degrees: int) -> None:
    face = only(finder.find(np.array(Pillow.fromarray(astronaut()).rotate(degrees))))
    turned = (np.degrees(face.place.angle) + degrees + 180) % 360 - 180
    assert abs(turned) < 12


def test_small_faces_and_several(finder: Finder) -> None:
    wide = np.full((800, 1000, 3), 120, np.uint8)
    for k, side in enumerate((96, 160, 128)):
        small = Pillow.fromarray(astronaut()).resize((side, side), Pillow.Resampling.LANCZOS)
        wide[100 : 100 + side, 100 + 300 * k : 100 + 300 * k + side] = small
    faces = finder.find(wide)
    assert [round((middle(face)[0] - 100) / 300) for face in faces] == [1, 2, 0]


def test_faces_that_fill_the_picture_or_are_cut(finder: Finder) -> None:
    grey = (lfw_subset()[:10] * 255).astype(np.uint8)  # 25 x 25
    assert sum(len(finder.find(np.repeat(face[..., None], 3, 2))) == 1 for face in grey) >= 8
    assert only(finder.find(astronaut()[:200, :250])).confidence > 0.7


def test_nothing_is_found_where_nothing_is(finder: Finder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert finder.find(noise) == []
    for shape in ((1, 1, 3), (1, 400, 3), (300, 2, 3)):
        assert finder.find(np.zeros(shape, np.uint8)) == []


def test_a_face_is_followed_until_it_is_gone(finder: Finder) -> None:
    picture = astronaut()
    face = only(finder.find(picture))
    moved = finder.follow(np.roll(picture, (12, -15), (0, 1)), face)
    assert moved is not None
    np.testing.assert_allclose(middle(moved) - middle(face), (-15, 12), atol=4)
    assert finder.follow(np.zeros_like(picture), face) is None


def test_a_missing_task_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KinemaError, match="there is no task file"):
        Finder(tmp_path / "gone.task")
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path))
    with pytest.raises(KinemaError, match="`kinema data fetch face-landmarker` brings it"):
        Finder()


def test_it_is_quiet(face_task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Finder(face_task).find(astronaut())
    os.write(2, b"end")
    assert capfd.readouterr() == ("", "end")
