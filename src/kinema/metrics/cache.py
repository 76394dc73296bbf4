"""Trained judges and statistics of real sets are kept in the cache folder, for the next evaluation.

A file's name is a hash of all that decides its content; a broken one is made again, and a folder that cannot
be written to only costs time.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kinema.core.files import cache_folder

Net = TypeVar("Net", bound=nn.Module)


def trained(key: dict[str, Any], empty: Callable[[], Net], fit: Callable[[], Net]) -> Net:
    """The network that `fit` trains, read from the cache into `empty()` if `key` was trained before.

    Args:
        key: everything that decides the weights, as plain JSON types.
        empty: makes the network without training it.
        fit: trains it.
    """
    path = _place("judges", key)
    if path.exists():
        net = empty()
        with contextlib.suppress(SafetensorError, OSError, RuntimeError):
            net.load_state_dict(load_file(path))
            return net.eval()
    net = fit().eval()
    with contextlib.suppress(OSError, SafetensorError):
        _write(net.state_dict(), path)
    return net


def kept(key: dict[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors that `make` gives, read from the cache if `key` was made before."""
    path = _place("statistics", key)
    if path.exists():
        with contextlib.suppress(SafetensorError, OSError):
            return load_file(path)
    found = make()
    with contextlib.suppress(OSError, SafetensorError):
        _write(found, path)
    return found


def weights_hash(net: nn.Module) -> str:
    """Sixteen hexadecimal digits that name the weights."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _place(folder: str, key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    return cache_folder() / folder / f"{digest}.safetensors"


def _write(state: dict[str, Tensor], path: Path) -> None:
    """Write to a file beside it first, so that no one reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        save_file({k: v.contiguous() for k, v in state.items()}, beside)
        Path(beside).replace(path)
    finally:
        Path(beside).unlink(missing_ok=True)
