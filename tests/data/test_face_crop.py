"""Faces are cut out upright and put back where they were."""

import numpy as np
import pytest
from skimage.data import astronaut

from kinema.data.face_crop import Place, crop, in_picture, in_square, paste, place

TILTED = Place(224.0, 110.0, 150.0, 0.3)


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without edges, so that sampling it costs little."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 19 + k) + np.cos(y / 23 - k) for k in range(3)]
    return np.rint(127 + 60 * np.stack(waves, -1)).astype(np.uint8)


def test_the_place_of_a_face_follows_it() -> None:
    right, left, nose = (np.array(p, float) for p in ((100, 100), (160, 100), (130, 145)))
    level = place(right, left, nose)
    assert level.angle == 0
    assert level.x == 130
    assert level.y > 100
    turn = np.array([[0, -1], [1, 0]])  # a quarter, clockwise on the screen
    turned = place(*(turn @ point for point in (right, left, nose)))
    assert turned.angle == pytest.approx(np.pi / 2)
    assert (turned.x, turned.y) == pytest.approx((-level.y, level.x))
    assert turned.side == pytest.approx(level.side)
    double = place(2 * right, 2 * left, 2 * nose)
    assert double.side == pytest.approx(2 * level.side)


def test_a_turned_head_keeps_its_size() -> None:
    right, left, nose = (np.array(p, float) for p in ((100, 100), (160, 100), (130, 147)))
    profile = place(np.array([120.0, 100]), np.array([140.0, 100]), nose)
    assert profile.side == pytest.approx(place(right, left, nose).side, rel=0.05)


def test_square_and_picture_are_inverse() -> None:
    points = np.random.default_rng(0).random((50, 2))
    np.testing.assert_allclose(in_square(TILTED, in_picture(TILTED, points)), points, atol=1e-12)
    corners = in_picture(TILTED._replace(angle=0.0), np.array([[0, 0], [1, 1]]))
    np.testing.assert_allclose(corners, [[149, 35], [299, 185]])


def test_a_level_crop_of_the_same_size_is_a_slice() -> None:
    picture = astronaut()
    cut = crop(picture, Place(200.0, 150.0, 64.0, 0.0), 64)
    np.testing.assert_array_equal(cut, picture[118:182, 168:232])


def test_shrinking_averages() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[::2, ::2] = picture[1::2, 1::2] = 255  # a chessboard of single pixels
    for side in (64.0, 100.0, 300.0):
        cut = crop(picture, Place(200.0, 200.0, side, 0.2), 32)
        assert abs(cut.astype(float) - 127.5).max() < 30, side


def test_edges_are_repeated() -> None:
    picture = np.full((50, 50, 3), 200, np.uint8)
    assert (crop(picture, Place(0.0, 0.0, 300.0, 0.4), 32) == 200).all()
    assert (crop(picture, Place(-500.0, 900.0, 40.0, 0.0), 8) == 200).all()
    assert crop(picture[:1, :1], Place(0.0, 0.0, 1.0, 0.0), 16).shape == (16, 16, 3)


@pytest.mark.parametrize("where", [TILTED, Place(20.0, 30.0, 150.0, -1.2), Place(224.0, 110.0, 150.0, 3.0)])
def test_an_unchanged_crop_changes_nothing_to_see(where: Place) -> None:
    picture = smooth(300, 400)
    same = paste(picture, where, crop(picture, where, 160), np.ones((160, 160), np.float32))
    assert abs(same.astype(int) - picture).max() <= 2


def test_pixels_outside_the_square_stay() -> None:
    picture = astronaut()
    made = np.full((96, 96, 3), 255, np.uint8)
    out = paste(picture, TILTED, made, np.ones((96, 96), np.float32))
    ys, xs = np.mgrid[:512, :512] + 0.5
    inside = in_square(TILTED, np.stack([xs.ravel(), ys.ravel()], 1)).reshape(512, 512, 2)
    outside = ((inside < 0) | (inside > 1)).any(2)
    np.testing.assert_array_equal(out[outside], picture[outside])
    assert (out[~outside] != picture[~outside]).mean() > 0.9
    core = ((inside > 0.1) & (inside < 0.9)).all(2)
    assert (out[core] == 255).all()
    border = ((inside > 0) & (inside < 0.004)).any(2) & ~outside
    assert abs(out[border].astype(int) - picture[border]).max() <= 3  # it fades in, without a seam


def test_the_mask_decides() -> None:
    picture, made = smooth(200, 200), np.zeros((64, 64, 3), np.uint8)
    where = Place(100.0, 100.0, 120.0, 0.5)
    np.testing.assert_array_equal(paste(picture, where, made, np.zeros((64, 64))), picture)
    half = paste(picture, where, made, np.full((64, 64), 0.5))
    np.testing.assert_allclose(half[100, 100], picture[100, 100] / 2, atol=1)
    left = np.zeros((64, 64))
    left[:, :16] = 1
    out = paste(picture, where._replace(angle=0.0), made, left)
    assert (out[:, 80:] == picture[:, 80:]).all()
    assert (out[100, 55] == 0).all()


def test_a_face_at_the_border_or_outside_is_pasted_as_far_as_there_is_a_picture() -> None:
    picture, made = smooth(60, 80), np.zeros((32, 32, 3), np.uint8)
    ones = np.ones((32, 32))
    out = paste(picture, Place(0.0, 0.0, 40.0, 0.0), made, ones)
    assert (out[:10, :10] == 0).all()
    assert (out[20:] == picture[20:]).all()
    np.testing.assert_array_equal(paste(picture, Place(500.0, -300.0, 40.0, 0.7), made, ones), picture)
    tiny = paste(picture, Place(30.0, 30.0, 2.0, 0.0), made, ones)
    assert (tiny != picture).any(2).sum() in range(1, 5)


@pytest.mark.parametrize(("side", "size"), [(100.0, 64), (230.0, 64), (300.0, 24), (40.0, 64)])
def test_a_crop_shows_what_is_there(side: float, size: int) -> None:
    picture, where = smooth(500, 500), Place(240.0, 260.0, side, 0.7)
    centres = (np.arange(size) + 0.5) / size
    points = in_picture(where, np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2))
    waves = [np.sin((points[:, 0] - 0.5) / 19 + k) + np.cos((points[:, 1] - 0.5) / 23 - k) for k in range(3)]
    exact = (127 + 60 * np.stack(waves, -1)).reshape(size, size, 3).clip(0, 255)
    found = crop(picture, where, size)
    assert abs(found - exact).max() < 4  # waves lose a little where areas are averaged
    assert abs((found - exact).mean()) < 0.6
