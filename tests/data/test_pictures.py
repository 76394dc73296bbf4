"""Sets of pictures by name: what an item is, which belong to a split, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kinema.core.errors import DataError, UsageError
from kinema.data import Pictures, located, open_pictures


def test_items_are_floats_and_bytes_of_the_same_picture() -> None:
    data = open_pictures("mirrored:40", size=32)
    batch = data.batch([3, 17])
    assert batch["image"].dtype == torch.float32
    assert batch["image"].shape == (2, 3, 32, 32)
    assert float(batch["image"].min()) >= -1
    assert float(batch["image"].max()) <= 1
    pixels = data.pixels([3, 17])
    assert pixels.shape == (2, 1, 32, 32, 3)
    back = ((batch["image"] + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(back, pixels[:, 0])
    assert batch["caption"] == [data.captions[k] for k in batch["label"]]
    assert batch["index"].tolist() == [3, 17]


def test_a_number_shortens_training_only() -> None:
    train, val = open_pictures("mirrored:40"), open_pictures("mirrored:40", split="val")
    assert (len(train), len(val)) == (40, 4000)
    assert train.describe == "40 pictures of mirrored as 32×32×3, split train, 10 classes."
    assert train.where == "mirrored:40"
    assert np.array_equal(train.pixels(range(40)), open_pictures("mirrored:60").pixels(range(40)))


def test_few_digits_are_of_all_classes() -> None:
    few, all_ = open_pictures("digits:100", channels=1), open_pictures("digits", channels=1)
    assert len(few) == 100
    assert set(few.labels) == set(range(10))
    known = {(bytes(p), k) for p, k in zip(all_.pixels(range(len(all_))), all_.labels, strict=True)}
    assert all((bytes(p), k) in known for p, k in zip(few.pixels(range(100)), few.labels, strict=True))


def test_digits_of_training_and_validation_are_others() -> None:
    train, val = (open_pictures("digits", channels=1, split=split) for split in ("train", "val"))
    assert len(train) == 4 * len(val)
    assert not {bytes(p) for p in train.pixels(range(800))} & {bytes(p) for p in val.pixels(range(800))}
    assert open_pictures("digits", split="val").pixels([5]).shape == (1, 1, 32, 32, 3)


def test_the_hash_is_of_pixels_labels_and_names() -> None:
    pixels, labels = np.zeros((4, 2, 2, 3), np.uint8), np.array([0, 1, 0, 1])
    other = pixels.copy()
    other[3, 1, 1, 2] = 1
    sets = [(pixels, labels, "ab"), (other, labels, "ab"), (pixels, 1 - labels, "ab"), (pixels, labels, "ac")]
    assert len({Pictures(p, k, names, "", "").hash for p, k, names in sets}) == 4
    assert Pictures(pixels, labels, "ab", "x", "y").hash == Pictures(pixels, labels, "ab", "", "").hash


def test_names_stay_and_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert located("cifar10:200") == "cifar10:200"
    assert located("animals") == str((tmp_path / "animals").resolve())


@pytest.mark.parametrize(
    ("where", "settings", "error", "says"),
    [
        ("nowhere", {}, UsageError, "the sets are cifar10, digits, drawings, mirrored"),
        ("some/where", {}, DataError, "there is no folder 'some/where'"),
        ("mirrored:0", {}, UsageError, "after the colon comes how many"),
        ("mirrored:many", {}, UsageError, "after the colon comes how many"),
        ("mirrored:10001", {}, UsageError, "mirrored has 10,000 pictures to train on"),
        ("mirrored", {"size": 33}, UsageError, "even side"),
        ("mirrored", {"size": 0}, UsageError, "a side of 1 or more"),
        ("digits", {"channels": 4}, UsageError, "1 or 3 channels, not 32 and 4"),
        ("mirrored", {"size": 4096}, DataError, "choose fewer or smaller"),
        (".", {}, DataError, "has no pictures in folders of their classes"),
    ],
)
def test_what_cannot_be_opened(
    where: str, settings: dict[str, int], error: type[Exception], says: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        open_pictures(where, **settings)
