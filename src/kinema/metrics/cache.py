"""Trained judges are kept in the cache folder, so that a second evaluation does not train them again.

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
from torch import nn

from kinema.core.files import cache_folder

Net = TypeVar("Net", bound=nn.Module)


def trained(key: dict[str, Any], empty: Callable[[], Net], fit: Callable[[], Net]) -> Net:
    """The network that `fit` trains, read from the cache into `empty()` if `key` was trained before.

    Args:
        key: everything that decides the weights, as plain JSON types.
        empty: makes the network without training it.
        fit: trains it.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_folder() / "judges" / f"{digest}.safetensors"
    if path.exists():
        net = empty()
        with contextlib.suppress(SafetensorError, OSError, RuntimeError):
            net.load_state_dict(load_file(path))
            return net.eval()
    net = fit().eval()
    with contextlib.suppress(OSError, SafetensorError):
        _write(net, path)
    return net


def weights_hash(net: nn.Module) -> str:
    """Sixteen hexadecimal digits that name the weights."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _write(net: nn.Module, path: Path) -> None:
    """Write to a file beside it first, so that no one reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, beside)
        Path(beside).replace(path)
    finally:
        Path(beside).unlink(missing_ok=True)
