"""Reading checkpoints of other programs without running what is in them.

A pickle is a program. First PyTorch's own restricted reader is tried. What it refuses is read by an
unpickler that knows dict, list, tuple, text, numbers, OrderedDict and what rebuilds tensors and arrays. Any
other name ends the reading before anything is called.
"""

import io
import pickle
import types
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinema.apps.weights import read_tensors
from kinema.core.errors import WeightsError

MOST_BYTES = 16 * 2**30


def _text_to_bytes(text: str, encoding: str = "latin1") -> bytes:
    """What `_codecs.encode` does in pickles of Python 2 arrays, for that one encoding."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text encoding '{encoding}'")
    return text.encode("latin1")


def _array(kind: type[Any], shape: tuple[int, ...], typecode: bytes) -> Any:
    """An empty array, to be filled by the pickle's next instruction."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"array of type '{kind}'")
    return np.ndarray(shape, typecode.decode())


def _scalar(dtype: Any, value: Any = None) -> Any:
    """One number."""
    return np.frombuffer(value, dtype, 1)[0]


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _text_to_bytes,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _array), ("scalar", _scalar))
    },
}


class Unpickler(pickle.Unpickler):
    """Knows the names in `ALLOWED` and no other."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every name that is not needed to rebuild numbers."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return ALLOWED[module, name]


def _load(file: Any, **options: Any) -> Any:
    return Unpickler(file, **options).load()


def _loads(data: bytes, **options: Any) -> Any:
    return Unpickler(io.BytesIO(data), **options).load()


RESTRICTED = types.SimpleNamespace(__name__="pickle", Unpickler=Unpickler, load=_load, loads=_loads)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dict in a checkpoint: safetensors, PyTorch's formats, arrays (made tensors)."""
    if not path.is_file():
        raise WeightsError(f"there is no checkpoint {path}.")
    if path.stat().st_size > MOST_BYTES:
        raise WeightsError(
            f"{path} has {path.stat().st_size / 2**30:.0f} GiB; at most {MOST_BYTES >> 30} are read."
        )
    readers = {".safetensors": read_tensors, ".npz": _read_arrays}
    found = readers.get(path.suffix, _read_pickle)(path)
    if not isinstance(found, dict) or not found:
        raise WeightsError(f"{path} holds {type(found).__name__} where a dict of weights was expected.")
    return {str(key): tensors(value) for key, value in found.items()}


def _read_arrays(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
        if size > MOST_BYTES:
            raise WeightsError(
                f"{path} unpacks to {size / 2**30:.0f} GiB; at most {MOST_BYTES >> 30} are read."
            )
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is truncated or no archive of arrays ({error}).") from None


def _read_pickle(path: Path) -> Any:
    if is_torchscript(path):
        raise WeightsError(
            f"{path} is a TorchScript program, not a dict of weights: refused, nothing in it was run."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, KeyError, AttributeError):
        pass  # a format that it refuses, or damage: the second reader says which
    try:
        if zipfile.is_zipfile(path) or _is_legacy(path):
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=RESTRICTED)
        with path.open("rb") as file:
            return Unpickler(file).load()
    except pickle.UnpicklingError as error:
        if "." in str(error) and " " not in str(error):
            raise WeightsError(
                f"{path} asks to run '{error}', which rebuilds no weights: refused, nothing in it was run."
            ) from None
        raise WeightsError(f"{path} is truncated or no checkpoint ({error}).") from None
    except Exception as error:  # a hostile pickle can raise anything from the parts that rebuild arrays
        raise WeightsError(
            f"{path} is truncated or no checkpoint ({type(error).__name__}: {error})."
        ) from None


def is_torchscript(path: Path) -> bool:
    """Whether the archive holds code, which reading it would compile."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())


def _is_legacy(path: Path) -> bool:
    """Whether the file begins with the magic number of PyTorch before 1.6."""
    with path.open("rb") as file:
        return torch.serialization.MAGIC_NUMBER.to_bytes(10, "little") in file.read(32)


def tensors(value: Any) -> Any:
    """Arrays as tensors, all the way down."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(value.copy())
    if isinstance(value, dict):
        return {key: tensors(item) for key, item in value.items()}
    return value
