"""Mirrored shapes: pure functions of seed and index, alike on both sides, and read back by `halves`."""

import numpy as np
import pytest

from kinema.core.errors import UsageError
from kinema.data.mirrored import HUES, SHAPES, halves, mirrored


@pytest.mark.parametrize("size", [32, 64])
def test_both_halves_have_the_hue_that_was_drawn(size: int) -> None:
    made = mirrored(300, size, "train")
    assert made.pixels.shape == (300, size, size, 3)
    assert np.array_equal(made.pixels, made.pixels[:, :, ::-1])
    assert (halves(made.pixels) == made.hues[:, None]).all()
    assert set(made.shapes) == set(range(len(SHAPES)))
    assert set(made.hues) == set(range(len(HUES)))


def test_a_picture_depends_on_split_seed_and_place_only() -> None:
    long, short = mirrored(600, 32, "train"), mirrored(3, 32, "train")
    assert np.array_equal(long.pixels[:3], short.pixels)
    for other in (mirrored(3, 32, "val"), mirrored(3, 32, "train", seed=1)):
        assert not np.array_equal(other.pixels, short.pixels)


def test_halves_that_differ_or_show_nothing() -> None:
    made = mirrored(40, 32, "val")
    pixels = made.pixels.copy()
    pixels[:, :, 16:] = np.roll(pixels[:, :, 16:], 1, axis=3)  # red becomes green becomes blue
    left, right = halves(pixels).T
    assert np.array_equal(left, made.hues)
    assert (right != left).all()
    pixels[:, :, :16] = 26
    pixels[:, :, 16:] = (240, 30, 30)  # all of it is no shape
    assert (halves(pixels) == -1).all()


def test_shapes_differ() -> None:
    made = mirrored(400, 32, "train")
    cover = (made.pixels.max(3) > 80).mean((1, 2))
    mean = [cover[made.shapes == k].mean() for k in range(len(SHAPES))]
    assert min(mean) > 0.02
    assert max(mean) < 0.4
    flat = [made.pixels[made.shapes == k].max(3).mean(0) for k in range(len(SHAPES))]
    gaps = [np.abs(flat[i] - flat[j]).mean() for i in range(10) for j in range(i)]
    assert min(gaps) > 1


@pytest.mark.parametrize("size", [0, -2, 31])
def test_odd_sizes_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match="even side"):
        mirrored(1, size, "train")
