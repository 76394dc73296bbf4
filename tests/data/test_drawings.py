"""The drawings that ship: what they are, that sides do not share a drawing, and how they are opened."""

import hashlib

import numpy as np
import pytest

from kinema.data import check_pictures, open_pictures
from kinema.data.picture_folder import Packed, unpacked
from kinema.data.pictures import DRAWINGS, DRAWN

CLASSES = ["animals", "flags", "food", "people", "plants", "recreation", "signs", "tools"]
SHA256 = "e785871a1557b1795de2d6374a0b433411789a871a6913ac96957c1ce8997b01"
"""of all pixels and then all labels, as bytes"""


@pytest.fixture(scope="module")
def packed() -> Packed:
    return unpacked(DRAWINGS)


def test_the_file_holds_what_it_should(packed: Packed) -> None:
    digest = hashlib.sha256(packed.pixels.tobytes() + packed.labels.tobytes()).hexdigest()
    assert digest == SHA256
    assert packed.pixels.shape[1:] == (DRAWN, DRAWN, 3)
    assert packed.classes == CLASSES
    assert DRAWINGS.stat().st_size < 4_000_000


def test_each_class_has_enough_on_both_sides(packed: Packed) -> None:
    train, val = (np.bincount(packed.labels[packed.val == side]) for side in (False, True))
    assert train.min() >= 80
    assert np.all(abs(val / (train + val) - 0.1) < 0.01)


def test_no_held_out_drawing_looks_like_one_to_train_on(packed: Packed) -> None:
    small = packed.pixels.reshape(-1, 8, 8, 8, 8, 3).mean((2, 4), dtype=np.float32)
    train = small[~packed.val]
    assert min(abs(train - one).mean((1, 2, 3)).min() for one in small[packed.val]) > 7.9


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (64, 3), (32, 1)])
def test_drawings_open_at_sizes_and_in_grey(size: int, channels: int, packed: Packed) -> None:
    val = open_pictures("drawings", size=size, channels=channels, split="val")
    assert val.pixels([0, 1]).shape == (2, 1, size, size, channels)
    assert np.array_equal(val.labels, packed.labels[packed.val])
    if (size, channels) == (64, 3):
        assert np.array_equal(val.pixels(range(len(val)))[:, 0], packed.pixels[packed.val])


def test_few_drawings_are_of_all_classes() -> None:
    few = open_pictures("drawings:100")
    assert len(few) == 100
    assert set(few.labels) == set(range(len(CLASSES)))


def test_the_check_reads_a_set_by_its_name(packed: Packed) -> None:
    report = check_pictures("drawings:500", size=32)
    assert report.ok
    assert report.pictures == 500 + packed.val.sum()
    assert sum(n["train"] for n in report.classes.values()) == 500
    assert report.sizes == {"32x32": report.pictures}
