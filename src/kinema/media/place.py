"""Putting finished files in their place: written beside it under another name, flushed to disk, renamed.

Whoever looks sees the old file or the new one, never half of one; an error leaves the old one as it was.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kinema.core.errors import MediaError

OURS = re.compile(r"\d+\.(png|mp4)|provenance\.json|metadata\.jsonl")
"""names of the files in a folder that `save` writes"""


def temporary(path: Path) -> Path:
    """A name beside `path` that nobody uses; makes the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:12]}.tmp"


def settle(written: Path, path: Path) -> None:
    """Flush `written` to disk and let it take the place of `path`."""
    if written.is_dir():
        check_replaceable(path)
        for file in written.iterdir():
            _flush(file)
        old = temporary(path)
        if path.exists():
            path.rename(old)
        written.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        _flush(written)
        written.replace(path)


def discard(written: Path) -> None:
    """Remove an unfinished file or folder."""
    if written.is_dir():
        shutil.rmtree(written, ignore_errors=True)
    else:
        written.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Refuse to replace a folder that holds anything but what `save` writes into folders."""
    if path.is_dir():
        foreign = [p.name for p in path.iterdir() if not OURS.fullmatch(p.name)]
        if foreign:
            raise MediaError(
                f"folder '{path}' holds other files ('{foreign[0]}'), which would be lost; "
                "name a new or empty folder."
            )
    elif path.exists():
        raise MediaError(f"'{path}' is a file; a folder of that name cannot be made. Choose another name.")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn whatever the system reports while writing into one sentence."""
    try:
        yield
    except OSError as error:  # PyAV's errors are among them
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise MediaError(
                f"'{path}' cannot be written: the disk is full. Free some space and try again."
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise MediaError(
                f"'{path}' cannot be written: its folder is not writable. Choose another one."
            ) from None
        raise MediaError(f"'{path}' cannot be written: {error.strerror or error}.") from None


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
