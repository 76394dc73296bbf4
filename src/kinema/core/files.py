"""Writing files so that whoever looks finds the old one or the new one, never half of one. Torch-free."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kinema.core.errors import KinemaError

FULL = (errno.ENOSPC, errno.EDQUOT)


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept.

    `$KINEMA_CACHE`, else `$XDG_CACHE_HOME/kinema`, else `~/.cache/kinema`.
    """
    if own := os.environ.get("KINEMA_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kinema"


def write_atomically(path: Path, write: Callable[[Path], object], keep: Path | None = None) -> None:
    """Let `write` fill a temporary file, then fsync, rename, and fsync the folder.

    Args:
        path: where the file is to be.
        write: gets the temporary path.
        keep: where the file that is replaced goes; None drops it.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        _flush(temporary)
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with disk_errors(path.parent):
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@contextmanager
def alone(path: Path, taken: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; the system lets go of it when the process dies.

    Where the system or the file system has no locks, nothing is held.

    Args:
        path: made with its folders, and left there: whoever removed it could let a third one in.
        taken: what the error says when another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KinemaError(taken) from None
        except OSError:
            pass
        yield


@contextmanager
def disk_errors(folder: Path, *also: type[Exception]) -> Iterator[None]:
    """Say in one sentence that a disk is full or a folder cannot be written.

    Args:
        folder: named in the sentence.
        also: exceptions of libraries that tell the system's error only in their text.
    """
    expected: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield
    except expected as error:
        if getattr(error, "errno", None) in FULL or any(f"os error {code})" in str(error) for code in FULL):
            what = f"the disk of {folder} is full. What was there before is intact"
            raise KinemaError(f"{what}: free some space and run the same command to go on.") from None
        raise KinemaError(f"{folder} cannot be written ({error}).") from None


def _flush(path: Path) -> None:
    """Have the system put a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
