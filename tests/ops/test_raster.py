import numpy as np
import pytest

from kinema.ops.raster import rasterise


def slow(points: np.ndarray, triangles: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel against every triangle, in float64."""
    nearest, who = np.full((side, side), np.inf), np.full((side, side), -1)
    for number, corners in enumerate(points.astype(np.float64)[triangles]):
        basis = np.concatenate([corners[:, :2].T, np.ones((1, 3))])
        if np.linalg.det(basis) > -1e-9:  # turned away
            continue
        for y in range(side):
            for x in range(side):
                w = np.linalg.solve(basis, [x + 0.5, y + 0.5, 1])
                depth = w @ corners[:, 2]
                if w.min() >= 0 and depth < nearest[y, x]:
                    nearest[y, x], who[y, x] = depth, number
    return nearest, who


def test_equals_testing_every_pixel_against_every_triangle() -> None:
    chance = np.random.default_rng(0)
    points = chance.uniform(-3, 15, (20, 3)).astype(np.float32)
    triangles = np.stack([chance.choice(20, 3, replace=False) for _ in range(30)])
    seen = rasterise(points, triangles, 12)
    nearest, who = slow(points, triangles, 12)
    found = np.full(144, -1)
    found[seen.pixel] = seen.triangle
    assert np.array_equal(found.reshape(12, 12), who)
    depth = (seen.weights * points[triangles[seen.triangle], 2]).sum(1)
    assert np.allclose(depth, nearest.ravel()[seen.pixel], atol=1e-4)


def test_weights_give_the_place_back() -> None:
    points = np.array([[1, 9, 5], [9, 9, 6], [4, 1, 7]], np.float32)
    seen = rasterise(points, np.array([[0, 1, 2]]), 10)
    x, y = (seen.weights @ points[:, :2]).T
    assert np.allclose(x, seen.pixel % 10 + 0.5, atol=1e-4)
    assert np.allclose(y, seen.pixel // 10 + 0.5, atol=1e-4)
    assert seen.weights.sum(1) == pytest.approx(1)


def test_a_triangle_turned_away_is_not_drawn() -> None:
    points = np.array([[1, 9, 5], [9, 9, 6], [4, 1, 7]], np.float32)
    assert len(rasterise(points, np.array([[0, 2, 1]]), 10).pixel) == 0


def test_what_is_outside_of_the_picture_is_cut_off() -> None:
    points = np.array([[-50, 60, 1], [60, 60, 1], [5, -80, 1]], np.float32)
    assert len(rasterise(points, np.array([[0, 1, 2]]), 8).pixel) == 64
    assert len(rasterise(points + 500, np.array([[0, 1, 2]]), 8).pixel) == 0
