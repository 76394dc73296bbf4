"""Action units that OpenFace 2 measured: its CSV files, and the pickle of GANimation's data set.

Both hold intensities from 0 to 5, which become 0 to 1 here and nowhere else. A CSV is read by the names of
its columns, since their places differ from one of OpenFace's programs and options to another. The pickle is a
program in itself; it is read by an unpickler that knows texts, numbers, dict and arrays of numbers, and runs
nothing else.
"""

import csv
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError
from kinema.data.action_units import UNITS

SCALE = 5.0
"""OpenFace's intensity of a movement as strong as can be"""
MOST_BYTES = 2**31
"""of one file"""

Units = NDArray[np.float32]


class Row(NamedTuple):
    """One face in one frame."""

    frame: int | None
    """number of the frame from 1; None of a picture"""
    confidence: float
    """0 where OpenFace says that it did not succeed, 1 where it does not say"""
    units: Units
    """(17), 0 to 1"""


def scaled(values: Any) -> Units | str:
    """OpenFace's 17 numbers as 0 to 1, or what is wrong with them."""
    try:
        found = np.asarray(values, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return "has an intensity that is no number"
    if found.shape != (len(UNITS),):
        return f"has {len(found)} intensities; expected {len(UNITS)}"
    if not np.isfinite(found).all() or found.min() < 0 or found.max() > SCALE:
        return f"has intensities from {found.min():g} to {found.max():g}; OpenFace's are 0 to {SCALE:g}"
    return (found / SCALE).astype(np.float32)


def read_csv(path: Path) -> list[Row]:
    """The faces of OpenFace's CSV, in its order.

    Raises:
        DataError: it cannot be read, lacks columns of intensities, or a row of them is no numbers.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *lines = csv.reader(file, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise DataError(f"'{path}' cannot be read as OpenFace's CSV ({error or 'it is empty'}).") from None
    column = {name.strip(): place for place, name in enumerate(head)}
    if missing := [f"{unit}_r" for unit in UNITS if f"{unit}_r" not in column]:
        few = ", ".join(missing[:4]) + (", …" if len(missing) > 4 else "")
        raise DataError(f"'{path}' has no column {few}; OpenFace writes them with the option -aus.")
    rows = []
    for number, cells in enumerate((line for line in lines if line), 2):
        try:
            cell = {name: cells[place] for name, place in column.items()}
            sure = float(cell.get("confidence", 1)) * (float(cell.get("success", 1)) > 0)
            frame = int(float(cell["frame"])) if "frame" in cell else None
            units = scaled([cell[f"{unit}_r"] for unit in UNITS])
        except (IndexError, ValueError, OverflowError):
            units = "has too few columns or a text where a number belongs"
        if isinstance(units, str):
            raise DataError(f"'{path}' line {number} {units}.")
        rows.append(Row(frame, sure, units))
    return rows


def is_csv(path: Path) -> bool:
    """Whether a CSV is one of OpenFace's, by its head."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return any(name.strip() in ("AU01_r", "AU01_c") for name in file.readline(MOST_BYTES).split(","))
    except OSError:
        return False


def read_pickle(path: Path) -> dict[str, Any]:
    """The dict in the pickle `aus_openface.pkl`: name -> 17 numbers from 0 to 5, not yet scaled.

    Raises:
        DataError: it is damaged, holds something else, or asks to run anything.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"'{path}' has more than {MOST_BYTES >> 30} GiB.")
        with path.open("rb") as file:
            found = _Unpickler(file, encoding="latin1").load()
    except _Refused as error:
        raise DataError(
            f"'{path}' asks to run '{error}', which is no number: refused, nothing in it was run."
        ) from None
    except (DataError, MemoryError):
        raise
    except Exception as error:  # damaged pickles raise nearly anything
        raise DataError(f"'{path}' is truncated or no pickle ({error}).") from None
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise DataError(f"'{path}' holds no dict from names to {len(UNITS)} numbers.")
    return dict(found)


class _Refused(pickle.UnpicklingError):
    """A name that rebuilds no numbers."""


class _Kind:
    """A kind of numbers; NumPy's own would take bytes of the file for addresses of objects if told to."""

    def __init__(self, code: str, *options: Any) -> None:
        del options
        if not re.fullmatch(r"[fiu][1248]", code):
            raise _Refused(f"the kind of numbers {code}")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """All that is taken is the order of bytes."""
        self.code = ("" if state[1] not in (">", "<") else state[1]) + self.code[-2:]


class _Array:
    """An array whose numbers the pickle's next instruction brings."""

    def __init__(self, *empty: Any) -> None:
        del empty
        self.numbers = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """As NumPy writes it: version, shape, kind, whether columns come first, bytes."""
        _, shape, kind, columns, data = state
        self.numbers = _from_buffer(data, kind, shape, "F" if columns else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """For NumPy."""
        del copy
        return self.numbers.astype(dtype)


def _from_buffer(data: Any, kind: _Kind, shape: tuple[int, ...], order: str, *axes: Any) -> NDArray[Any]:
    """An array of numbers, as newer protocols write it."""
    del axes  # of arrays that are neither C nor Fortran, which a vector is not
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, kind.code).reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: _Kind, value: Any = None) -> Any:
    """One number."""
    return _from_buffer(value, kind, (), "C")[()]


def _to_bytes(text: str, encoding: str = "latin1") -> bytes:
    """What stands for bytes in some pickles."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"the encoding {encoding}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Knows what rebuilds arrays of numbers and no other name."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every other name before anything is called."""
        known = {
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _Kind,
            ("_codecs", "encode"): _to_bytes,
            **{
                (f"numpy.{core}.{part}", name): function
                for core in ("core", "_core")
                for part, name, function in (
                    ("multiarray", "_reconstruct", _Array),
                    ("multiarray", "scalar", _scalar),
                    ("numeric", "_frombuffer", _from_buffer),
                )
            },
        }
        if (module, name) not in known:
            raise _Refused(f"{module}.{name}")
        return known[module, name]
