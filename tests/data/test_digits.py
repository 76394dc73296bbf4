"""Readers of digit files, the split by image, and area averaging."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import DataError
from kinema.data import Digits, bundled_digits, load_digits
from kinema.data.digits import shrink, split_digits


@pytest.fixture(scope="module")
def few() -> Digits:
    """Two images of each class."""
    images, labels = bundled_digits()
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:2] for digit in range(10)])
    return Digits(images[chosen], labels[chosen])


def idx(values: np.ndarray) -> bytes:
    return (
        struct.pack(f">HBB{values.ndim}i", 0, 8, values.ndim, *values.shape)
        + values.astype(np.uint8).tobytes()
    )


def write(kind: str, folder: Path, digits: Digits) -> Path:
    """Store digits as `kind` and say which path to read."""
    x, y = digits
    if kind == "npz":
        np.savez(folder / "d.npz", x_train=x, y_train=y)
        return folder / "d.npz"
    if kind == "npy":
        np.save(folder / "d.npy", x.reshape(-1, 784) / 255)
        np.save(folder / "d-labels.npy", y)
        return folder / "d.npy"
    if kind == "json":
        for digit in range(10):
            data = np.round(x[y == digit] / 255, 3).ravel().tolist()
            (folder / f"{digit}.json").write_text(json.dumps({"data": data}))
        return folder
    pack, end = (gzip.compress, ".gz") if kind == "idx.gz" else (bytes, "")
    (folder / f"train-images-idx3-ubyte{end}").write_bytes(pack(idx(x)))
    (folder / f"train-labels-idx1-ubyte{end}").write_bytes(pack(idx(y)))
    return folder / f"train-images-idx3-ubyte{end}"


@pytest.mark.parametrize("kind", ["npz", "npy", "json", "idx", "idx.gz"])
def test_every_format_gives_the_exact_bytes(kind: str, tmp_path: Path, few: Digits) -> None:
    read = load_digits(write(kind, tmp_path, few))
    np.testing.assert_array_equal(read.images, few.images)
    np.testing.assert_array_equal(read.labels, few.labels)
    assert read.images.dtype == np.uint8


@pytest.mark.parametrize("kind", ["npz", "npy", "idx", "idx.gz"])
def test_truncated_files_are_named(kind: str, tmp_path: Path, few: Digits) -> None:
    path = write(kind, tmp_path, few)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=f"{path.name} cannot be read as digits"):
        load_digits(path)


def test_digits_that_are_none_are_refused(tmp_path: Path, few: Digits) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_digits(tmp_path / "none.npz")
    path = tmp_path / "d.npz"
    for x, y, reason in (
        (few.images[:, :20], few.labels, r"digits are \(N, 28, 28\)"),
        (few.images, few.labels[1:], "20 images but labels of shape"),
        (few.images, few.labels + 1, "the label 10; digits are 0 to 9"),
    ):
        np.savez(path, x=x, y=y)
        with pytest.raises(DataError, match=reason):
            load_digits(path)
    np.savez(path, a=few.images)
    with pytest.raises(DataError, match="expected x and y"):
        load_digits(path)
    np.savez(path, x=np.array([{}], dtype=object), y=np.array([0]))  # a pickle is never loaded
    with pytest.raises(DataError, match="cannot be read"):
        load_digits(path)


def test_the_bundled_digits_are_those_of_the_package() -> None:
    images, labels = bundled_digits()
    assert np.bincount(labels).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    assert (
        len(np.unique(images.reshape(10_000, -1), axis=0)) == 10_000
    )  # so that a split by image is one by content


def test_the_split_keeps_images_apart_and_takes_four_fifths_of_each_class() -> None:
    labels = bundled_digits().labels
    train, val, whole = (split_digits(labels, split) for split in ("train", "val", "all"))
    for digit in range(10):
        assert not set(train[digit]) & set(val[digit])
        assert (
            sorted([*train[digit], *val[digit]])
            == sorted(whole[digit])
            == np.flatnonzero(labels == digit).tolist()
        )
        assert len(train[digit]) == round(0.8 * len(whole[digit]))


@pytest.mark.parametrize("side", [28, 21, 14, 56])
def test_shrinking_is_the_mean_of_the_covered_area(side: int, few: Digits) -> None:
    fine = 84 if 84 % side == 0 else 56  # both sides divide it: enlarge, then average whole blocks
    large = few.images.repeat(fine // 28, axis=1).repeat(fine // 28, axis=2).astype(float)
    slow = large.reshape(20, side, fine // side, side, fine // side).mean(axis=(2, 4))
    np.testing.assert_allclose(shrink(few.images, side), slow, atol=0.501)
